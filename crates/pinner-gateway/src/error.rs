//! The crate's one error, and where it becomes a `PinnerError`.

use std::{sync::Arc, time::Duration};

use cid::Cid;
use pinner_api::PinnerError;
use pinner_http::{Endpoint, HttpError, Waiting};

/// Why a gateway gave no block, or cannot be asked for any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// No gateway was named.
    #[error("no gateway is given; name at least one")]
    NoGateway,
    /// The gateway says that the block is not to be had from it.
    #[error("the gateway {endpoint} does not have block {cid}")]
    Absent {
        /// The block.
        cid: Cid,
        /// The gateway.
        endpoint: Arc<Endpoint>,
    },
    /// The answer is no raw block: a web page, most likely, of something that is no trustless gateway.
    #[error(
        "{endpoint} answers with {media_type} instead of a raw block; is it a trustless gateway?"
    )]
    NotABlock {
        /// The gateway, or whatever it is.
        endpoint: Arc<Endpoint>,
        /// What it says to have sent; never empty.
        media_type: String,
    },
    /// The call failed.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// What a failed call says of the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// That it works: the failure is the block's.
    Works,
    /// Nothing: it was not asked, or refuses the one who asks.
    Unknown,
    /// That it fails; and for how long it asks to be left alone.
    Fails(Option<Duration>),
}

/// What a failed call says of the block, the gravest last: what is not proven by all is proven by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gravity {
    /// It is not there.
    Absent,
    /// What came is no block.
    Corrupt,
    /// It is refused.
    Denied,
    /// Nothing: another time it may come.
    MayPass,
}

impl GatewayError {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::NoGateway => Verdict::Unknown,
            Self::Absent { .. } => Verdict::Works,
            Self::NotABlock { .. } => Verdict::Fails(None),
            Self::Http(error) => match error {
                // As many calls as are allowed are in flight: nobody was asked.
                HttpError::TimedOut {
                    waiting: Waiting::Turn,
                    ..
                } => Verdict::Unknown,
                HttpError::TooLarge { .. } => Verdict::Works,
                HttpError::Status(status) => match status.status.as_u16() {
                    404 | 405 | 408 | 425 | 429 | 500.. => Verdict::Fails(status.retry_after),
                    _ => Verdict::Unknown,
                },
                // The rest is about connections and HTTP; its kinds may become more.
                _ => Verdict::Fails(None),
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

    /// As a [`PinnerError`] about the block.
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
