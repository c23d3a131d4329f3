//! When a call is made again, and how long is waited before.
//!
//! Pure: it decides; the waiting and the deadline are the request's.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::HttpError;

/// How often, and after which failures, a call is made again: a POST as well as a GET, so that a call which must not
/// take effect twice needs [`NEVER`](Self::NEVER). The call's own deadline bounds all of it: where the
/// wait would end behind the deadline, the failure is given at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How many times a call is made at most, the first included. One is never again; zero is one.
    pub attempts: u32,
    /// The wait after the first failure. It doubles with each further one, and of each wait a random half to whole
    /// is waited, so that clients which failed together do not return together.
    pub first_wait: Duration,
    /// The longest wait, unless the server asks for a longer one (`Retry-After`).
    pub longest_wait: Duration,
    /// Further failures after which the call is made again, such as a backend's own meaning of a status 500.
    pub also: Option<fn(&HttpError) -> bool>,
}

impl Default for RetryPolicy {
    /// Three times, after 50 ms and 100 ms.
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
    /// Once and never again.
    pub const NEVER: Self = Self {
        attempts: 1,
        first_wait: Duration::ZERO,
        longest_wait: Duration::ZERO,
        also: None,
    };

    /// With so many attempts, the first included.
    pub const fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// With `first` as the first wait and `longest` as the longest.
    pub const fn with_waits(self, first: Duration, longest: Duration) -> Self {
        Self {
            first_wait: first,
            longest_wait: longest,
            ..self
        }
    }

    /// Again after these failures as well.
    pub const fn with_also(self, also: fn(&HttpError) -> bool) -> Self {
        Self {
            also: Some(also),
            ..self
        }
    }

    /// How long to wait before the next attempt after `failed` attempts, the last of which failed with `error`;
    /// `None` where there is none.
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

/// From half of `wait` to all of it, by chance: each `RandomState` hashes differently.
fn jittered(wait: Duration) -> Duration {
    let chance = (RandomState::new().hash_one(()) >> 32) as f64 / f64::from(u32::MAX);
    wait.mul_f64(0.5 + chance.min(1.0) / 2.0)
}
