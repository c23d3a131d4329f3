//! [`PinnerError`], and the causes that it holds.

use std::{fmt, sync::Arc, time::Duration};

use cid::Cid;

/// Why a backend could not do what it was asked to.
///
/// Each variant is one way for the caller to react. `Display` says what failed and on what. The cause, if there is
/// one, is the `source`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinnerError {
    /// The backend proves that it does not have the block. The answer stays the same until somebody adds the block.
    #[error("block {cid} is not on the backend")]
    NotFound {
        /// The block.
        cid: Cid,
    },
    /// The backend proves that the name points to nothing.
    #[error("the name '{name}' does not resolve")]
    NameNotFound {
        /// The name.
        name: String,
    },
    /// The backend cannot be reached, or fails for reasons of its own. The failure may pass.
    #[error("the backend is unavailable: {operation}")]
    Unavailable {
        /// The operation and its target: `block/get bafy…`.
        operation: String,
        /// The cause, if there is one.
        source: Option<Cause>,
    },
    /// The backend asks for fewer calls.
    #[error("the backend limits the rate of calls: {operation}")]
    RateLimited {
        /// The operation and its target.
        operation: String,
        /// How long to wait before the next call, if the backend says.
        retry_after: Option<Duration>,
    },
    /// The deadline passed. The call may succeed later, or with a longer deadline.
    #[error("no answer within {after:?}: {operation}")]
    TimedOut {
        /// The operation and its target.
        operation: String,
        /// How long the call had. Zero if its deadline had passed before it began.
        after: Duration,
    },
    /// Credentials or policy forbid the operation.
    #[error("the backend refuses: {operation}: {reason}")]
    Denied {
        /// The operation and its target.
        operation: String,
        /// The backend's own words.
        reason: String,
    },
    /// The backend lacks this feature ([`Capabilities`](crate::Capabilities) says so too).
    #[error("the backend has no {operation}")]
    Unsupported {
        /// The missing feature: `lazy pins`.
        operation: &'static str,
    },
    /// The answer cannot be what was asked for: it is too large, cut short or garbled.
    #[error("a corrupt answer: {operation}: {reason}")]
    Corrupt {
        /// The operation and its target.
        operation: String,
        /// The defect.
        reason: String,
    },
}

impl PinnerError {
    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::RateLimited { .. } | Self::TimedOut { .. } => true,
            Self::NotFound { .. }
            | Self::NameNotFound { .. }
            | Self::Denied { .. }
            | Self::Unsupported { .. }
            | Self::Corrupt { .. } => false,
        }
    }

    /// Whether the backend proved that the block or the name does not exist.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::NameNotFound { .. })
    }
}

/// A cause that can be shared by all who wait for the same answer.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// Wraps any error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
