//! When a call is retried, and how long to wait before.
//!
//! Pure: this module decides; the request does the waiting and has the deadline.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::HttpError;

/// How often, and after which failures, a call is retried. A POST is retried like a GET, so a call that must not take
/// effect twice needs [`NEVER`](Self::NEVER). The call's own deadline bounds all attempts: if the next wait would end
/// after the deadline, the failure is returned at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The largest number of attempts, the first included. One means no retry; zero counts as one.
    pub attempts: u32,
    /// The wait after the first failure. It doubles with each further failure. The actual wait is a random part of
    /// it, between half and all, so that clients that failed together do not return together.
    pub first_wait: Duration,
    /// The longest wait, unless the server asks for a longer one (`Retry-After`).
    pub longest_wait: Duration,
    /// Selects further failures to retry after, such as a status 500 that means something else to a backend.
    pub also: Option<fn(&HttpError) -> bool>,
}

impl Default for RetryPolicy {
    /// Three attempts, with waits of 50 ms and 100 ms.
    fn default() -> Self {
        Self {
            attempts: 3,
            first_wait: Duration::from_millis(50),
            longest_wait: Duration::from_secs(2),
            also: None,
        }
    }
}

impl RetryPolicy {
    /// One attempt and no retry.
    pub const NEVER: Self = Self {
        attempts: 1,
        first_wait: Duration::ZERO,
        longest_wait: Duration::ZERO,
        also: None,
    };

    /// Sets the number of attempts, the first included.
    pub const fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Sets the first wait and the longest wait.
    pub const fn with_waits(self, first: Duration, longest: Duration) -> Self {
        Self {
            first_wait: first,
            longest_wait: longest,
            ..self
        }
    }

    /// Also retries after the failures that `also` selects.
    pub const fn with_also(self, also: fn(&HttpError) -> bool) -> Self {
        Self {
            also: Some(also),
            ..self
        }
    }

    /// How long to wait before the next attempt, after `failed` attempts of which the last failed with `error`.
    /// `None` if there is no next attempt.
    pub fn wait(&self, failed: u32, error: &HttpError) -> Option<Duration> {
        if failed >= self.attempts || !self.passes(error) {
            return None;
        }
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        let wait = self
            .first_wait
            .saturating_mul(doubled)
            .min(self.longest_wait);
        Some(jittered(wait).max(error.retry_after().unwrap_or_default()))
    }

    fn passes(&self, error: &HttpError) -> bool {
        let always = match error {
            HttpError::Unreachable { .. } | HttpError::CutShort { .. } => true,
            HttpError::Status(status) => matches!(status.status.as_u16(), 429 | 502..=504),
            HttpError::Unusable { .. }
            | HttpError::TimedOut { .. }
            | HttpError::Redirected { .. }
            | HttpError::TooLarge { .. }
            | HttpError::StreamError { .. }
            | HttpError::Malformed { .. } => false,
        };
        always || self.also.is_some_and(|also| also(error))
    }
}

/// A random part of `wait`, between half and all: each `RandomState` hashes differently.
fn jittered(wait: Duration) -> Duration {
    let chance = (RandomState::new().hash_one(()) >> 32) as f64 / f64::from(u32::MAX);
    wait.mul_f64(0.5 + chance.min(1.0) / 2.0)
}
