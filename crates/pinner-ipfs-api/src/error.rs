//! Converts the client's errors and the node's refusals to [`PinnerError`], and declares [`ConnectError`].
//!
//! The client keeps only the body of a refused call; the status and the headers are lost. So a refusal is interpreted
//! by its words alone, and a `Retry-After` is not known.

use std::time::Duration;

use ipfs_api_backend_hyper::Error as ClientError;
use ipfs_api_prelude::Error as PreludeError;
use kubo_protocol::{Reason, Refusal};
use pinner_api::{Cause, Cid, PinnerError};

/// Why no [`IpfsApiPinner`](crate::IpfsApiPinner) could be made from a client.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server answers at the client's address, or not in time.
    #[error(
        "no node answers the client's call `version`: check the address that the client was made with, and that the \
         node is running"
    )]
    Unreachable {
        /// The error of the call.
        source: PinnerError,
    },
    /// The node wants other credentials.
    #[error(
        "the node refuses the client's call `version`: {reason}; this client can send a user name and password \
         (`with_credentials`), but not a bearer token"
    )]
    Denied {
        /// The node's words.
        reason: String,
    },
    /// A server answers, but it is not a Kubo node.
    #[error(
        "the client's call `version` is not answered by a Kubo node: {answer:?}; the address must be that of the RPC \
         (port 5001 unless it was changed), not that of the gateway"
    )]
    NotKubo {
        /// The beginning of its answer.
        answer: String,
    },
}

/// Why a call has no usable answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The node answered that it refuses, or cannot do it.
    Refused(Refusal),
    /// The client failed: it could not connect, or the connection broke.
    Client(Cause),
    /// The deadline passed.
    TimedOut(Duration),
    /// The bytes cannot be the answer: they are too many, too few, or malformed.
    Garbled(String),
}

/// A call and its subject, for errors.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `block/get bafy…`.
    pub(crate) operation: String,
    /// The thing that the node may report as absent.
    pub(crate) subject: Subject,
}

/// The subject of a call.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// A block, or the DAG below it.
    Block(Cid),
    /// A mutable name.
    Name(String),
    /// The node itself.
    Node,
}

impl CallError {
    /// Why the node refused, if it did.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            Self::Client(_) | Self::TimedOut(_) | Self::Garbled(_) => None,
        }
    }

    /// Converts it to the trait's error.
    pub(crate) fn about(self, asked: Asked, deadline: Duration) -> PinnerError {
        let Asked { operation, subject } = asked;
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::Client(cause) => {
                return PinnerError::Unavailable {
                    operation,
                    source: Some(cause),
                };
            }
            Self::TimedOut(after) => return PinnerError::TimedOut { operation, after },
            Self::Garbled(reason) => return PinnerError::Corrupt { operation, reason },
        };
        match (refusal.reason, subject) {
            (Reason::BlockAbsent { cid }, Subject::Block(asked)) => PinnerError::NotFound {
                cid: cid.unwrap_or(asked),
            },
            (Reason::NameAbsent, Subject::Name(name)) => PinnerError::NameNotFound { name },
            (Reason::DeadlineExceeded, _) => PinnerError::TimedOut {
                operation,
                after: deadline,
            },
            // A block that the node will not keep or ask for is refused next time as well.
            (
                Reason::Denied | Reason::NoSuchCommand | Reason::NotUnixFs | Reason::BadRequest,
                _,
            ) => PinnerError::Denied {
                operation,
                reason: refusal.message,
            },
            (Reason::RateLimited, _) => PinnerError::RateLimited {
                operation,
                retry_after: None,
            },
            (
                Reason::BlockAbsent { .. }
                | Reason::NameAbsent
                | Reason::NotPinned
                | Reason::UpdateFromGone
                | Reason::UpdateToThere
                | Reason::EntryThere
                | Reason::EntryAbsent
                | Reason::NameUnresolved
                | Reason::Other,
                _,
            ) => PinnerError::Unavailable {
                operation,
                source: Some(Cause::new(refusal)),
            },
        }
    }
}

impl From<ClientError> for CallError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) => Self::Refused(Refusal::from_message(&error.message)),
            // A refusal that does not come from a command: plain text, or a proxy's error page.
            ClientError::IpfsClientError(PreludeError::UnrecognizedApiError(text)) => {
                Self::Refused(Refusal::new(None, text.as_bytes()))
            }
            ClientError::IpfsClientError(PreludeError::StreamError(text)) => {
                Self::Refused(Refusal::from_message(&text))
            }
            ClientError::IpfsClientError(
                error @ (PreludeError::ParseUtf8(_) | PreludeError::Parse(_)),
            ) => Self::Garbled(error.to_string()),
            error @ (ClientError::Client(_)
            | ClientError::Http(_)
            | ClientError::IpfsClientError(
                PreludeError::Io(_)
                | PreludeError::Url(_)
                | PreludeError::EncodeUrl(_)
                | PreludeError::UnrecognizedTrailerHeader(_),
            )) => Self::Client(Cause::new(error)),
        }
    }
}
