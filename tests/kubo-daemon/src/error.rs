//! The errors of a private node, for the reader of a failed test: the operation, its object, and the program's message.

use std::{io, path::PathBuf, process::ExitStatus};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refuses.
    #[error("cannot {what}")]
    Io {
        /// The operation and its object.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("{command}: {status}: {stderr}")]
    Command {
        /// Its command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its standard error.
        stderr: String,
    },
    /// A daemon ended before it was ready, or was not ready in time.
    #[error("{program} did not come up: {why}; it printed:\n{log}")]
    NotReady {
        /// The program.
        program: PathBuf,
        /// Whether it ended or took too long.
        why: &'static str,
        /// Its output.
        log: String,
    },
    /// A call of the RPC, or of another HTTP interface, was answered with a failure.
    #[error("{call}: {status}: {message}")]
    Refused {
        /// The method and path.
        call: String,
        /// The HTTP status; 200 if the failure came after the body.
        status: u16,
        /// The message in the body or the trailer.
        message: String,
    },
    /// An answer that does not follow the interface's documentation.
    #[error("{call}: unreadable answer: {what}")]
    Unreadable {
        /// The call.
        call: String,
        /// The problem with it.
        what: String,
    },
}

impl Error {
    /// Returns a closure for `map_err`: the operating system refused to do `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Returns the error for an answer to `call` in which `what` is wrong.
    pub(crate) fn unreadable(call: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unreadable {
            call: call.into(),
            what: what.into(),
        }
    }
}
