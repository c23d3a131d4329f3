//! The reasons why a case fails, and the two ways in which cases report them.

use std::fmt::Debug;

use pinner_api::PinnerError;

/// Why a case failed: how the backend or the fixture breaks the contract.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The backend does what the contract forbids.
    #[error("the backend breaks its contract: {0}")]
    Broken(String),
    /// The backend refuses an operation that it has to perform.
    #[error("the backend refuses {operation}, which it has to do")]
    Refused {
        /// The operation.
        operation: String,
        /// The backend's error.
        source: PinnerError,
    },
    /// The fixture itself fails.
    #[error("the fixture cannot {operation}; repair the fixture, the backend is not at fault")]
    Fixture {
        /// The operation that failed.
        operation: &'static str,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The abilities of the fixture contradict the backend's capabilities.
    #[error("the fixture disagrees with the capabilities: {0}")]
    Disagrees(String),
    /// The case did not end.
    #[error("the case did not end after {seconds} seconds: some call hangs")]
    Hangs {
        /// How long the suite waited, in seconds.
        seconds: u64,
    },
}

/// The result of a case.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Ends the case with [`Failure::Broken`] unless the condition holds. The other arguments are those of `format!`, and
/// say what is wrong.
macro_rules! ensure {
    ($holds:expr, $($wrong:tt)+) => {
        if !$holds {
            return Err($crate::Failure::Broken(format!($($wrong)+)));
        }
    };
}
pub(crate) use ensure;

/// Fails unless both are equal.
pub(crate) fn ensure_eq<T: PartialEq + Debug>(what: &str, got: T, wanted: T) -> Outcome {
    ensure!(got == wanted, "{what}: wanted {wanted:?}, got {got:?}");
    Ok(())
}
