//! The crate's own errors, and their conversion to `PinnerError`.

use std::sync::Arc;

use pinner_api::{Cause, PinnerError};
use pinner_http::{Endpoint, HttpError};

/// Why a router was of no use, or cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// Neither a router nor a gateway was named.
    #[error("nobody is named who could be asked; name at least one")]
    Nobody,
    /// A server is asked over https alone, or over http on this machine where that is allowed.
    #[error(
        "{endpoint} is not asked: only https addresses are, and http ones of this machine where the host allows it"
    )]
    NotEncrypted {
        /// The server.
        endpoint: Box<Endpoint>,
    },
    /// The answer is not one of a router.
    #[error("{endpoint} does not answer as a router does: {reason}")]
    Malformed {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The defect.
        reason: String,
    },
    /// No router answered within the time for it.
    #[error("no router answered in time")]
    TimedOut,
    /// The call failed.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Converts the failure of a look-up to the error for a block or a name. It may pass: whoever is found later may have it.
pub(crate) fn unavailable(operation: String, error: Arc<RoutingError>) -> PinnerError {
    PinnerError::Unavailable {
        operation,
        source: Some(Cause::new(Shared(error))),
    }
}

/// An error that several callers share.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Shared(Arc<RoutingError>);
