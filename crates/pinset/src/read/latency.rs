//! The backend's time for a block, as one handle sees it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The time that the backend takes for a block, as one handle sees it: smoothed, and shared with what fetches for it.
///
/// The backend's time alone: how long a block waits for its turn to be verified tells nothing of how many to ask for.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// In nanoseconds; 0 as long as none was seen.
    smoothed: AtomicU64,
}

impl Latency {
    /// Takes note of a block that took so long.
    pub(crate) fn saw(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let before = self.smoothed.load(Ordering::Relaxed);
        let after = match before {
            0 => took,
            before => before - before / 8 + took / 8,
        };
        // Of two at once one may be lost: there are more to come.
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
