//! Counters of what a pinset did, and a look at them and at what it holds.
//!
//! The counters are the truth, and cost a reader one addition a read; `metrics` publishes what is seen here.

use crate::{
    fetch::{counters::FetchFailures, engine::Engine},
    sync::{AtomicU64, Ordering},
};

/// What a pinset did since it was made, and what it holds now. All sizes are in bytes.
///
/// Each figure is right by itself; under load they may be of slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The budget, or this pinset's share of one that several have.
    pub budget_bytes: u64,
    /// What staging takes of it now, as the file system counts: blocks that are staged, being written or being removed.
    pub bytes_staged: u64,
    /// Blocks staged now.
    pub blocks_staged: u64,
    /// Of what is staged, what was read ahead and waits for its reader: it is in use, and not replaced. (What lies
    /// inside a read at this very moment is in use too, and not counted here.)
    pub bytes_in_use: u64,
    /// Memory that is reserved for blocks on their way and being written: 2 MiB for each until its length is known.
    pub bytes_reserved: u64,
    /// Of the budget, what replacement means to give to blocks that were used once: ARC's `p`.
    pub p_bytes: u64,
    /// Blocks that the backend gave, right or wrong.
    pub blocks_fetched: u64,
    /// Their bytes.
    pub bytes_fetched: u64,
    /// Of these, the bytes of blocks that hash to their CID.
    pub bytes_verified: u64,
    /// Bytes of files that readers were given.
    pub bytes_served: u64,
    /// Uses of staged blocks that had been used before. A block's first use after it was fetched is none, whether
    /// the reader waited for it or it was read ahead.
    pub hits: u64,
    /// The same by the blocks' bytes.
    pub hit_bytes: u64,
    /// Blocks that had to be fetched.
    pub misses: u64,
    /// Blocks that came back soon after they were replaced: a larger budget would have kept them. Those that had been
    /// used once before.
    pub recent_ghost_hits: u64,
    /// The same of those that had been used more often.
    pub frequent_ghost_hits: u64,
    /// Blocks that were asked for ahead of a sequential reader, or on a guest's advice.
    pub read_ahead_blocks: u64,
    /// Blocks that found no room in staging, and were served from memory.
    pub unstaged_blocks: u64,
    /// Of these, blocks that the disk would not take.
    pub staging_failures: u64,
    /// Blocks that left staging for others.
    pub evictions: u64,
    /// Fetches that failed.
    pub fetch_failures: u64,
    /// The same by kind.
    pub fetch_failures_by_kind: FetchFailures,
    /// Blocks whose bytes did not hash to their CID.
    pub corrupt_blocks: u64,
    /// Blocks that an earlier run or another process staged, and that were verified at their first use.
    pub blocks_reverified: u64,
    /// Such blocks that were not what they should be, and were let go.
    pub blocks_rotten: u64,
    /// Whether another process admits and evicts in the staging directory, so that nothing is staged here. Then
    /// `bytes_staged` is 0, and `blocks_staged` counts what is leased just now.
    pub reads_along: bool,
    /// Pins on the backend now.
    pub pins_held: u64,
    /// Lazy pins that were not made, for want of room in the queue or the budget.
    pub pins_dropped: u64,
    /// Pins that could not be made or released.
    pub pin_failures: u64,
    /// Pins that are to go, and may be on the backend still: they are being released, or could not be. Closing tries
    /// again, and the next start finds what is left.
    pub pins_unreleased: u64,
}

impl Stats {
    /// Of the blocks that were asked for, the share that was there: 0 to 1. `None` before the first.
    pub fn hit_rate(&self) -> Option<f64> {
        share(self.hits, self.misses)
    }

    /// The same by bytes, of the blocks that verified.
    pub fn byte_hit_rate(&self) -> Option<f64> {
        share(self.hit_bytes, self.bytes_verified)
    }
}

fn share(part: u64, rest: u64) -> Option<f64> {
    let all = part as f64 + rest as f64;
    (all > 0.0).then_some(part as f64 / all)
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
        let replacement = store.replacement();
        let failures = counters.failures();
        Self {
            budget_bytes: engine.budget_bytes(),
            bytes_staged: store.used(),
            blocks_staged: store.len() as u64,
            bytes_in_use: now(&counters.bytes_in_use),
            bytes_reserved: engine.reserved_bytes(),
            p_bytes: replacement.p as u64,
            blocks_fetched: now(&counters.blocks_fetched),
            bytes_fetched: now(&counters.bytes_fetched),
            bytes_verified: now(&counters.bytes_verified),
            bytes_served: now(&counters.bytes_served),
            hits: replacement.hits,
            hit_bytes: replacement.hit_bytes,
            misses: now(&counters.misses),
            recent_ghost_hits: replacement.recent_ghost_hits,
            frequent_ghost_hits: replacement.frequent_ghost_hits,
            read_ahead_blocks: now(&counters.read_ahead_blocks),
            unstaged_blocks: now(&store.unstaged),
            staging_failures: now(&store.failures),
            evictions: now(&store.evicted),
            fetch_failures: failures.total(),
            fetch_failures_by_kind: failures,
            corrupt_blocks: now(&counters.corrupt_blocks),
            blocks_reverified: now(&store.reverified),
            blocks_rotten: now(&store.rotten),
            reads_along: store.reads_along(),
            pins_held: pins.len() as u64,
            pins_dropped: pins.dropped(),
            pin_failures: pins.failures(),
            pins_unreleased: pins.unreleased() as u64,
        }
    }
}
