//! The work of one fetch: wait for room, ask the backend, verify, stage.
//!
//! It runs in a task of its own, for all who wait for the block (I6, I11).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use cid::Cid;
use futures_util::FutureExt;
use pinner_api::{Answer, BlockRequest, MAX_BLOCK, Origin, PinnerError, Verdict};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, field::Empty};

use crate::{
    block::{Block, UnverifiedBlock},
    cache::staged::OFF_THREAD,
    error::Error,
    fetch::{
        ask::{Ask, Held, Obtained, Rank},
        counters::{self, FailureKind},
        engine::Engine,
        fetching::{Fetching, Landed},
        queue::{Arrival, Party, Place, Room, Slot},
    },
    flight::{Driven, Waiting},
    sync::Ordering,
    task,
};

/// The largest number of sources that may be wrong about one block before it counts as corrupt.
const MOST_WRONG: usize = 16;

/// A fetch as it was asked for first.
struct Order {
    cid: Cid,
    origin: Origin,
    party: Party,
    bytes: u64,
    rank: Rank,
}

impl Engine {
    /// Joins the fetch of a block, or starts it. A demand has a place in the queue as long as its waiter exists.
    pub(super) fn join_fetch(
        self: &Arc<Self>,
        cid: &Cid,
        ask: Ask<'_>,
    ) -> (Waiting<Landed>, Option<Place>) {
        let party = self.party(ask.allowance);
        let bytes = ask.expected.unwrap_or(MAX_BLOCK as u64);
        let (waiting, fetching) = self.flights.join_with(*cid.hash(), |inside| {
            let (slot, arrival) = Slot::new(&inside);
            let fetching = Arc::new(Fetching::new(slot));
            let order = Order {
                cid: *cid,
                origin: ask.origin.clone(),
                party,
                bytes,
                rank: ask.rank,
            };
            let span = tracing::debug_span!("fetch", %cid, bytes = Empty, outcome = Empty);
            let work = self.clone().fetch(inside, order, arrival, fetching.clone());
            (fetching, work.instrument(span))
        });
        fetching.paid_by(ask.allowance);
        let place = (ask.rank == Rank::Demand)
            .then(|| self.queue.enter(party, bytes, fetching.slot()))
            .flatten();
        (waiting, place)
    }

    async fn fetch(
        self: Arc<Self>,
        inside: Driven,
        order: Order,
        arrival: Arrival,
        fetching: Arc<Fetching>,
    ) -> Result<Landed, Error> {
        let key = order.cid.hash();
        // Another flight may have ended between the look-up and the start of this one.
        if let Some(held) = self.peek(key) {
            return Ok(Landed::Block(held.into()));
        }
        let begun = Instant::now();
        let deadline = begun + self.block_deadline();
        let Some(mut room) = self.room(&inside, &order, arrival, deadline).await? else {
            return Ok(Landed::NoRoom);
        };
        let waited = begun.elapsed();
        self.counters.queued(waited);
        if let Some(held) = self.peek(key) {
            return Ok(Landed::Block(held.into()));
        }
        self.ensure_open()?;
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        let answer = self.right_answer(&order, deadline, waited, &mut room, &fetching);
        let (block, took) = answer.await?;
        let held = self.stage(&order.cid, block).await;
        drop(room);
        let outcome = match &held {
            Ok(Held::Staged(_)) => "staged",
            Ok(Held::Memory(_)) => "unstaged",
            Err(_) => "not staged",
        };
        Span::current().record("outcome", outcome);
        let took = Some(took);
        held.map(|held| Landed::Block(Obtained { held, took }))
    }

    /// Asks the backend for a block, and as long as the answer is wrong, asks again with its source among those to
    /// avoid. Returns the block, and how long its answer took.
    async fn right_answer(
        &self,
        order: &Order,
        deadline: Instant,
        waited: Duration,
        room: &mut Room,
        fetching: &Fetching,
    ) -> Result<(Block, Duration), Error> {
        let first = Instant::now();
        let mut request = BlockRequest::new(order.cid)
            .with_origin(order.origin.clone())
            .with_deadline(deadline.into_std());
        loop {
            let asked = Instant::now();
            let answer = timeout_at(deadline, self.ask_backend(&request)).await;
            let took = asked.elapsed();
            counters::fetched(took);
            let answer = answer.unwrap_or_else(|_| {
                Err(PinnerError::TimedOut {
                    operation: format!("block {}", order.cid),
                    after: self.block_deadline(),
                })
            });
            if let Err(PinnerError::TimedOut { .. }) = &answer
                && waited > first.elapsed()
            {
                // The backend had less time than the queue took.
                return Err(self.busy(&order.cid, waited));
            }
            let answer = answer.map_err(|source| self.failed(&order.cid, source))?;
            let (fetched, source) = (answer.bytes.len() as u64, answer.source.clone());
            room.resize(fetched);
            let counters = &self.counters;
            counters.blocks_fetched.fetch_add(1, Ordering::Relaxed);
            counters.bytes_fetched.fetch_add(fetched, Ordering::Relaxed);
            Span::current().record("bytes", fetched);
            let verified = self.verify(&request, answer).await;
            if let Err(Error::Corrupt { .. }) = &verified {
                counters.corrupt_blocks.fetch_add(1, Ordering::Relaxed);
                // If the source was to be avoided already, there is no other.
                if let Some(source) = source.filter(|source| !request.avoids(source))
                    && request.avoid().len() < MOST_WRONG
                {
                    request = request.avoiding([source]);
                    // The next answer may be as long as was expected, whatever the length of the wrong one.
                    room.resize(order.bytes);
                    continue;
                }
            }
            fetching.arrived(fetched);
            if verified.is_err() {
                Span::current().record("outcome", "not verified");
            }
            return Ok((verified?, took));
        }
    }

    /// Waits until there is room for the block. Returns `None` to read-ahead that found none, unless a demand has joined
    /// it.
    async fn room(
        &self,
        inside: &Driven,
        order: &Order,
        mut arrival: Arrival,
        deadline: Instant,
    ) -> Result<Option<Room>, Error> {
        if order.rank == Rank::Ahead {
            let mut room = self.queue.try_take(inside, order.party, order.bytes);
            if room.is_none() {
                // Fetches whose blocks can be read already may not have given back their room yet.
                tokio::task::yield_now().await;
                room = self.queue.try_take(inside, order.party, order.bytes);
            }
            if let Some(room) = room {
                arrival.end();
                return Ok(Some(room));
            }
            if !arrival.is_wanted() {
                return Ok(None);
            }
        }
        match timeout_at(deadline, arrival.room()).await {
            Ok(Some(room)) => Ok(Some(room)),
            Ok(None) => Err(Error::Closed),
            Err(_) => Err(self.busy(&order.cid, self.block_deadline())),
        }
    }

    fn busy(&self, cid: &Cid, waited: Duration) -> Error {
        self.counters.got_no_turn();
        Error::Busy { cid: *cid, waited }
    }

    fn failed(&self, cid: &Cid, source: PinnerError) -> Error {
        let kind = FailureKind::of(&source);
        self.counters.fetch_failed(kind);
        Span::current().record("outcome", kind.name());
        Error::Fetch { cid: *cid, source }
    }

    async fn ask_backend(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let operation = || format!("block {}", request.cid());
        // A backend may also panic before it returns a future.
        let answer = async { self.pinner.block(request).await };
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answer = answer.await.unwrap_or_else(|_panic| {
            Err(PinnerError::Unavailable {
                operation: format!("{}: the backend panicked", operation()),
                source: None,
            })
        })?;
        match answer.bytes.len() {
            0..=MAX_BLOCK => Ok(answer),
            len => Err(PinnerError::Corrupt {
                operation: operation(),
                reason: format!("{len} bytes, over the limit of {MAX_BLOCK}"),
            }),
        }
    }

    /// Verifies a block, and tells the backend whether its answer was right. With [`stage`](Self::stage), this is the
    /// only way from the backend to a reader.
    async fn verify(&self, request: &BlockRequest, answer: Answer) -> Result<Block, Error> {
        let Answer { bytes, source, .. } = answer;
        let (long, cid) = (bytes.len() > OFF_THREAD, *request.cid());
        let unverified = UnverifiedBlock::new(bytes);
        let verified = match long {
            true => task::blocking(move || unverified.verify(&cid)).await,
            false => unverified.verify(&cid),
        };
        let verdict = match &verified {
            Ok(_) => Some(Verdict::Right),
            Err(Error::Corrupt { .. }) => Some(Verdict::Wrong),
            Err(_) => None,
        };
        if let Some(verdict) = verdict {
            self.pinner.verdict(request, source.as_ref(), verdict);
        }
        verified
    }

    /// Stages a verified block, or keeps it in memory for a while. A block in the queue of staging is written even if
    /// the fetch is cancelled.
    async fn stage(&self, cid: &Cid, block: Block) -> Result<Held, Error> {
        // Closing has emptied staging, so nothing may be staged after it.
        self.ensure_open()?;
        let len = block.bytes().len() as u64;
        self.counters
            .bytes_verified
            .fetch_add(len, Ordering::Relaxed);
        let key = *cid.hash();
        let bytes = block.bytes().clone();
        if let Some(staged) = self.store.stage_off_thread(key, bytes).await {
            return Ok(Held::Staged(staged));
        }
        self.keep_in_pool(key, block.bytes());
        Ok(Held::Memory(Block::into_bytes(block)))
    }
}
