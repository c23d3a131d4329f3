//! A snapshot of a pinset's counters and of its content.
//!
//! The counters are authoritative, and cost a reader one addition per read. `metrics` publishes this snapshot.

use std::time::Duration;

use crate::{
    fetch::{counters::FetchFailures, engine::Engine},
    sync::{AtomicU64, Ordering},
};

/// The work that a pinset did since it was made, and its present content. All sizes are in bytes.
///
/// Each figure is right by itself. Under load they may be from slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The budget, or this pinset's share of a budget that several pinsets have.
    pub budget_bytes: u64,
    /// The part of the budget that staging takes now, as the file system counts. It includes blocks that are being
    /// written or removed.
    pub bytes_staged: u64,
    /// The number of staged blocks.
    pub blocks_staged: u64,
    /// The size of the staged blocks that were read ahead and wait for their reader. They are in use, and not replaced.
    /// (Blocks inside a read at this moment are in use too, but are not counted here.)
    pub bytes_in_use: u64,
    /// The memory that is reserved for blocks being fetched or written: for each, its length as far as it is known, and
    /// otherwise 2 MiB.
    pub bytes_reserved: u64,
    /// The part of the budget that replacement aims to give to blocks that were used once: ARC's `p`.
    pub p_bytes: u64,
    /// Blocks that the backend returned, right or wrong.
    pub blocks_fetched: u64,
    /// The bytes of these blocks.
    pub bytes_fetched: u64,
    /// The bytes of those of these blocks that hash to their CID.
    pub bytes_verified: u64,
    /// Bytes of files returned to readers.
    pub bytes_served: u64,
    /// Uses of staged blocks that had been used before. The first use after a fetch is not counted as a hit, whether
    /// the reader waited for the block or the block was read ahead.
    pub hits: u64,
    /// The bytes of the blocks of these uses.
    pub hit_bytes: u64,
    /// Blocks that had to be fetched.
    pub misses: u64,
    /// Blocks that came back soon after they were replaced, and that had been used once before. A larger budget would
    /// have kept them.
    pub recent_ghost_hits: u64,
    /// The same for blocks that had been used more often.
    pub frequent_ghost_hits: u64,
    /// Blocks that were asked for ahead of a sequential reader, or on a guest's advice.
    pub read_ahead_blocks: u64,
    /// Blocks that found no room in staging, and were served from memory.
    pub unstaged_blocks: u64,
    /// Those of these blocks that could not be written to the disk.
    pub staging_failures: u64,
    /// Blocks evicted to make room for others.
    pub evictions: u64,
    /// Fetches that failed.
    pub fetch_failures: u64,
    /// Fetches that got no turn before their deadline, since too many others were ahead of them. The backend was not
    /// asked, and they are not among the failures.
    pub queue_timeouts: u64,
    /// The time that all fetches together waited for their turn.
    pub queue_time: Duration,
    /// Fetches that failed, by kind.
    pub fetch_failures_by_kind: FetchFailures,
    /// Blocks whose bytes did not hash to their CID.
    pub corrupt_blocks: u64,
    /// Blocks that an earlier run or another process staged, and that were verified at their first use.
    pub blocks_reverified: u64,
    /// Blocks from an earlier run or another process that failed this verification, and were discarded.
    pub blocks_rotten: u64,
    /// Whether another process is the writer of the staging directory. In that case `bytes_staged` counts what this one
    /// has staged in a part of its own, and `blocks_staged` the blocks there and those that are leased at this moment.
    pub reads_along: bool,
    /// Pins on the backend now.
    pub pins_held: u64,
    /// Lazy pins that were not made, for lack of room in the queue or the budget.
    pub pins_dropped: u64,
    /// Pins that could not be made or released.
    pub pin_failures: u64,
    /// Pins that should be released, but may still be on the backend: the release is in progress, or failed. Closing
    /// tries again, and the next start finds those that are left.
    pub pins_unreleased: u64,
}

impl Stats {
    /// Returns hits / (hits + misses), from 0 to 1; `None` before the first hit or miss.
    pub fn hit_rate(&self) -> Option<f64> {
        share(self.hits, self.misses)
    }

    /// Like [`hit_rate`](Self::hit_rate), but by bytes, with the verified bytes as the misses.
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
            queue_timeouts: now(&counters.queue_timeouts),
            queue_time: Duration::from_nanos(now(&counters.queued_nanos)),
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
