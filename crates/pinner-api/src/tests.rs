//! Tests of the text form of holders, of which errors may pass, of causes, of capabilities and of requests.

use std::time::Instant;

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
