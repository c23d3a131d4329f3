//! The engine behind a pinset. It takes a block from the store, or fetches, verifies and stages it, and hands it to all
//! who wait for it.
//!
//! Knows nothing of paths. Every block that leaves the engine was verified (I1).

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::MultihashDigest;
use pinner_api::{BlockRequest, MAX_BLOCK, Origin, Pinner, PinnerError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{Instrument, Span, field::Empty};

use crate::{
    block::{Block, Key, UnverifiedBlock, acceptable, cid_of},
    cache::{
        nodes::{Decoded, NodeCache},
        staged::{OFF_THREAD, Staged},
        store::Store,
    },
    error::Error,
    fetch::{
        counters,
        counters::{Counters, FailureKind},
    },
    flight::Flights,
    grant::allowance::Allowance,
    pins::keeper::Pins,
    sync::{Mutex, lock},
    unixfs::{self, Codec, Target},
};

/// The most bytes of blocks that are kept in memory for the next read because staging had no room for them.
const POOL_BYTES: usize = 4 * MAX_BLOCK;

const MIB: usize = 1 << 20;

/// The number of bytes that one permit of the in-flight semaphore stands for.
const PERMIT_BYTES: usize = 1024;

/// The part of a pinset that all its sessions share.
pub(crate) struct Engine {
    pub(crate) pinner: Arc<dyn Pinner>,
    pub(crate) store: Arc<Store>,
    pub(crate) nodes: NodeCache,
    pub(crate) pins: Pins,
    pub(crate) counters: Counters,
    flights: Flights<Key, Result<Obtained, Error>>,
    /// Blocks of an earlier run that are being verified.
    pub(crate) reverifying: Flights<Key, Option<Held>>,
    /// Bounds the memory for blocks that are being fetched, verified or written (I9).
    in_flight: Arc<Semaphore>,
    in_flight_permits: u32,
    pool: Mutex<VecDeque<(Key, Bytes)>>,
    block_deadline: Duration,
    closed: AtomicBool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("pinner", &self.pinner)
            .field("budget_bytes", &self.budget_bytes())
            .finish_non_exhaustive()
    }
}

/// A verified block, and where it lies.
#[derive(Clone)]
pub(crate) enum Held {
    /// In the staging directory.
    Staged(Arc<Staged>),
    /// In memory, because staging had no room for it, or because it lies in its CID.
    Memory(Bytes),
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Staged(staged) => staged.len(),
            Self::Memory(bytes) => bytes.len(),
        }
    }
}

/// A block, and how it was obtained.
#[derive(Clone)]
pub(crate) struct Obtained {
    pub(crate) held: Held,
    /// How long the backend took for it, if the backend was asked.
    pub(crate) took: Option<Duration>,
}

impl From<Held> for Obtained {
    fn from(held: Held) -> Self {
        Self { held, took: None }
    }
}

/// Who asks for a block, and for which origin.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) allowance: &'a Allowance,
    pub(crate) origin: &'a Origin,
}

impl Engine {
    pub(crate) fn new(
        pinner: Arc<dyn Pinner>,
        store: Arc<Store>,
        nodes: NodeCache,
        pins: Pins,
        settings: Settings,
    ) -> Self {
        let most = settings.in_flight_bytes.max(MAX_BLOCK as u64) / PERMIT_BYTES as u64;
        let in_flight_permits = most.min(u64::from(u32::MAX >> 4)) as u32;
        Self {
            pinner,
            store,
            nodes,
            pins,
            counters: Counters::default(),
            flights: Flights::new(),
            reverifying: Flights::new(),
            in_flight: Arc::new(Semaphore::new(in_flight_permits as usize)),
            in_flight_permits,
            pool: Mutex::default(),
            block_deadline: settings.block_deadline,
            closed: AtomicBool::new(false),
        }
    }

    /// How much of its budget this pinset may use now, in bytes.
    pub(crate) fn budget_bytes(&self) -> u64 {
        self.store.budget_bytes()
    }

    /// How long one call to the backend may take.
    pub(crate) fn block_deadline(&self) -> Duration {
        self.block_deadline
    }

    /// The memory that is reserved for blocks in flight, in bytes.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        let free = self.in_flight.available_permits() as u64;
        u64::from(self.in_flight_permits).saturating_sub(free) * PERMIT_BYTES as u64
    }

    /// Returns the block of `target` if it is here, without waiting and without noting a use.
    pub(crate) fn at_hand(&self, target: &Target) -> Option<Held> {
        match target {
            Target::Inline { bytes, .. } => Some(Held::Memory(bytes.clone())),
            Target::Block(cid) => self.peek(cid.hash()),
        }
    }

    /// Returns whether `target` can be used without fetching.
    pub(crate) fn is_at_hand(&self, target: &Target) -> bool {
        self.cached_node(target).is_some() || self.at_hand(target).is_some()
    }

    fn peek(&self, key: &Key) -> Option<Held> {
        if let Some(staged) = self.store.peek(key) {
            return Some(Held::Staged(staged));
        }
        self.pooled(key).map(Held::Memory)
    }

    /// Returns a block for which staging had no room, if it is still in memory.
    pub(crate) fn pooled(&self, key: &Key) -> Option<Bytes> {
        let pool = lock(&self.pool);
        let found = pool.iter().find(|(pooled, _)| pooled == key);
        found.map(|(_, bytes)| bytes.clone())
    }

    fn keep_in_pool(&self, key: Key, bytes: &Bytes) {
        let most = match self.store.reads_along() {
            // A follower keeps all that it fetches in this pool, and blocks that are read ahead must stay until they
            // are read.
            true => POOL_BYTES + 16 * MIB,
            // A pinset with a small budget uses no more memory than disk, since there may be a thousand of them. But
            // one block always fits, whatever its size.
            false => usize::try_from(self.budget_bytes())
                .unwrap_or(usize::MAX)
                .clamp(MAX_BLOCK, POOL_BYTES),
        };
        let mut pool = lock(&self.pool);
        pool.push_back((key, bytes.clone()));
        while pool.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > most {
            pool.pop_front();
        }
    }

    /// Returns the block, from wherever it is. Dropping the future does not affect others who wait for the block.
    ///
    /// # Errors
    /// [`Error::Fetch`], [`Error::Corrupt`], [`Error::Unsupported`], [`Error::Closed`], and the session's
    /// [`Error::LimitReached`].
    pub(crate) async fn obtain(
        self: &Arc<Self>,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Held, Error> {
        Ok(self.obtain_timed(target, ask).await?.held)
    }

    /// As [`obtain`](Self::obtain), but also returns the time that the backend took.
    pub(crate) async fn obtain_timed(
        self: &Arc<Self>,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Obtained, Error> {
        self.ensure_open()?;
        let cid = match target {
            Target::Inline { bytes, .. } => return Ok(Held::Memory(bytes.clone()).into()),
            Target::Block(cid) => cid,
        };
        if let Some(held) = self.peek(cid.hash()) {
            return Ok(held.into());
        }
        // A hash that cannot be verified is refused before the backend is asked.
        if acceptable(cid)?.digest(b"").digest() == cid.hash().digest() {
            // This is the hash of the empty block, which Kubo nodes do not send each other. It is answered here.
            return Ok(Held::Memory(Bytes::new()).into());
        }
        if let Some(held) = self.reverify(cid).await {
            return Ok(held.into());
        }
        let _permit = ask.allowance.fetch_permit().await?;
        let flight = self.flights.join(*cid.hash(), || {
            let engine = self.clone();
            let (cid, origin) = (*cid, ask.origin.clone());
            let span = tracing::debug_span!("fetch", %cid, bytes = Empty, outcome = Empty);
            engine.fetch(cid, origin).instrument(span)
        });
        let obtained = flight.await?;
        ask.allowance.count_fetched(obtained.held.len() as u64);
        Ok(obtained)
    }

    /// The work of one flight.
    async fn fetch(self: Arc<Self>, cid: Cid, origin: Origin) -> Result<Obtained, Error> {
        // Another flight may have ended between the look-up and the start of this one.
        if let Some(held) = self.peek(cid.hash()) {
            return Ok(held.into());
        }
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        let mut room = self.room_in_memory().await?;
        let asked = Instant::now();
        let unverified = self.ask_backend(&cid, &origin).await;
        let took = asked.elapsed();
        counters::fetched(took);
        let unverified = unverified?;
        // Now that the block's size is known, the rest of the room is free for other blocks.
        let needed = unverified.len().div_ceil(PERMIT_BYTES);
        drop(room.split(room.num_permits().saturating_sub(needed)));
        let fetched = unverified.len() as u64;
        let counters = &self.counters;
        counters.blocks_fetched.fetch_add(1, Ordering::Relaxed);
        counters.bytes_fetched.fetch_add(fetched, Ordering::Relaxed);
        Span::current().record("bytes", fetched);
        let held = if unverified.len() > OFF_THREAD {
            let engine = self.clone();
            // This is not cancelled with the flight: a block that has arrived is staged.
            tokio::task::spawn_blocking(move || engine.take_in(&cid, unverified, room))
                .await
                .map_err(|e| {
                    staging("the thread that writes a block failed", io::Error::other(e))
                })?
        } else {
            self.take_in(&cid, unverified, room)
        };
        if matches!(held, Err(Error::Corrupt { .. })) {
            self.counters.corrupt_blocks.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = match &held {
            Ok(Held::Staged(_)) => "staged",
            Ok(Held::Memory(_)) => "unstaged",
            Err(_) => "not verified",
        };
        Span::current().record("outcome", outcome);
        let took = Some(took);
        held.map(|held| Obtained { held, took })
    }

    /// Waits until there is memory for one more block.
    pub(crate) async fn room_in_memory(&self) -> Result<OwnedSemaphorePermit, Error> {
        // The size of a block is unknown until it has arrived, so room is taken for the largest possible block.
        let largest = (MAX_BLOCK / PERMIT_BYTES) as u32;
        let permits = largest.min(self.in_flight_permits);
        let room = self.in_flight.clone().acquire_many_owned(permits).await;
        room.map_err(|_| Error::Closed)
    }

    async fn ask_backend(&self, cid: &Cid, origin: &Origin) -> Result<UnverifiedBlock, Error> {
        let deadline = Instant::now() + self.block_deadline;
        let request = BlockRequest::new(*cid)
            .with_origin(origin.clone())
            .with_deadline(deadline.into_std());
        let answer = tokio::time::timeout_at(deadline, self.pinner.block(&request)).await;
        let timed_out = || PinnerError::TimedOut {
            operation: format!("block {cid}"),
            after: self.block_deadline,
        };
        let too_large = |len| PinnerError::Corrupt {
            operation: format!("block {cid}"),
            reason: format!("{len} bytes, over the limit of {MAX_BLOCK}"),
        };
        match answer.unwrap_or_else(|_| Err(timed_out())) {
            Ok(answer) if answer.bytes.len() > MAX_BLOCK => Err(too_large(answer.bytes.len())),
            Ok(answer) => Ok(UnverifiedBlock::new(answer.bytes)),
            Err(error) => Err(error),
        }
        .map_err(|source| {
            let kind = FailureKind::of(&source);
            self.counters.fetch_failed(kind);
            Span::current().record("outcome", kind.name());
            Error::Fetch { cid: *cid, source }
        })
    }

    /// Verifies and stages a block. This is the only way from the backend to a reader.
    fn take_in(
        &self,
        cid: &Cid,
        unverified: UnverifiedBlock,
        _room: OwnedSemaphorePermit,
    ) -> Result<Held, Error> {
        let block = unverified.verify(cid)?;
        // Closing has emptied staging, so nothing may be staged after it.
        self.ensure_open()?;
        let len = block.bytes().len() as u64;
        self.counters
            .bytes_verified
            .fetch_add(len, Ordering::Relaxed);
        let key = *cid.hash();
        if let Some(staged) = self.store.stage(key, block.bytes()) {
            return Ok(Held::Staged(staged));
        }
        self.keep_in_pool(key, block.bytes());
        Ok(Held::Memory(Block::into_bytes(block)))
    }

    /// Returns all bytes of a block.
    pub(crate) async fn bytes_of(&self, held: &Held) -> Result<Bytes, Error> {
        match held {
            Held::Memory(bytes) => Ok(bytes.clone()),
            Held::Staged(staged) => match staged.read(0, staged.len()).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.unreadable(staged, error)),
            },
        }
    }

    /// Forgets a staged block that cannot be read back, so that the next read fetches it again. Returns the error for
    /// this read.
    pub(crate) fn unreadable(&self, staged: &Staged, error: io::Error) -> Error {
        self.store.forget(&staged.key);
        staging("a staged block cannot be read back", error)
    }

    /// Returns the decoded node of `target`, from the cache of nodes or from its block.
    pub(crate) async fn node(
        self: &Arc<Self>,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Arc<Decoded>, Error> {
        if let Some(node) = self.node_at_hand(target) {
            return Ok(node);
        }
        let held = self.obtain(target, ask).await?;
        self.decode(target, &held).await
    }

    /// Returns the decoded node if it is cached and the pinset is open, and notes a use of its block.
    pub(crate) fn node_at_hand(&self, target: &Target) -> Option<Arc<Decoded>> {
        self.ensure_open().ok()?;
        let node = self.cached_node(target)?;
        // A use of a node is a use of its block.
        if let Target::Block(cid) = target {
            self.store.touch(cid.hash());
        }
        Some(node)
    }

    /// Returns the decoded node, if it is cached.
    pub(crate) fn cached_node(&self, target: &Target) -> Option<Arc<Decoded>> {
        match target {
            Target::Block(cid) if target.codec() == Codec::DagPb => self.nodes.get(cid.hash()),
            _ => None,
        }
    }

    /// Decodes a block, and caches the node unless it is a leaf or lies in its CID.
    pub(crate) async fn decode(&self, target: &Target, held: &Held) -> Result<Arc<Decoded>, Error> {
        if let Codec::Other(code) = target.codec() {
            return Err(Error::Unsupported {
                cid: cid_of(target),
                what: format!("the codec 0x{code:x}"),
            });
        }
        let bytes = self.bytes_of(held).await?;
        let codec = target.codec();
        let decoded = if bytes.len() > OFF_THREAD {
            tokio::task::spawn_blocking(move || Decoded::new(codec, bytes))
                .await
                .map_err(|e| {
                    staging(
                        "the thread that decodes a block failed",
                        io::Error::other(e),
                    )
                })?
        } else {
            Decoded::new(codec, bytes)
        };
        let decoded = decoded.map_err(|malformed| Error::Malformed {
            cid: cid_of(target),
            reason: malformed.to_string(),
        })?;
        let decoded = Arc::new(decoded);
        match (&decoded.node, target, held) {
            // A leaf's bytes are in staging. Keeping them here as well would push out the nodes that lead to them.
            (unixfs::Node::File(file), _, _) if file.is_leaf() => {
                if let (Codec::DagPb, Held::Staged(staged)) = (target.codec(), held) {
                    staged.set_leaf(file.payload());
                }
            }
            (_, Target::Block(cid), _) => self.nodes.insert(*cid.hash(), decoded.clone()),
            (_, Target::Inline { .. }, _) => {}
        }
        Ok(decoded)
    }

    pub(crate) fn ensure_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Closes the engine: no further fetch starts, pins are released, and staging is emptied if it is temporary.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        self.in_flight.close();
        lock(&self.pool).clear();
        self.store.close();
        self.pins.close().await
    }
}

/// The settings of an [`Engine`].
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) in_flight_bytes: u64,
    pub(crate) block_deadline: Duration,
}

fn staging(what: &str, source: io::Error) -> Error {
    Error::Staging {
        what: what.to_owned(),
        source: Some(Arc::new(source)),
    }
}
