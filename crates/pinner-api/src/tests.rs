//! Tests of the text form of holders, of which errors may pass, of causes and of capabilities.

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
