//! The crate's only error, and its conversion to `PinnerError`.

use std::{sync::Arc, time::Duration};

use cid::Cid;
use pinner_api::PinnerError;
use pinner_http::{Endpoint, HttpError, Waiting};

/// Why a gateway returned no block, or cannot be asked for one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// No gateway was named.
    #[error("no gateway is given; name at least one")]
    NoGateway,
    /// The gateway says that it does not have the block.
    #[error("the gateway {endpoint} does not have block {cid}")]
    Absent {
        /// The block.
        cid: Cid,
        /// The gateway.
        endpoint: Arc<Endpoint>,
    },
    /// The answer is not a raw block. Most likely it is a web page, and the server is not a trustless gateway.
    #[error(
        "{endpoint} answers with {media_type} instead of a raw block; is it a trustless gateway?"
    )]
    NotABlock {
        /// The server that answered.
        endpoint: Arc<Endpoint>,
        /// The media type that the server declares, or a description if there is none; never empty.
        media_type: String,
    },
    /// The call failed.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// The conclusion of a call about the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The gateway works: a failure concerns only the block.
    Works,
    /// Either the block is nowhere or too large, or the gateway fails: no answer came in time, or too long a one.
    Missed,
    /// Nothing: the gateway was not asked, or it refuses this client.
    Unknown,
    /// The gateway fails. It may ask to be left alone for this long.
    Fails(Option<Duration>),
}

/// The conclusion of a failed call about the block, the gravest last. The gravest conclusion of all gateways holds, so
/// that a block counts as absent only if every gateway says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gravity {
    /// The gateway does not have it.
    Absent,
    /// The answer is not a block.
    Corrupt,
    /// The gateway refuses it.
    Denied,
    /// Nothing: a later attempt may succeed.
    MayPass,
}

impl GatewayError {
    pub(crate) fn finding(&self) -> Finding {
        match self {
            Self::NoGateway => Finding::Unknown,
            Self::Absent { .. } => Finding::Works,
            Self::NotABlock { .. } => Finding::Fails(None),
            Self::Http(error) => match error {
                // The limit of calls in flight is reached: the gateway was not asked.
                HttpError::TimedOut {
                    waiting: Waiting::Turn,
                    ..
                } => Finding::Unknown,
                HttpError::TimedOut {
                    waiting: Waiting::Answer,
                    ..
                } => Finding::Missed,
                HttpError::TooLarge { .. } => Finding::Missed,
                HttpError::Status(status) => match status.status.as_u16() {
                    504 => Finding::Missed,
                    404 | 405 | 408 | 425 | 429 | 500.. => Finding::Fails(status.retry_after),
                    _ => Finding::Unknown,
                },
                // The other kinds concern connections and HTTP. The enum may grow.
                _ => Finding::Fails(None),
            },
        }
    }

    pub(crate) fn gravity(&self) -> Gravity {
        match self {
            Self::Absent { .. } => Gravity::Absent,
            Self::NotABlock { .. } => Gravity::Corrupt,
            Self::NoGateway => Gravity::Denied,
            Self::Http(error) => match error {
                HttpError::TooLarge { .. } | HttpError::Malformed { .. } => Gravity::Corrupt,
                HttpError::Unusable { .. } | HttpError::Redirected { .. } => Gravity::Denied,
                HttpError::Status(status) => match status.status.as_u16() {
                    404 | 405 | 408 | 410 | 425 | 429 => Gravity::MayPass,
                    400..500 => Gravity::Denied,
                    _ => Gravity::MayPass,
                },
                _ => Gravity::MayPass,
            },
        }
    }

    /// Converts it to a [`PinnerError`] about the block.
    pub fn into_pinner(self, cid: &Cid) -> PinnerError {
        let operation = format!("block {cid}");
        match self {
            Self::Absent { cid, .. } => PinnerError::NotFound { cid },
            Self::NotABlock { ref endpoint, .. } => PinnerError::Corrupt {
                operation: format!("{operation} at {endpoint}"),
                reason: self.to_string(),
            },
            Self::NoGateway => PinnerError::Unavailable {
                operation,
                source: Some(pinner_api::Cause::new(self)),
            },
            Self::Http(error) => error.into_pinner(operation),
        }
    }
}
