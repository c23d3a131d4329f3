//! Mistakes in how the command was called that clap cannot see: shown as clap shows its own, with status 2.

use clap::error::ErrorKind;

/// A wrong call.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    /// What kind of mistake.
    pub(crate) kind: ErrorKind,
    /// What is wrong, and what to do.
    message: String,
}

impl Usage {
    /// Something that must be given is not.
    pub(crate) fn missing(message: impl Into<String>) -> anyhow::Error {
        Self {
            kind: ErrorKind::MissingRequiredArgument,
            message: message.into(),
        }
        .into()
    }

    /// Something that was given cannot be meant.
    pub(crate) fn invalid(message: impl Into<String>) -> anyhow::Error {
        Self {
            kind: ErrorKind::ValueValidation,
            message: message.into(),
        }
        .into()
    }
}
