//! What a case says that fails, and the two ways in which cases say it.

use std::fmt::Debug;

use pinner_api::PinnerError;

/// Why a case failed: what the backend, or the fixture, did that the contract does not allow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The backend does what the contract forbids.
    #[error("the backend breaks its contract: {0}")]
    Broken(String),
    /// The backend refuses what it has to do.
    #[error("the backend refuses {operation}, which it has to do")]
    Refused {
        /// What was asked.
        operation: String,
        /// The backend's error.
        source: PinnerError,
    },
    /// The fixture itself fails.
    #[error("the fixture cannot {operation}: repair the fixture, the backend was not at fault")]
    Fixture {
        /// What it was to do.
        operation: &'static str,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the fixture can do and what the backend's capabilities say exclude each other.
    #[error("the fixture disagrees with the capabilities: {0}")]
    Disagrees(String),
    /// The case did not come to an end.
    #[error("no end after {seconds} seconds: some call hangs")]
    Hangs {
        /// How long it was waited for.
        seconds: u64,
    },
}

/// What a case gives.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Ends the case as [`Failure::Broken`] unless the condition holds; the rest says what is wrong, as for `format!`.
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
