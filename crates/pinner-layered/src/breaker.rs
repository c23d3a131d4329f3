//! How long a source that failed or lied is asked last.
//!
//! Pure: events and their times go in, whether to ask the source comes out. The caller has the clock.

use std::time::Duration;

use pinner_api::Cid;
use tokio::time::Instant;

/// The first rest.
const FIRST: Duration = Duration::from_millis(500);
/// A rest is at least this many times as long as the failed call took. This bounds the part of the callers' time that
/// a source that hangs can waste.
const TIMES_WASTED: u32 = 4;
/// The longest rest after a failure.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest rest that a source can ask for, so that a wrong `Retry-After` does not remove a source for the life of
/// the process.
const LONGEST_ASKED: Duration = Duration::from_secs(600);
/// The first rest after a wrong block.
const FIRST_LIE: Duration = Duration::from_secs(60);
/// The longest rest after a wrong block.
const LONGEST_LIE: Duration = Duration::from_secs(3600);
/// A source fails if it missed so many different blocks in a row.
const MISSES: u32 = 3;

/// The recent failures of one source.
///
/// It knows three kinds. A **failure** is the source's fault. A **miss** is a call that came to nothing and may be the
/// block's fault, which may be nowhere; several different blocks that are missed in a row are a failure. A **lie** is a
/// block that does not have the hash of its CID.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    /// Failures in a row, each of a call that began after the rest for the previous failure.
    failures: u32,
    failed_at: Option<Instant>,
    /// The end of the rest that we chose.
    until: Option<Instant>,
    /// The end of the rest that the source asked for.
    asked_until: Option<Instant>,
    /// Different blocks that were missed in a row, and the last of them.
    misses: u32,
    missed: Option<Cid>,
    /// Lies in a row, each after the rest for the previous one.
    lies: u32,
    lied_until: Option<Instant>,
}

/// Whether a source is to be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Preferably not before this instant, but rather than no source at all.
    Resting(Instant),
    /// Not before this instant, at the source's own request.
    Barred(Instant),
}

impl Breaker {
    /// Records that a call that began at `began` was answered, with a block or with a proof that there is none. Whether
    /// the block is right is another event.
    pub fn worked(&mut self, began: Instant) {
        // A call that began before the failure says nothing about the time after it.
        if self.failed_at.is_none_or(|failed| began >= failed) {
            *self = Self {
                lies: self.lies,
                lied_until: self.lied_until,
                ..Self::default()
            };
        }
    }

    /// Records that a call that began at `began` failed at `now`, and that the source asked for a rest of `asked`.
    pub fn failed(&mut self, began: Instant, now: Instant, asked: Option<Duration>) {
        if let Some(asked) = asked {
            let until = now + asked.min(LONGEST_ASKED);
            self.asked_until = self.asked_until.max(Some(until));
        }
        // Calls in flight that fail together count as one failure. Calls made during a rest, because there was no
        // other source to ask, do not count.
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

    /// Records that a call for `block`, which began at `began`, had come to nothing by `now`, and that the block may be
    /// the reason: no answer has begun, or it is too large.
    pub fn missed(&mut self, block: &Cid, began: Instant, now: Instant) {
        if self.missed != Some(*block) {
            self.missed = Some(*block);
            self.misses = self.misses.saturating_add(1);
        }
        if self.misses >= MISSES {
            self.failed(began, now, None);
        }
    }

    /// Records that a block of the source was wrong.
    pub fn lied(&mut self, now: Instant) {
        // Calls in flight together count as one lie.
        if self.lied_until.is_some_and(|until| now < until) {
            return;
        }
        let rest = FIRST_LIE
            .saturating_mul(2_u32.saturating_pow(self.lies))
            .min(LONGEST_LIE);
        self.lies = self.lies.saturating_add(1);
        self.lied_until = Some(now + rest);
    }

    /// Records that a block of the source was right. It does not end a rest: others are asked first until then.
    pub fn right(&mut self) {
        self.lies = 0;
    }

    /// Whether the source is to be asked at `now`.
    pub fn readiness(&self, now: Instant) -> Readiness {
        let resting = self.until.max(self.lied_until);
        match (self.asked_until, resting) {
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
        let mut breaker = Breaker::default();
        assert_eq!(breaker.readiness(start), Readiness::Ready);
        let mut now = start;
        for wanted in [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            breaker.failed(now, now, None);
            let until = now + Duration::from_millis(wanted);
            assert_eq!(breaker.readiness(now), Readiness::Resting(until));
            assert_eq!(breaker.readiness(until), Readiness::Ready);
            now = until;
        }
        breaker.worked(now);
        breaker.failed(now, now, None);
        assert_eq!(breaker.readiness(now), Readiness::Resting(now + FIRST));
    }

    #[test]
    fn calls_that_fail_together_are_one_failure() {
        let began = Instant::now();
        let mut breaker = Breaker::default();
        for late in 1..=16 {
            breaker.failed(began, began + Duration::from_millis(late), None);
        }
        let first = began + Duration::from_millis(1);
        assert_eq!(breaker.readiness(first), Readiness::Resting(first + FIRST));
        // A call that began before and succeeds does not end the rest.
        breaker.worked(began);
        assert_eq!(breaker.readiness(first), Readiness::Resting(first + FIRST));
    }

    #[test]
    fn a_failure_that_took_long_is_rested_from_for_longer() {
        let began = Instant::now();
        for (took, wanted) in [(0, 500), (100, 500), (1000, 4000), (100_000, 60_000)] {
            let mut breaker = Breaker::default();
            let now = began + Duration::from_millis(took);
            breaker.failed(began, now, None);
            let until = now + Duration::from_millis(wanted);
            assert_eq!(breaker.readiness(now), Readiness::Resting(until));
        }
    }

    #[test]
    fn a_rest_that_is_asked_for_is_kept_but_not_for_ever() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let asked = Duration::from_secs(7);
        breaker.failed(now, now, Some(asked));
        assert_eq!(breaker.readiness(now), Readiness::Barred(now + asked));
        assert_eq!(breaker.readiness(now + asked), Readiness::Ready);
        // A shorter one that arrives later does not shorten it.
        breaker.failed(now, now, Some(Duration::from_secs(1)));
        assert_eq!(breaker.readiness(now), Readiness::Barred(now + asked));
        breaker.failed(now, now, Some(Duration::MAX));
        assert_eq!(
            breaker.readiness(now),
            Readiness::Barred(now + LONGEST_ASKED)
        );
    }

    /// Some distinct CIDs.
    fn blocks() -> impl Iterator<Item = Cid> {
        (0x70..).map(|codec| Cid::new_v1(codec, *Cid::default().hash()))
    }

    #[test]
    fn one_missed_block_is_not_the_sources_fault_but_several_in_a_row_are() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let blocks: Vec<_> = blocks().take(MISSES as usize + 1).collect();
        for _ in 0..100 {
            breaker.missed(&blocks[0], now, now);
        }
        assert_eq!(breaker.readiness(now), Readiness::Ready);
        for block in &blocks[1..MISSES as usize] {
            assert_eq!(breaker.readiness(now), Readiness::Ready);
            breaker.missed(block, now, now);
        }
        let until = now + FIRST;
        assert_eq!(breaker.readiness(now), Readiness::Resting(until));
        // Until it works again, one more is enough, and the rest is longer.
        breaker.missed(&blocks[MISSES as usize], until, until);
        assert_eq!(
            breaker.readiness(until),
            Readiness::Resting(until + 2 * FIRST)
        );
        // An answer in between starts the count again.
        let mut breaker = Breaker::default();
        for block in &blocks {
            breaker.missed(block, now, now);
            breaker.worked(now);
        }
        assert_eq!(breaker.readiness(now), Readiness::Ready);
    }

    #[test]
    fn a_liar_rests_long_and_an_answer_alone_does_not_end_that() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..16 {
            breaker.lied(now);
            breaker.worked(now);
        }
        let until = now + FIRST_LIE;
        assert_eq!(breaker.readiness(now), Readiness::Resting(until));
        // It lies again, and rests for longer.
        breaker.worked(until);
        breaker.lied(until);
        let longer = until + 2 * FIRST_LIE;
        assert_eq!(breaker.readiness(until), Readiness::Resting(longer));
        // After a right block, the next lie is the first again.
        breaker.right();
        assert_eq!(breaker.readiness(until), Readiness::Resting(longer));
        breaker.lied(longer);
        let until = longer + FIRST_LIE;
        assert_eq!(breaker.readiness(longer), Readiness::Resting(until));
        // However often it lies, it is tried again some day.
        let mut now = until;
        for _ in 0..100 {
            breaker.lied(now);
            now += LONGEST_LIE;
        }
        assert_eq!(breaker.readiness(now), Readiness::Ready);
    }
}
