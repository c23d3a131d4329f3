//! Counters of what a pinset did.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Engine;

/// What a pinset did since it was made, and what it holds now. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The budget.
    pub budget_bytes: u64,
    /// What staging takes of it now, as the file system counts.
    pub bytes_staged: u64,
    /// Blocks staged now.
    pub blocks_staged: u64,
    /// Blocks that the backend gave, right or wrong.
    pub blocks_fetched: u64,
    /// Their bytes.
    pub bytes_fetched: u64,
    /// Bytes of files that readers were given.
    pub bytes_served: u64,
    /// Blocks that were asked for and were there.
    pub hits: u64,
    /// Blocks that had to be fetched.
    pub misses: u64,
    /// Blocks that were fetched ahead of a sequential reader.
    pub read_ahead_blocks: u64,
    /// Blocks that found no room in staging, and were served from memory.
    pub unstaged_blocks: u64,
    /// Blocks that left staging for others.
    pub evictions: u64,
    /// Fetches that failed.
    pub fetch_failures: u64,
    /// Blocks whose bytes did not hash to their CID.
    pub corrupt_blocks: u64,
    /// Pins on the backend now.
    pub pins_held: u64,
    /// Lazy pins that were not made, for want of room in the queue or the budget.
    pub pins_dropped: u64,
    /// Pins that could not be made or released.
    pub pin_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) blocks_fetched: AtomicU64,
    pub(crate) bytes_fetched: AtomicU64,
    pub(crate) bytes_served: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) read_ahead_blocks: AtomicU64,
    pub(crate) fetch_failures: AtomicU64,
    pub(crate) corrupt_blocks: AtomicU64,
}

impl Counters {
    pub(crate) fn served(&self, bytes: usize) {
        self.bytes_served.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Stats {
    pub(crate) fn of(engine: &Engine) -> Self {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Engine {
            counters,
            store,
            pins,
            ..
        } = engine;
        Self {
            budget_bytes: engine.budget_bytes,
            bytes_staged: store.used(),
            blocks_staged: store.len() as u64,
            blocks_fetched: now(&counters.blocks_fetched),
            bytes_fetched: now(&counters.bytes_fetched),
            bytes_served: now(&counters.bytes_served),
            hits: now(&counters.hits),
            misses: now(&counters.misses),
            read_ahead_blocks: now(&counters.read_ahead_blocks),
            unstaged_blocks: now(&store.unstaged),
            evictions: now(&store.evicted),
            fetch_failures: now(&counters.fetch_failures),
            corrupt_blocks: now(&counters.corrupt_blocks),
            pins_held: pins.len() as u64,
            pins_dropped: pins.dropped(),
            pin_failures: pins.failures(),
        }
    }
}
