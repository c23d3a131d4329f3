//! What can go wrong in staging, by what the caller can do about it.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// A failure of the staging directory. None of them is a failure of the read that needed the block: the block is
/// verified and in memory, and can be served without being staged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StagingError {
    /// The file system cannot carry the layout.
    #[error(
        "the file system of the staging directory {} {why}; choose another directory with --staging (ext4, XFS, Btrfs and tmpfs on Linux do)",
        dir.display()
    )]
    Unsuitable {
        /// The directory.
        dir: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// The file system is full: somebody else used what the budget allows.
    #[error(
        "no space left on the file system of the staging directory, in {operation} of {file}; free some, or set a smaller --budget"
    )]
    DiskFull {
        /// What was done.
        operation: &'static str,
        /// The file in the staging directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The user's quota is used up.
    #[error(
        "the disk quota is exceeded in the staging directory, in {operation} of {file}; free some, or set a smaller --budget"
    )]
    QuotaExceeded {
        /// What was done.
        operation: &'static str,
        /// The file in the staging directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The process or the system has no descriptors left.
    #[error(
        "no file descriptor is left for the staging file {file}; raise the limit (ulimit -n) or open less"
    )]
    NoDescriptors {
        /// The file in the staging directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the system answered (a failing disk, a read-only remount).
    #[error(
        "the staging directory failed in {operation} of {file}; check the disk, or choose another directory with --staging"
    )]
    Io {
        /// What was done.
        operation: &'static str,
        /// The file in the staging directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A block was given with a reservation that is not its own: a mistake of the caller's.
    #[error("a block of {given} bytes was given with a staging reservation of {reserved} bytes")]
    WrongLength {
        /// What was reserved.
        reserved: usize,
        /// What was given.
        given: usize,
    },
}

impl StagingError {
    /// The variant that `source` calls for.
    pub(crate) fn of(operation: &'static str, file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC) => Self::DiskFull {
                operation,
                file,
                source,
            },
            Some(Errno::DQUOT) => Self::QuotaExceeded {
                operation,
                file,
                source,
            },
            Some(Errno::MFILE | Errno::NFILE) => Self::NoDescriptors { file, source },
            _ => Self::Io {
                operation,
                file,
                source,
            },
        }
    }
}
