//! The error type of this crate. There is a variant for each thing that the caller can do about it. Code that maps it
//! to other errors (`wasi-ipfs-fs`'s `errno.rs`) matches without a wildcard.

use std::{sync::Arc, time::Duration};

use block_staging::{StagingError, lock_dir::LockDirError};
use cid::Cid;
use pinner_api::PinnerError;

use crate::path::root_cid::RootCid;

/// The reason why an operation of the pinset failed.
///
/// Cheap to clone: all who wait for one fetch get the same error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a path that this crate can read.
    #[error("invalid IPFS path '{path}': {reason}; expected /ipfs/<CID>/...")]
    InvalidPath {
        /// The path as it was given.
        path: String,
        /// The reason why it is invalid.
        reason: String,
    },
    /// The text is not a name that can follow `/ipns/`.
    #[error(
        "invalid IPNS name '{name}': {reason}; expected a key or a domain with a DNSLink record"
    )]
    InvalidName {
        /// The name as it was given.
        name: String,
        /// The reason why it is invalid.
        reason: &'static str,
    },
    /// The backend does not resolve names at all.
    #[error(
        "the backend resolves no names; for /ipns/{name}, use one that does, such as an IPFS node"
    )]
    NoNames {
        /// The name.
        name: String,
    },
    /// A name could not be resolved.
    #[error("the name '{name}' could not be resolved")]
    Name {
        /// The name.
        name: String,
        /// The backend's error.
        source: PinnerError,
    },
    /// The path is longer than the limit.
    #[error("a path of {len} bytes is longer than the limit of {limit}")]
    PathTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A verified directory proves that it has no entry of this name.
    #[error("no entry '{name}' in {directory}")]
    NotFound {
        /// The name.
        name: String,
        /// The directory's CID, or `/ipfs` or `/ipns`.
        directory: String,
    },
    /// The backend answered that it does not have the first CID of the path.
    #[error("the root {cid} is not on the backend")]
    RootNotFound {
        /// The root.
        cid: Cid,
    },
    /// The session was not granted this root (I10).
    #[error("the root {root} was not granted")]
    NotGranted {
        /// The root.
        root: RootCid,
    },
    /// The path leads to a file or symlink, where a directory is needed.
    #[error("{path} is not a directory")]
    NotDirectory {
        /// The path that was used as a directory.
        path: String,
    },
    /// The path leads to a directory, where a file is needed.
    #[error("{path} is a directory")]
    IsDirectory {
        /// The path that was used as a file.
        path: String,
    },
    /// `..` or a symlink leads out of the directory that the walk started in.
    #[error("'{path}' leaves the directory it is relative to")]
    Escapes {
        /// The path as it was given.
        path: String,
    },
    /// The path goes through more symlinks than [`MAX_SYMLINKS`](crate::MAX_SYMLINKS).
    #[error("the path '{path}' goes through more than {limit} symlinks")]
    TooManySymlinks {
        /// The path as it was given.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A block could not be fetched.
    #[error("block {cid} could not be fetched")]
    Fetch {
        /// The block.
        cid: Cid,
        /// The backend's error.
        source: PinnerError,
    },
    /// The block is not on this host, and the session is [offline](crate::Session::offline).
    #[error("block {cid} is not cached, and the session is offline")]
    NotCached {
        /// The block.
        cid: Cid,
    },
    /// A fetch did not get its turn before its deadline, since too many others were ahead of it. The backend was not
    /// asked: the fault is not its own.
    #[error("block {cid} got no turn to be fetched within {waited:?}: too much is being fetched")]
    Busy {
        /// The block.
        cid: Cid,
        /// How long the fetch waited.
        waited: Duration,
    },
    /// The backend, or a callback of the host, panicked during this operation. Others are not affected.
    #[error("the operation panicked; the host's standard error has the message")]
    Panicked,
    /// The backend answered with bytes that do not hash to the CID (I1).
    #[error("the backend returned {len} bytes for block {cid} that do not hash to its CID")]
    Corrupt {
        /// The block.
        cid: Cid,
        /// The number of bytes that the backend returned.
        len: usize,
    },
    /// A verified block is malformed: the DAG is hostile or broken.
    #[error("block {cid} is malformed: {reason}")]
    Malformed {
        /// The block.
        cid: Cid,
        /// The reason why it is malformed.
        reason: String,
    },
    /// The CID has a codec or hash function that this crate does not support.
    #[error("{cid}: {what} is not supported")]
    Unsupported {
        /// The CID.
        cid: Cid,
        /// The codec or hash function.
        what: String,
    },
    /// One of the session's [`Limits`](crate::Limits) is reached.
    #[error("the limit of {limit} is reached: {value}")]
    LimitReached {
        /// The limit that is reached.
        limit: Limit,
        /// Its value.
        value: u64,
    },
    /// The content is larger than the budget, so it cannot be pinned whole.
    #[error(
        "{cid} declares {size_bytes} bytes, over the budget of {budget_bytes}: raise the budget to pin it whole"
    )]
    OverBudget {
        /// The content.
        cid: Cid,
        /// The size that it declares.
        size_bytes: u64,
        /// The budget.
        budget_bytes: u64,
    },
    /// The budget is too small to work with.
    #[error("a budget of {budget_bytes} bytes is too small: at least {minimum_bytes} are needed")]
    BudgetTooSmall {
        /// The budget that was asked for.
        budget_bytes: u64,
        /// The least budget that works.
        minimum_bytes: u64,
    },
    /// The backend refused a pin, or failed to make or release it.
    #[error("pinning {cid} failed")]
    Pin {
        /// The root.
        cid: Cid,
        /// The backend's error.
        source: PinnerError,
    },
    /// The staging directory or its lock directory cannot be used.
    #[error("staging: {what}")]
    Staging {
        /// The operation that failed, its object, and the remedy.
        what: String,
        /// The cause, where there is one.
        source: Option<Arc<std::io::Error>>,
    },
    /// Writing a host file or directory failed ([`CacheMode::materialize`](crate::CacheMode::materialize)).
    #[error("cannot write '{path}'")]
    Write {
        /// The path below the destination.
        path: String,
        /// The cause.
        source: Arc<std::io::Error>,
    },
    /// The pinset was closed.
    #[error("the pinset is closed")]
    Closed,
}

/// A limit of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::open_handles`](crate::Limits::open_handles).
    OpenHandles,
    /// [`Limits::targets`](crate::Limits::targets).
    Targets,
    /// [`Limits::fetched_bytes`](crate::Limits::fetched_bytes).
    FetchedBytes,
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    MemoryBytes,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenHandles => "open handles",
            Self::Targets => "distinct targets",
            Self::FetchedBytes => "fetched bytes",
            Self::MemoryBytes => "bytes kept in memory",
        })
    }
}

impl From<LockDirError> for Error {
    fn from(error: LockDirError) -> Self {
        Self::Staging {
            what: error.to_string(),
            source: error.into_io().map(Arc::new),
        }
    }
}

impl From<StagingError> for Error {
    fn from(error: StagingError) -> Self {
        Self::Staging {
            what: error.to_string(),
            source: error.into_io().map(Arc::new),
        }
    }
}
