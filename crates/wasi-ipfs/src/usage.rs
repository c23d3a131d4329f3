//! Usage errors that clap cannot detect. They are shown as clap shows its own, with status 2.

use clap::error::ErrorKind;

/// A usage error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    /// The kind of mistake.
    pub(crate) kind: ErrorKind,
    /// The mistake, and what to do about it.
    message: String,
}

impl Usage {
    /// A required value is missing.
    pub(crate) fn missing(message: impl Into<String>) -> anyhow::Error {
        Self {
            kind: ErrorKind::MissingRequiredArgument,
            message: message.into(),
        }
        .into()
    }

    /// A given value is invalid.
    pub(crate) fn invalid(message: impl Into<String>) -> anyhow::Error {
        Self {
            kind: ErrorKind::ValueValidation,
            message: message.into(),
        }
        .into()
    }
}
