//! What can go wrong with a private node, for the reader of a failed test: what was done, on what, and the words of
//! the program.

use std::{io, path::PathBuf, process::ExitStatus};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a node does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refuses.
    #[error("cannot {what}")]
    Io {
        /// What was tried, and on what.
        what: String,
        /// Its words.
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("{command}: {status}: {stderr}")]
    Command {
        /// Its command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it complained of.
        stderr: String,
    },
    /// A daemon ended before it was ready, or was not ready in time.
    #[error("{program} did not come up: {why}; it printed:\n{log}")]
    NotReady {
        /// The program.
        program: PathBuf,
        /// Whether it ended or took too long.
        why: &'static str,
        /// What it printed.
        log: String,
    },
    /// A call of the RPC, or of another HTTP interface, was answered with a failure.
    #[error("{call}: {status}: {message}")]
    Refused {
        /// The method and path.
        call: String,
        /// The HTTP status; 200 where the failure came behind the body.
        status: u16,
        /// What the body, or the trailer, says.
        message: String,
    },
    /// An answer is not what its documentation says.
    #[error("{call}: an answer that cannot be read: {what}")]
    Unreadable {
        /// What was asked.
        call: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// For `map_err`: the operating system refuses to do `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// An answer to `call` in which `what` is wrong.
    pub(crate) fn unreadable(call: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unreadable {
            call: call.into(),
            what: what.into(),
        }
    }
}
