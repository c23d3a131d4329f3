//! The engine behind a pinset. It takes a block from the store, or fetches, verifies and stages it, for all who wait for
//! it.
//!
//! Knows nothing of paths. Every block that leaves the engine was verified (I1). Whatever others may wait for is held
//! only by driven work (I11): see [`Flights`] and [`Queue`].

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use pinner_api::{MAX_BLOCK, Pinner};
use tokio::sync::Semaphore;

use crate::{
    block::{Block, Key, UnverifiedBlock, acceptable},
    cache::{
        nodes::{Decoded, NodeCache},
        staged::{OFF_THREAD, Staged},
        store::Store,
    },
    error::Error,
    fetch::{
        ask::{Ask, Held, Obtained, Rank, Reverified, staging},
        counters::Counters,
        fetching::{Fetching, Landed},
        pool::Pool,
        queue::{Party, Queue},
    },
    flight::Flights,
    grant::allowance::Allowance,
    pins::keeper::Pins,
    sync::{Mutex, lock, new_number},
    task::{self, Runtime},
    unixfs::Target,
};

/// The most bytes of blocks that are kept in memory for the next read because staging had no room for them.
const POOL_BYTES: usize = 4 * MAX_BLOCK;

/// How many blocks of an earlier run or another process are verified at once, each in memory.
const VERIFIED_AT_ONCE: usize = 4;

/// How many blocks longer than [`OFF_THREAD`] are decoded at once. A decoded block takes up to three times its length.
const DECODED_AT_ONCE: usize = 2;

/// The part of a pinset that all its sessions share.
pub(crate) struct Engine {
    pub(crate) pinner: Arc<dyn Pinner>,
    pub(crate) store: Arc<Store>,
    pub(crate) nodes: NodeCache,
    pub(crate) pins: Pins,
    pub(crate) counters: Counters,
    pub(super) flights: Flights<Key, Landed, Fetching>,
    /// Blocks of an earlier run that are being verified.
    pub(super) reverifying: Flights<Key, Option<Held>>,
    pub(super) verifiers: Arc<Semaphore>,
    /// Long blocks that are being decoded.
    pub(super) decoding: Flights<Key, Arc<Decoded>>,
    pub(super) decoders: Arc<Semaphore>,
    /// Divides the memory for blocks under way (I9), and the backend, among those who fetch.
    pub(super) queue: Arc<Queue>,
    /// This pinset's number in the queue.
    number: u64,
    in_flight_bytes: u64,
    pool: Mutex<Pool>,
    block_deadline: Duration,
    /// Whether reads of the disk may block the current thread.
    may_block: bool,
    pub(crate) runtime: Runtime,
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

impl Engine {
    pub(crate) fn new(
        pinner: Arc<dyn Pinner>,
        store: Arc<Store>,
        nodes: NodeCache,
        pins: Pins,
        settings: Settings,
    ) -> Self {
        Self {
            queue: Queue::of(&pinner),
            number: new_number(),
            in_flight_bytes: settings.in_flight_bytes,
            pinner,
            store,
            nodes,
            pins,
            counters: Counters::default(),
            flights: Flights::new(),
            reverifying: Flights::new(),
            verifiers: Arc::new(Semaphore::new(VERIFIED_AT_ONCE)),
            decoding: Flights::new(),
            decoders: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
            pool: Mutex::default(),
            block_deadline: settings.block_deadline,
            may_block: settings.may_block,
            runtime: Runtime::current(),
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

    /// Returns whether reads of the disk may block the current thread.
    pub(crate) fn may_block(&self) -> bool {
        self.may_block
    }

    /// The memory that is reserved for blocks in flight, in bytes.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.queue.held_bytes(self.number)
    }

    /// Returns the session with this allowance as the queue knows it.
    pub(super) fn party(&self, allowance: &Allowance) -> Party {
        Party {
            pinset: self.number,
            pinset_bytes: self.in_flight_bytes,
            session: allowance.number(),
            session_fetches: allowance.limits().fetches_in_flight as u64,
        }
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

    pub(super) fn peek(&self, key: &Key) -> Option<Held> {
        if let Some(staged) = self.store.peek(key) {
            return Some(Held::Staged(staged));
        }
        self.pooled(key).map(Held::Memory)
    }

    /// Returns a block for which staging had no room, if it is still in memory.
    pub(crate) fn pooled(&self, key: &Key) -> Option<Bytes> {
        lock(&self.pool).get(key)
    }

    /// How many bytes of blocks are kept in memory for which staging has no room. A pinset with a small budget uses no
    /// more memory than disk, since there may be a thousand of them. But one block always fits, whatever its size.
    pub(crate) fn pool_bytes(&self) -> usize {
        usize::try_from(self.budget_bytes())
            .unwrap_or(usize::MAX)
            .clamp(MAX_BLOCK, POOL_BYTES)
    }

    pub(super) fn keep_in_pool(&self, key: Key, bytes: &Bytes) {
        let most = self.pool_bytes();
        lock(&self.pool).put(key, bytes, most);
    }

    /// Returns the block, from wherever it is. Dropping the future does not affect others who wait for the block.
    ///
    /// # Errors
    /// [`Error::Fetch`], [`Error::Corrupt`], [`Error::Unsupported`], [`Error::Busy`], [`Error::Closed`], and the
    /// session's [`Error::LimitReached`].
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
        if acceptable(cid)?.matches(b"", cid.hash()) {
            // This is the hash of the empty block, which Kubo nodes do not send each other. It is answered here.
            return Ok(Held::Memory(Bytes::new()).into());
        }
        loop {
            match self.reverify(cid).await? {
                Reverified::Right(held) => return Ok(held.into()),
                Reverified::Absent => {}
                Reverified::LookAgain => {
                    if let Some(held) = self.peek(cid.hash()) {
                        return Ok(held.into());
                    }
                    continue;
                }
            }
            if ask.offline {
                return Err(Error::NotCached { cid: *cid });
            }
            ask.allowance.may_fetch()?;
            let (waiting, _place) = self.join_fetch(cid, ask);
            match waiting.result().await? {
                Some(Landed::Block(obtained)) => return Ok(obtained),
                Some(Landed::NoRoom) if ask.rank == Rank::Ahead => {
                    return Err(Error::Busy {
                        cid: *cid,
                        waited: Duration::ZERO,
                    });
                }
                Some(Landed::NoRoom) | None => {}
            }
            self.ensure_open()?;
            if let Some(held) = self.peek(cid.hash()) {
                return Ok(held.into());
            }
        }
    }

    /// Verifies a block that the host has, and stages it. Returns whether it found room.
    pub(crate) async fn put(self: &Arc<Self>, cid: Cid, bytes: Bytes) -> Result<bool, Error> {
        self.ensure_open()?;
        if self.peek(cid.hash()).is_some() {
            return Ok(true);
        }
        let verified = task::blocking(move || UnverifiedBlock::new(bytes).verify(&cid)).await?;
        self.ensure_open()?;
        let staged = self
            .store
            .stage_off_thread(*cid.hash(), Block::into_bytes(verified));
        Ok(staged.await.is_some())
    }

    /// Returns all bytes of a block. A long block is read on a blocking thread.
    pub(crate) async fn bytes_of(self: &Arc<Self>, held: &Held) -> Result<Bytes, Error> {
        let staged = match held {
            Held::Memory(bytes) => return Ok(bytes.clone()),
            Held::Staged(staged) => staged,
        };
        if staged.len() <= OFF_THREAD {
            match staged.try_read(0, staged.len()) {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => {}
                Err(error) => return Err(self.unreadable(staged, error)),
            }
        }
        self.read_staged(staged.clone(), 0, staged.len()).await
    }

    /// Reads a part of a staged block, on a blocking thread. The future does not hold the block.
    pub(crate) fn read_staged(
        self: &Arc<Self>,
        block: Arc<Staged>,
        at: u64,
        len: usize,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send + use<> {
        let engine = self.clone();
        task::blocking(
            move || match block.extent().read_blocking(at as usize, len) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(engine.unreadable(&block, error)),
            },
        )
    }

    /// As [`bytes_of`](Self::bytes_of), on the current thread, which may block.
    pub(super) fn read_whole(&self, held: &Held) -> Result<Bytes, Error> {
        match held {
            Held::Memory(bytes) => Ok(bytes.clone()),
            Held::Staged(staged) => match staged.extent().read_blocking(0, staged.len()) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(self.unreadable(staged, error)),
            },
        }
    }

    /// Forgets a staged block that cannot be read back, so that the next read fetches it again. Returns the error for
    /// this read.
    pub(crate) fn unreadable(&self, staged: &Staged, error: io::Error) -> Error {
        self.store.forget(staged);
        staging("a staged block cannot be read back", error)
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
        self.queue.close(self.number);
        lock(&self.pool).clear();
        self.store.close_off_thread().await;
        self.pins.close().await
    }
}

/// The settings of an [`Engine`].
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) in_flight_bytes: u64,
    pub(crate) block_deadline: Duration,
    pub(crate) may_block: bool,
}
