//! How long a gateway that failed is skipped.
//!
//! Pure: events and their times go in, whether to ask the gateway comes out. The caller has the clock.

use std::time::Duration;

use tokio::time::Instant;

/// The first rest.
const FIRST: Duration = Duration::from_millis(500);
/// A rest is at least this many times as long as the failed call took. This bounds the part of the callers' time that
/// a gateway that hangs can waste.
const TIMES_WASTED: u32 = 4;
/// The longest rest that we choose.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest rest that a gateway can ask for, so that a wrong `Retry-After` does not remove a gateway for the life
/// of the process.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// The recent failures of one gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    /// Failures in a row, each of a call that began after the rest for the previous failure.
    failures: u32,
    failed_at: Option<Instant>,
    /// The end of the rest that we chose.
    until: Option<Instant>,
    /// The end of the rest that the gateway asked for.
    asked_until: Option<Instant>,
}

/// Whether a gateway is to be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Yes.
    Ready,
    /// Preferably not before this instant, but rather than no gateway at all.
    Resting(Instant),
    /// Not before this instant, at the gateway's own request.
    Barred(Instant),
}

impl Rest {
    /// Records that a call that began at `began` succeeded, or failed for a reason that is not the gateway's.
    pub(crate) fn worked(&mut self, began: Instant) {
        // A call that began before the failure says nothing about the time after it.
        if self.failed_at.is_none_or(|failed| began >= failed) {
            *self = Self::default();
        }
    }

    /// Records that a call that began at `began` failed at `now`, and that the gateway asked for a rest of `asked`.
    pub(crate) fn failed(&mut self, began: Instant, now: Instant, asked: Option<Duration>) {
        if let Some(asked) = asked {
            let until = now + asked.min(LONGEST_ASKED);
            self.asked_until = self.asked_until.max(Some(until));
        }
        // Calls in flight that fail together count as one failure. Calls made during a rest, because there was no
        // other gateway to ask, do not count.
        if self.until.is_some_and(|until| began < until) {
            return;
        }
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        let wasted = now.saturating_duration_since(began);
        let rest = FIRST
            .saturating_mul(doubled)
            .max(wasted.saturating_mul(TIMES_WASTED))
            .min(LONGEST);
        self.until = Some(now + rest);
    }

    pub(crate) fn readiness(&self, now: Instant) -> Readiness {
        match (self.asked_until, self.until) {
            (Some(until), _) if until > now => Readiness::Barred(until),
            (_, Some(until)) if until > now => Readiness::Resting(until),
            (_, _) => Readiness::Ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_end_with_a_success() {
        let start = Instant::now();
        let mut rest = Rest::default();
        assert_eq!(rest.readiness(start), Readiness::Ready);
        let mut now = start;
        for wanted in [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            rest.failed(now, now, None);
            let until = now + Duration::from_millis(wanted);
            assert_eq!(rest.readiness(now), Readiness::Resting(until));
            assert_eq!(rest.readiness(until), Readiness::Ready);
            now = until;
        }
        rest.worked(now);
        rest.failed(now, now, None);
        assert_eq!(rest.readiness(now), Readiness::Resting(now + FIRST));
    }

    #[test]
    fn calls_that_fail_together_are_one_failure() {
        let began = Instant::now();
        let mut rest = Rest::default();
        for late in 1..=16 {
            rest.failed(began, began + Duration::from_millis(late), None);
        }
        let first = began + Duration::from_millis(1);
        assert_eq!(rest.readiness(first), Readiness::Resting(first + FIRST));
        // A call that began before and succeeds does not end the rest.
        rest.worked(began);
        assert_eq!(rest.readiness(first), Readiness::Resting(first + FIRST));
    }

    #[test]
    fn a_failure_that_took_long_is_rested_from_for_longer() {
        let began = Instant::now();
        for (took, wanted) in [(0, 500), (100, 500), (1000, 4000), (100_000, 60_000)] {
            let mut rest = Rest::default();
            let now = began + Duration::from_millis(took);
            rest.failed(began, now, None);
            let until = now + Duration::from_millis(wanted);
            assert_eq!(rest.readiness(now), Readiness::Resting(until));
        }
    }

    #[test]
    fn what_is_asked_for_is_kept_but_not_for_ever() {
        let now = Instant::now();
        let mut rest = Rest::default();
        let asked = Duration::from_secs(7);
        rest.failed(now, now, Some(asked));
        assert_eq!(rest.readiness(now), Readiness::Barred(now + asked));
        assert_eq!(rest.readiness(now + asked), Readiness::Ready);
        // A shorter one that arrives later does not shorten it.
        rest.failed(now, now, Some(Duration::from_secs(1)));
        assert_eq!(rest.readiness(now), Readiness::Barred(now + asked));
        rest.failed(now, now, Some(Duration::from_secs(1_000_000_000)));
        assert_eq!(rest.readiness(now), Readiness::Barred(now + LONGEST_ASKED));
    }
}
