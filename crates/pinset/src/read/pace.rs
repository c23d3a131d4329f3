//! How far to read ahead, derived from two times that one handle sees: how long the backend takes for a block, and how
//! long the reader takes for a leaf.
//!
//! Knows nothing of blocks or files: times in, a number of leaves out.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use super::latency::Latency;

/// The most leaves of read-ahead. With 16 in flight, a backend that takes 42 ms for a block delivers 100 MB/s in blocks
/// of 256 KiB, and 400 MB/s in blocks of 1 MiB.
pub(super) const MOST_LEAVES: u64 = 16;

/// The leaves of read-ahead before the reader's time for a leaf is known. This is enough to get most of the speed of a
/// slow backend, and wastes little if only the head of a file is read.
const AT_FIRST: u64 = 4;

/// The pace of one handle's reader.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pub(super) latency: Arc<Latency>,
    /// When the reader entered the current leaf.
    entered: Option<Instant>,
    /// How long the reader has waited for blocks since.
    waited: Duration,
    /// The time in nanoseconds that the reader takes for a leaf, without the waiting. The last leaf counts for half.
    per_leaf: Option<u64>,
}

impl Pace {
    /// Notes that the reader has entered a leaf.
    pub(super) fn enter(&mut self, now: Instant) {
        if let Some(entered) = self.entered.replace(now) {
            let took = now.duration_since(entered).saturating_sub(self.waited);
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.per_leaf = Some(match self.per_leaf {
                Some(before) => before / 2 + took / 2,
                None => took,
            });
        }
        self.waited = Duration::ZERO;
    }

    /// Notes that the reader had to wait for a block.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Forgets the reader's time for a leaf, because the reader went elsewhere.
    pub(super) fn reset(&mut self) {
        self.entered = None;
        self.waited = Duration::ZERO;
        self.per_leaf = None;
    }

    /// The number of leaves to read ahead: twice as many as the reader goes through while a block is fetched, since
    /// both times vary, and the leaves that are being verified. It is at most [`MOST_LEAVES`].
    pub(super) fn leaves_ahead(&self) -> u64 {
        let Some(per_leaf) = self.per_leaf else {
            return AT_FIRST;
        };
        let meanwhile = self.latency.nanos().saturating_mul(2) / per_leaf.max(1);
        meanwhile.saturating_add(verifying()).min(MOST_LEAVES)
    }
}

/// The number of blocks that keep the processors busy with verification for one reader: one for each processor, of
/// which at most four count, and one that waits for its turn.
fn verifying() -> u64 {
    static THREADS: OnceLock<u64> = OnceLock::new();
    *THREADS.get_or_init(|| {
        std::thread::available_parallelism().map_or(2, |threads| threads.get().min(4) as u64) + 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns the leaves ahead of a reader that takes `per_leaf` and waits `waits` for each leaf, over a backend that
    /// takes `latency`.
    fn leaves_ahead(latency: Duration, per_leaf: Duration, waits: Duration) -> u64 {
        let mut pace = Pace::default();
        pace.latency.saw(latency);
        let mut now = Instant::now();
        pace.enter(now);
        assert_eq!(pace.leaves_ahead(), AT_FIRST);
        for _ in 0..20 {
            pace.waited(waits);
            now += per_leaf + waits;
            pace.enter(now);
        }
        pace.leaves_ahead()
    }

    #[test]
    fn the_faster_the_reader_and_the_slower_the_backend_the_further_ahead() {
        let cores = verifying();
        for (latency, per_leaf, more) in [
            (42 * MS, MS, MOST_LEAVES),
            (42 * MS, 5 * MS, MOST_LEAVES),
            (42 * MS, 42 * MS, 2),
            (42 * MS, 30 * MS, 2),
            (42 * MS, 1000 * MS, 0),
            (MS / 10, MS / 2, 0),
            (MS, MS / 2, 4),
        ] {
            let expected = (more + cores).min(MOST_LEAVES);
            for waits in [Duration::ZERO, latency] {
                let got = leaves_ahead(latency, per_leaf, waits);
                assert_eq!(got, expected, "{latency:?} {per_leaf:?} {waits:?}");
            }
        }
    }

    #[test]
    fn a_pause_is_forgotten() {
        let mut pace = Pace::default();
        pace.latency.saw(42 * MS);
        let mut now = Instant::now();
        pace.enter(now);
        let mut read = |pace: &mut Pace, leaves: u64, per_leaf: Duration| {
            for _ in 0..leaves {
                now += per_leaf;
                pace.enter(now);
            }
            pace.leaves_ahead()
        };
        assert_eq!(read(&mut pace, 4, MS), MOST_LEAVES);
        assert_eq!(read(&mut pace, 1, 10_000 * MS), verifying());
        // The pause is forgotten before the reader has gone through the leaves ahead.
        assert_eq!(read(&mut pace, 14, MS), MOST_LEAVES);
        pace.reset();
        assert_eq!(pace.leaves_ahead(), AT_FIRST);
    }
}
