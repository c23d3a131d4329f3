//! What went wrong: the client's errors and the node's refusals, turned into [`PinnerError`]; and [`ConnectError`].
//!
//! The client keeps of a refused call only its body: the status and the headers are gone. So a refusal is understood
//! by its words alone, and a `Retry-After` is not known.

use std::time::Duration;

use ipfs_api_backend_hyper::Error as ClientError;
use ipfs_api_prelude::Error as PreludeError;
use kubo_protocol::{Reason, Refusal};
use pinner_api::{Cause, Cid, PinnerError};

/// Why no [`IpfsApiPinner`](crate::IpfsApiPinner) could be made of a client.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers where the client asks, or not in time.
    #[error(
        "no node answers the client's call `version`: check the address that the client was made with, and that the \
         node runs"
    )]
    Unreachable {
        /// What happened.
        source: PinnerError,
    },
    /// The node wants other credentials.
    #[error(
        "the node refuses the client's call `version`: {reason}; this client can give a user's name and password \
         (`with_credentials`), and no bearer token"
    )]
    Denied {
        /// The node's words.
        reason: String,
    },
    /// Something answers, and it is no Kubo node.
    #[error(
        "the client's call `version` is not answered by a Kubo node: {answer:?}; the address must be that of the RPC \
         (port 5001 unless it was changed), not that of the gateway"
    )]
    NotKubo {
        /// The beginning of what it said.
        answer: String,
    },
}

/// Why a call brought no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The node answered that it will not, or cannot.
    Refused(Refusal),
    /// The client failed: no connection, or one that broke.
    Client(Cause),
    /// The deadline passed.
    TimedOut(Duration),
    /// What came cannot be the answer: too much, too little, or something else.
    Garbled(String),
}

/// What a call was about, for the error that says so.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `block/get bafy…`.
    pub(crate) operation: String,
    /// What the node may say the absence of.
    pub(crate) subject: Subject,
}

/// What a call was about.
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
    /// Why the node refused, if that is what happened.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            Self::Client(_) | Self::TimedOut(_) | Self::Garbled(_) => None,
        }
    }

    /// As the trait has it.
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
            // A block that the node will not keep, or ask for, is refused the next time as well.
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
            // A refusal that is no command's: plain text, or a page of a proxy's.
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
