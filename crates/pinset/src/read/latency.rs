//! The backend's time for a block, as one handle sees it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The time that the backend takes for a block, as one handle sees it. It is smoothed, and shared with the tasks that
/// fetch for the handle.
///
/// It counts only the backend's time: how long a block waits to be verified does not tell how many blocks to request.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// The time in nanoseconds; 0 as long as no block was seen.
    smoothed: AtomicU64,
}

impl Latency {
    /// Records the time that a block took.
    pub(crate) fn saw(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let before = self.smoothed.load(Ordering::Relaxed);
        let after = match before {
            0 => took,
            before => before - before / 8 + took / 8,
        };
        // If two threads store at once, one time may be lost. That does no harm, since more will come.
        self.smoothed.store(after, Ordering::Relaxed);
    }

    pub(super) fn nanos(&self) -> u64 {
        self.smoothed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_latency_is_smoothed() {
        let latency = Latency::default();
        latency.saw(Duration::ZERO);
        assert_eq!(latency.nanos(), 1);
        let latency = Latency::default();
        latency.saw(8 * MS);
        latency.saw(16 * MS);
        assert_eq!(latency.nanos(), 9_000_000);
        for _ in 0..100 {
            latency.saw(16 * MS);
        }
        assert!((15_900_000..=16_000_000).contains(&latency.nanos()));
    }
}
