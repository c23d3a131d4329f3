//! [`race`]: sources in an order, one after the other, or side by side if one takes long.
//!
//! It knows neither what is asked for nor why a source fails.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

/// The longest wait, so that adding it to the current time cannot overflow: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The outcome of a [`race`] with an answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Won<T> {
    /// The answer.
    pub answer: T,
    /// The place of its source in the order.
    pub source: usize,
    /// The sources that had been asked and had not answered. Their calls are dropped.
    pub overtaken: Vec<Overtaken>,
}

/// A source that had not answered when another one had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overtaken {
    /// Its place in the order.
    pub source: usize,
    /// When it was asked.
    pub began: Instant,
}

/// Asks sources in their order until one answers.
///
/// `ask` makes the call to the source at a place, from 0 to `sources` exclusive. The next source is asked when one
/// fails; or beside the others when none has ended for `hedge`, or for an equal share of the time that is left until
/// `deadline`, if that is less. So a source that hangs leaves time for the others, and one that is merely slow may
/// still be the first to answer. Each call has to end by itself: `race` ends none but those that were overtaken.
///
/// # Errors
/// The failures of all sources, with their places, in the order in which they came.
///
/// # Cancellation
/// Drops all calls.
pub async fn race<T, E, F>(
    sources: usize,
    deadline: Option<Instant>,
    hedge: Duration,
    mut ask: impl FnMut(usize) -> F,
) -> Result<Won<T>, Vec<(usize, E)>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut calls = FuturesUnordered::new();
    let (mut overtaken, mut failures) = (Vec::new(), Vec::new());
    let mut next = 0;
    let mut patience = Instant::now();
    loop {
        // Nobody has answered yet, and nobody else is to be waited for.
        if next < sources {
            let (place, began) = (next, Instant::now());
            calls.push(ask(place).map(move |outcome| (place, outcome)));
            overtaken.push(Overtaken {
                source: place,
                began,
            });
            patience = share(began, deadline, sources - place).min(began + hedge.min(LONGEST));
            next += 1;
        }
        let ended = match next < sources {
            true => timeout_at(patience, calls.next()).await,
            false => Ok(calls.next().await),
        };
        let Ok(ended) = ended else { continue };
        let Some((source, outcome)) = ended else {
            return Err(failures);
        };
        overtaken.retain(|call| call.source != source);
        match outcome {
            Ok(answer) => {
                return Ok(Won {
                    answer,
                    source,
                    overtaken,
                });
            }
            Err(error) => failures.push((source, error)),
        }
    }
}

/// The end of an equal share of the time that is left at `now`, divided among this many sources.
pub(crate) fn share(now: Instant, deadline: Option<Instant>, among: usize) -> Instant {
    let left = deadline.map_or(LONGEST, |deadline| deadline.saturating_duration_since(now));
    now + left.min(LONGEST) / u32::try_from(among.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const HEDGE: Duration = Duration::from_secs(1);

    /// How a source of a test ends, and after which time.
    #[derive(Clone, Copy)]
    enum Source {
        Answers(Duration),
        Fails(Duration),
        Hangs,
    }
    use Source::{Answers, Fails, Hangs};

    impl Source {
        async fn ask(self) -> Result<&'static str, &'static str> {
            match self {
                Answers(after) => sleep(after).await,
                Fails(after) => {
                    sleep(after).await;
                    return Err("failed");
                }
                Hangs => pending().await,
            }
            Ok("answered")
        }
    }

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn the_first_is_asked_alone_and_the_next_when_it_fails_or_takes_long() {
        let (soon, late) = (SOON, 5 * HEDGE);
        // The sources; who wins, after which time, and who was overtaken.
        for (sources, winner, after, overtaken) in [
            (&[Answers(soon), Hangs][..], 0, soon, &[][..]),
            (&[Fails(soon), Answers(soon)], 1, 2 * soon, &[]),
            (&[Hangs, Answers(soon)], 1, HEDGE + soon, &[0]),
            (
                &[Hangs, Fails(soon), Answers(soon)],
                2,
                HEDGE + 2 * soon,
                &[0],
            ),
            (&[Hangs, Hangs, Answers(soon)], 2, 2 * HEDGE + soon, &[0, 1]),
            // A slow one may still be the first.
            (&[Answers(HEDGE + soon), Hangs], 0, HEDGE + soon, &[1]),
            (&[Answers(late), Fails(soon)], 0, late, &[]),
        ] {
            let started = Instant::now();
            let won = race(sources.len(), None, HEDGE, |at| sources[at].ask()).await;
            let won = won.expect("one answers");
            assert_eq!((won.source, started.elapsed()), (winner, after));
            let slow: Vec<_> = won.overtaken.iter().map(|it| it.source).collect();
            assert_eq!(slow, overtaken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_a_share_of_a_short_time() {
        let deadline = Instant::now() + 3 * SOON;
        let sources = [Hangs, Hangs, Answers(Duration::ZERO)];
        let won = race(3, Some(deadline), HEDGE, |at| sources[at].ask()).await;
        assert_eq!(won.expect("the last answers").source, 2);
        assert!(Instant::now() < deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn all_failures_are_told() {
        let sources = [Fails(2 * HEDGE), Fails(SOON), Fails(SOON)];
        let failures = race(3, None, Duration::MAX, |at| sources[at].ask()).await;
        let places = |failures: Vec<(usize, _)>| failures.into_iter().map(|it| it.0).collect();
        let places: Vec<usize> = places(failures.expect_err("all fail"));
        assert_eq!(places, [0, 1, 2]);
        let failures = race(3, None, HEDGE, |at| sources[at].ask()).await;
        let failures = failures.expect_err("all fail");
        assert_eq!(
            failures.iter().map(|it| it.0).collect::<Vec<_>>(),
            [1, 2, 0]
        );
        let none = race(0, None, HEDGE, |_| Hangs.ask()).await;
        assert!(none.expect_err("nobody answers").is_empty());
    }
}
