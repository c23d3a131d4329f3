//! The one error of this crate. A variant is what the caller can do about it; whoever maps it to another world's
//! errors (`wasi-ipfs-fs`'s `errno.rs`) matches without a wildcard.

use std::sync::Arc;

use block_staging::{StagingError, lock_dir::LockDirError};
use cid::Cid;
use pinner_api::PinnerError;

use crate::path::root_cid::RootCid;

/// Why the pinset could not do what it was asked.
///
/// Cheap to clone: everybody who waits for one fetch gets the same error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a path this crate can read.
    #[error("'{path}' is no IPFS path: {reason}; /ipfs/<CID>/name is wanted")]
    InvalidPath {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a name that can stand behind `/ipns/`.
    #[error("'{name}' is no name: {reason}; a key or a domain with a DNSLink record is wanted")]
    InvalidName {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The backend resolves no names at all.
    #[error("the backend resolves no names: /ipns/{name} needs one that does, as an IPFS node")]
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
    /// A path longer than the limit.
    #[error("a path of {len} bytes is longer than the limit of {limit}")]
    PathTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A name is proven absent from a verified directory.
    #[error("no entry '{name}' in {directory}")]
    NotFound {
        /// The name.
        name: String,
        /// The directory's CID, or `/ipfs` or `/ipns`.
        directory: String,
    },
    /// The first CID of a path is proven unknown to the backend.
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
    /// A file or symlink where a directory is needed.
    #[error("{path} is no directory")]
    NotDirectory {
        /// What was used as a directory.
        path: String,
    },
    /// A directory where a file is needed.
    #[error("{path} is a directory")]
    IsDirectory {
        /// What was used as a file.
        path: String,
    },
    /// `..` or a symlink leads out of the directory that the walk started in.
    #[error("'{path}' leaves the directory it is relative to")]
    Escapes {
        /// The path as it was given.
        path: String,
    },
    /// More symlinks than [`MAX_SYMLINKS`](crate::MAX_SYMLINKS) on one path.
    #[error("more than {limit} symlinks on the way of '{path}'")]
    TooManySymlinks {
        /// The path as it was given.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A block could not be had.
    #[error("block {cid} could not be fetched")]
    Fetch {
        /// The block.
        cid: Cid,
        /// The backend's error.
        source: PinnerError,
    },
    /// The backend answered with bytes that do not hash to the CID (I1).
    #[error("the backend gave {len} bytes for block {cid} that do not hash to it")]
    Corrupt {
        /// The block.
        cid: Cid,
        /// How many bytes came.
        len: usize,
    },
    /// A verified block says what cannot be: a hostile or broken DAG.
    #[error("block {cid} is malformed: {reason}")]
    Malformed {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        reason: String,
    },
    /// A codec or hash function that this crate does not read.
    #[error("{cid}: {what} is not supported")]
    Unsupported {
        /// The CID that asks for it.
        cid: Cid,
        /// The codec or hash function.
        what: String,
    },
    /// One of the session's [`Limits`](crate::Limits) is reached.
    #[error("the limit of {limit} is reached: {value}")]
    LimitReached {
        /// Which limit.
        limit: Limit,
        /// Its value.
        value: u64,
    },
    /// Content larger than the budget cannot be pinned whole.
    #[error(
        "{cid} declares {size_bytes} bytes, over the budget of {budget_bytes}: raise the budget to pin it whole"
    )]
    OverBudget {
        /// The content.
        cid: Cid,
        /// What it declares.
        size_bytes: u64,
        /// The budget.
        budget_bytes: u64,
    },
    /// A budget too small to work with.
    #[error("a budget of {budget_bytes} bytes is too small: at least {minimum_bytes} are needed")]
    BudgetTooSmall {
        /// The budget that was asked for.
        budget_bytes: u64,
        /// The least one that works.
        minimum_bytes: u64,
    },
    /// The backend refused or failed a pin.
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
        /// What failed, on what, and what to do.
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

/// Which limit of a session was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::open_handles`](crate::Limits::open_handles).
    OpenHandles,
    /// [`Limits::targets`](crate::Limits::targets).
    Targets,
    /// [`Limits::fetched_bytes`](crate::Limits::fetched_bytes).
    FetchedBytes,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenHandles => "open handles",
            Self::Targets => "distinct targets",
            Self::FetchedBytes => "fetched bytes",
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
