//! The counters of fetching, and the one figure that is recorded as it happens: the time of the backend for a block.

use std::time::Duration;

use pinner_api::PinnerError;

use crate::sync::{AtomicU64, Ordering};

/// The number of failed fetches, by the kind of the backend's error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchFailures {
    /// The backend proved that the block does not exist.
    pub not_found: u64,
    /// The backend could not be reached, or failed for reasons of its own.
    pub unavailable: u64,
    /// The backend asked for fewer calls.
    pub rate_limited: u64,
    /// A deadline passed.
    pub timed_out: u64,
    /// Credentials or policy forbade the fetch.
    pub denied: u64,
    /// The backend's answer was not a block: too large, cut short, or garbled.
    pub corrupt: u64,
    /// Any other error.
    pub other: u64,
}

impl FetchFailures {
    /// The number of all failed fetches.
    pub fn total(&self) -> u64 {
        let Self {
            not_found,
            unavailable,
            rate_limited,
            timed_out,
            denied,
            corrupt,
            other,
        } = self;
        not_found + unavailable + rate_limited + timed_out + denied + corrupt + other
    }
}

/// A kind of failed fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    NotFound,
    Unavailable,
    RateLimited,
    TimedOut,
    Denied,
    Corrupt,
    Other,
}

impl FailureKind {
    pub(crate) fn of(error: &PinnerError) -> Self {
        match error {
            PinnerError::NotFound { .. } => Self::NotFound,
            PinnerError::Unavailable { .. } => Self::Unavailable,
            PinnerError::RateLimited { .. } => Self::RateLimited,
            PinnerError::TimedOut { .. } => Self::TimedOut,
            PinnerError::Denied { .. } => Self::Denied,
            PinnerError::Corrupt { .. } => Self::Corrupt,
            // Errors that no fetch of a block should return, and future variants of `PinnerError`: they are counted
            // together.
            _ => Self::Other,
        }
    }

    /// The name in labels and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::RateLimited => "rate_limited",
            Self::TimedOut => "timed_out",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) blocks_fetched: AtomicU64,
    pub(crate) bytes_fetched: AtomicU64,
    pub(crate) bytes_verified: AtomicU64,
    pub(crate) bytes_served: AtomicU64,
    /// The bytes that read-ahead protects now.
    pub(crate) bytes_in_use: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) read_ahead_blocks: AtomicU64,
    pub(crate) corrupt_blocks: AtomicU64,
    /// The time that fetches waited for their turn, in nanoseconds.
    pub(crate) queued_nanos: AtomicU64,
    /// Fetches that got no turn before their deadline.
    pub(crate) queue_timeouts: AtomicU64,
    failures: [AtomicU64; FailureKind::Other as usize + 1],
}

impl Counters {
    pub(crate) fn served(&self, bytes: usize) {
        self.bytes_served.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records how long a fetch waited for its turn.
    pub(crate) fn queued(&self, waited: Duration) {
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.queued_nanos.fetch_add(nanos, Ordering::Relaxed);
        queued(waited);
    }

    /// Records that a fetch got no turn before its deadline.
    pub(crate) fn got_no_turn(&self) {
        self.queue_timeouts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fetch_failed(&self, kind: FailureKind) {
        self.failures[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> FetchFailures {
        let now = |kind: FailureKind| self.failures[kind as usize].load(Ordering::Relaxed);
        FetchFailures {
            not_found: now(FailureKind::NotFound),
            unavailable: now(FailureKind::Unavailable),
            rate_limited: now(FailureKind::RateLimited),
            timed_out: now(FailureKind::TimedOut),
            denied: now(FailureKind::Denied),
            corrupt: now(FailureKind::Corrupt),
            other: now(FailureKind::Other),
        }
    }
}

#[cfg(feature = "metrics")]
pub(crate) const FETCH_SECONDS: &str = "pinset_block_fetch_seconds";
#[cfg(feature = "metrics")]
pub(crate) const FETCH_SECONDS_IS: &str = "Time of the backend for one block, failed ones too";

#[cfg(feature = "metrics")]
pub(crate) const QUEUE_SECONDS: &str = "pinset_block_queue_seconds";
#[cfg(feature = "metrics")]
pub(crate) const QUEUE_SECONDS_IS: &str = "Time that a fetch waited for its turn";

#[cfg(feature = "metrics")]
fn queued(waited: Duration) {
    metrics::histogram!(QUEUE_SECONDS).record(waited);
}

#[cfg(not(feature = "metrics"))]
fn queued(_waited: Duration) {}

/// Records the time of a fetch as it happens. The cost of this is negligible beside a fetch.
#[cfg(feature = "metrics")]
pub(crate) fn fetched(took: Duration) {
    metrics::histogram!(FETCH_SECONDS).record(took);
}

/// Without the facade nobody asks for it.
#[cfg(not(feature = "metrics"))]
pub(crate) fn fetched(_took: Duration) {}
