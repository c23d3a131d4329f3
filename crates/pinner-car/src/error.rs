//! The crate's one error.
//!
//! A variant is what the caller can do about it: fetch the CAR again, choose another file, pass another option.
//! Every variant names the path it is about; offsets are in bytes from the start of that file.

use std::{io, path::PathBuf};

use cid::Cid;
use pinner_api::MAX_BLOCK;

/// Why a CAR could not be read or written, or a local file could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The operating system refuses. The cause is the `source`.
    #[error("cannot {operation} '{}'", path.display())]
    Io {
        /// The operation: `open`, `read`, `list`, …
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file does not start as a CAR does.
    #[error("'{}' is not a CAR file: {reason}; make one with `wasi-ipfs import` or `ipfs dag export`", path.display())]
    NotACar {
        /// The file.
        path: PathBuf,
        /// The defect in its start.
        reason: String,
    },
    /// The CAR has a version that this crate does not know.
    #[error("'{}' is a CAR of version {version}; versions 1 and 2 can be read", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// The version in its header.
        version: u64,
    },
    /// The file ends inside its header: it was cut short.
    #[error(
        "'{}' is cut short: {expected} at offset {offset} does not fit before the end at {end}; fetch or write the file again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The offset of the part that is not whole.
        offset: u64,
        /// The part that was expected there.
        expected: String,
        /// The end of the file, or of its CARv2 payload.
        end: u64,
    },
    /// A CARv2 header points outside the file.
    #[error(
        "'{}' is a CARv2 whose header puts {data_size} bytes of data at offset {data_offset}, in a file of {file_size}; it was cut short before its data, or is damaged",
        path.display()
    )]
    DataOutOfRange {
        /// The file.
        path: PathBuf,
        /// The offset at which the data should start.
        data_offset: u64,
        /// The length of the data in bytes.
        data_size: u64,
        /// The length of the file in bytes.
        file_size: u64,
    },
    /// A block over [`MAX_BLOCK`] was handed to a [`CarWriter`](crate::CarWriter).
    #[error("block {cid} has {length} bytes; blocks have at most {MAX_BLOCK}")]
    BlockTooLarge {
        /// The block.
        cid: Cid,
        /// The length in bytes.
        length: usize,
    },
    /// The destination is something that must not be replaced by a file: a directory, a device, a pipe.
    #[error("'{}' is not a regular file, so it is not overwritten; name another destination", path.display())]
    DestinationNotAFile {
        /// The destination.
        path: PathBuf,
    },
    /// A file name is not UTF-8, so no IPFS path can name it.
    #[error("the name of '{}' is not UTF-8; rename it, or leave it out", path.display())]
    NameNotUtf8 {
        /// The file, shown lossily.
        path: PathBuf,
    },
    /// A socket, pipe or device has no content to import. `ipfs add` refuses it as well.
    #[error("'{}' is a {kind}; only files, directories and symlinks can be imported", path.display())]
    SpecialFile {
        /// The file.
        path: PathBuf,
        /// The kind of file.
        kind: &'static str,
    },
    /// No path was given to import.
    #[error("no path is given; name at least one")]
    NoPath,
    /// Two paths that are to be in one directory have the same name. `ipfs add` refuses them as well.
    #[error(
        "two paths are called '{name}', and one directory cannot hold both; import them separately"
    )]
    SameName {
        /// The name.
        name: String,
    },
    /// A raw leaf cannot hold a mode or an mtime. `ipfs add` refuses it as well.
    #[error(
        "mode and mtime cannot be kept with raw leaves; pass --raw-leaves=false with --preserve-mode or --preserve-mtime"
    )]
    MetadataInRawLeaves,
    /// Two names in one directory have the same 64-bit hash, which no sharded directory can hold.
    #[error("'{}' cannot be sharded: the names '{first}' and '{second}' have the same hash; rename one", path.display())]
    NamesCollide {
        /// The directory.
        path: PathBuf,
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// The function that takes the imported blocks failed. The cause is the `source`.
    #[error("block {cid} could not be stored")]
    Sink {
        /// The block.
        cid: Cid,
        /// The function's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller's progress function asked to stop.
    #[error("the import was cancelled")]
    Cancelled,
}

impl CarError {
    /// For `map_err` on an error of the operating system.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.into(),
            source,
        }
    }
}
