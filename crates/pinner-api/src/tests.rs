//! Tests of the text form of holders, of which errors may pass, of causes, of capabilities and of requests.

use std::{
    sync::Mutex,
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::*;

#[test]
fn a_holder_survives_its_text() {
    let holder = Holder::new([1; 8], [0xab; 16]);
    assert_eq!(holder.to_string().parse(), Ok(holder));
    assert_eq!(holder.lock_dir(), [1; 8]);
    assert_eq!(Holder::from_bytes(*holder.as_bytes()), holder);
    for wrong in ["", "zz", &"é".repeat(24), &"0".repeat(47), &"g".repeat(48)] {
        assert!(wrong.parse::<Holder>().is_err(), "{wrong:?}");
    }
}

#[test]
fn only_passing_errors_may_pass() {
    let operation = || "block/get x".to_owned();
    let cid = Cid::default();
    assert!(
        PinnerError::Unavailable {
            operation: operation(),
            source: None
        }
        .may_pass()
    );
    assert!(
        PinnerError::RateLimited {
            operation: operation(),
            retry_after: None
        }
        .may_pass()
    );
    assert!(
        PinnerError::TimedOut {
            operation: operation(),
            after: Duration::from_secs(1)
        }
        .may_pass()
    );
    let absent = PinnerError::NotFound { cid };
    assert!(!absent.may_pass() && absent.is_absence());
    assert!(!PinnerError::Unsupported { operation: "pins" }.may_pass());
}

#[test]
fn a_cause_keeps_its_words_and_its_source() {
    let cause = Cause::new(std::io::Error::other("closed"));
    assert_eq!(cause.to_string(), "closed");
    let error = PinnerError::Unavailable {
        operation: "x".into(),
        source: Some(cause),
    };
    assert_eq!(
        std::error::Error::source(&error).map(ToString::to_string),
        Some("closed".into())
    );
}

#[test]
fn capabilities_are_denied_unless_given() {
    let none = Capabilities::blocks_only();
    assert_eq!(none, Capabilities::default());
    assert!(!none.any_pins());
    let all = none
        .with_lazy_pins()
        .with_recursive_pins()
        .with_collection()
        .with_names();
    assert!(all.pins(PinDepth::Lazy) && all.pins(PinDepth::Recursive) && all.names && all.collects);
}

fn request() -> BlockRequest {
    BlockRequest::new(Cid::default())
}

#[test]
fn a_call_ends_by_the_earlier_deadline() {
    let (now, own) = (Instant::now(), Duration::from_secs(30));
    let in_seconds = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(request().ends_by(now, own), in_seconds(30));
    for (seconds, ends) in [(10, 10), (30, 30), (60, 30)] {
        let request = request().with_deadline(in_seconds(seconds));
        assert_eq!(request.ends_by(now, own), in_seconds(ends));
        assert_eq!(request.deadline(), Some(in_seconds(seconds)));
    }
    // A setting that no clock can count to.
    let for_ever = request().ends_by(now, Duration::MAX);
    assert!(for_ever > in_seconds(24 * 3600));
}

#[test]
fn a_late_request_is_refused_before_it_is_begun() {
    let now = Instant::now();
    let (before, after) = (now, now + Duration::from_secs(2));
    let request = request().with_deadline(now + Duration::from_secs(1));
    assert!(request.in_time(before).is_ok());
    for now in [now + Duration::from_secs(1), after] {
        match request.in_time(now) {
            Err(PinnerError::TimedOut { after, operation }) => {
                assert_eq!(after, Duration::ZERO);
                assert!(operation.contains(&Cid::default().to_string()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(self::request().in_time(after).is_ok());
}

#[test]
fn a_request_says_what_was_set() {
    let plain = request();
    assert_eq!(plain.origin(), &Origin::root(Cid::default()));
    assert!(plain.avoid().is_empty() && plain.deadline().is_none());
    let [one, two] = ["one", "two"].map(SourceId::new);
    let origin = Origin::new(Cid::default(), "a/b");
    let set = plain.with_origin(origin.clone()).avoiding([one.clone()]);
    assert_eq!((set.origin(), set.avoid()), (&origin, &[one.clone()][..]));
    assert!(set.avoids(&one) && !set.avoids(&two));
    assert!(set.avoiding(Some(two.clone())).avoids(&two));
    let answer = Answer::from(Bytes::from("bytes"));
    assert_eq!(answer, Answer::new("bytes".into()));
    assert_eq!(answer.with_source(two.clone()).source, Some(two));
}

/// A backend that leaves everything to the trait, except for the number of its calls at once.
#[derive(Debug, Default)]
struct Counting {
    at_once: Mutex<(usize, usize)>,
}

#[async_trait]
impl Pinner for Counting {
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        {
            let mut at_once = self.at_once.lock().expect("not poisoned");
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        // Pending once, so that as many calls as may be are in flight.
        let mut polled = false;
        std::future::poll_fn(|context| match std::mem::replace(&mut polled, true) {
            true => Poll::Ready(()),
            false => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        self.at_once.lock().expect("not poisoned").0 -= 1;
        request.in_time(Instant::now())?;
        Ok(Bytes::copy_from_slice(&request.cid().to_bytes()).into())
    }

    fn concurrency(&self) -> usize {
        3
    }
}

#[test]
fn blocks_asks_for_no_more_at_once_than_the_backend_serves_well() {
    let backend = Counting::default();
    let requests: Vec<_> = (0..20)
        .map(|n| match n % 4 {
            0 => request().with_deadline(Instant::now()),
            _ => request(),
        })
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut answers = backend.blocks(&requests);
    let (mut right, mut late) = (0, 0);
    loop {
        match answers.poll_next_unpin(&mut context) {
            Poll::Ready(Some((cid, Ok(answer)))) => {
                assert_eq!(answer.bytes, cid.to_bytes());
                right += 1;
            }
            Poll::Ready(Some((_, Err(error)))) => {
                assert!(matches!(error, PinnerError::TimedOut { .. }));
                late += 1;
            }
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
    }
    assert_eq!((right, late), (15, 5));
    assert_eq!(*backend.at_once.lock().expect("not poisoned"), (0, 3));
}
