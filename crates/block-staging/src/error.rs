//! The error of staging. Its variants differ by what the caller can do about them.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use thiserror::Error;

use crate::lock_dir::private_dir::Refusal;

/// A failure of the staging directory. It need not fail the read that needed the block: the block is verified and in
/// memory, and can be served without being staged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StagingError {
    /// The file system cannot carry the layout.
    #[error(
        "the file system of the staging directory {} {why}; choose another directory with --staging (ext4, XFS, Btrfs and tmpfs on Linux are suitable)",
        dir.display()
    )]
    Unsuitable {
        /// The directory.
        dir: PathBuf,
        /// The reason, as a predicate: "cannot punch holes".
        why: &'static str,
    },
    /// The file system is full: other files took space that the budget allows for.
    #[error(
        "no space left on the file system of the staging directory, in {operation} of {file}; free some, or set a smaller --budget"
    )]
    DiskFull {
        /// The operation that failed.
        operation: &'static str,
        /// The file in the staging directory.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The user's quota is used up.
    #[error(
        "the disk quota is exceeded in the staging directory, in {operation} of {file}; free some, or set a smaller --budget"
    )]
    QuotaExceeded {
        /// The operation that failed.
        operation: &'static str,
        /// The file in the staging directory.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The process or the system has no descriptors left.
    #[error(
        "no file descriptor is left for the staging file {file}; raise the limit (ulimit -n) or open less"
    )]
    NoDescriptors {
        /// The file in the staging directory.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// Any other error of the system, such as a failing disk or a read-only remount.
    #[error(
        "the staging directory failed in {operation} of {file}; check the disk, or choose another directory with --staging"
    )]
    Io {
        /// The operation that failed.
        operation: &'static str,
        /// The file in the staging directory.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The path of the staging directory is not a directory.
    #[error("the staging directory {} is not a directory; remove it or choose another with --staging", dir.display())]
    NotADirectory {
        /// The path.
        dir: PathBuf,
    },
    /// The staging directory is a symbolic link. Its owner could point it anywhere.
    #[error(
        "the staging directory {} is a symbolic link, which is refused; name the directory itself or choose another with --staging",
        dir.display()
    )]
    Symlink {
        /// The path.
        dir: PathBuf,
    },
    /// The staging directory belongs to another user.
    #[error(
        "the staging directory {} belongs to the user {owner}, not to {user}; choose another with --staging",
        dir.display()
    )]
    ForeignOwner {
        /// The directory.
        dir: PathBuf,
        /// The user who owns it.
        owner: u32,
        /// The user whom this process runs as.
        user: u32,
    },
    /// Other users may read or write the staging directory.
    #[error(
        "the staging directory {} is open to others (mode {mode:03o}); run `chmod 700` on it or choose another with --staging",
        dir.display()
    )]
    OpenToOthers {
        /// The directory.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The staging directory could not be created or opened.
    #[error(
        "could not {action} for staging: {}; check its file system and permissions, or choose another with --staging",
        dir.display()
    )]
    Unreachable {
        /// The directory.
        dir: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The layout of the staging directory is of another version of this library, or its file `layout` is damaged.
    #[error(
        "the staging directory {} has an unknown layout ('{found}'); use the version that made it, empty the directory, or choose another with --staging",
        dir.display()
    )]
    UnknownLayout {
        /// The directory.
        dir: PathBuf,
        /// The beginning of its file `layout`.
        found: String,
    },
    /// Something with the name of a staging file is not a file, but a directory, a symbolic link or a pipe.
    #[error("{file} in the staging directory {} is not a file; remove it", dir.display())]
    NotAFile {
        /// The directory.
        dir: PathBuf,
        /// The name.
        file: String,
    },
    /// The file system of the staging directory cannot lock it, so that nobody could tell who is its writer.
    #[error(
        "the staging directory {} cannot be locked; choose a directory on a local file system with --staging",
        dir.display()
    )]
    CannotLock {
        /// The directory.
        dir: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// More processes use the staging directory than can share its budget.
    #[error("the staging directory {} is in use by too many processes; choose another with --staging", dir.display())]
    TooMany {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process is the writer of the staging directory.
    #[error("the staging directory {} is in use by another process; end that first", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no room for the record of a block. Replacement makes room for the next one.
    #[error("the staging directory has no room for another page of its index")]
    NoRoomForRecord,
    /// The caller passed a block with a reservation of another length or another directory.
    #[error("a block of {given} bytes was given with a staging reservation of {reserved} bytes")]
    WrongLength {
        /// The length that was reserved, in bytes.
        reserved: usize,
        /// The length of the block, in bytes.
        given: usize,
    },
}

impl StagingError {
    /// The error for a directory at `dir` that was refused.
    pub(crate) fn refused(dir: &Path, refusal: Refusal) -> Self {
        let dir = dir.to_owned();
        match refusal {
            Refusal::NotADirectory => Self::NotADirectory { dir },
            Refusal::Symlink => Self::Symlink { dir },
            Refusal::ForeignOwner { owner, user } => Self::ForeignOwner { dir, owner, user },
            Refusal::OpenToOthers { mode } => Self::OpenToOthers { dir, mode },
            Refusal::Io { action, source } => Self::Unreachable {
                dir,
                action,
                source,
            },
        }
    }

    /// The system's error, if this error comes from the system.
    pub fn into_io(self) -> Option<io::Error> {
        match self {
            Self::DiskFull { source, .. }
            | Self::QuotaExceeded { source, .. }
            | Self::NoDescriptors { source, .. }
            | Self::Io { source, .. }
            | Self::CannotLock { source, .. }
            | Self::Unreachable { source, .. } => Some(source),
            Self::Unsuitable { .. }
            | Self::NotADirectory { .. }
            | Self::Symlink { .. }
            | Self::ForeignOwner { .. }
            | Self::OpenToOthers { .. }
            | Self::UnknownLayout { .. }
            | Self::NotAFile { .. }
            | Self::TooMany { .. }
            | Self::InUse { .. }
            | Self::NoRoomForRecord
            | Self::WrongLength { .. } => None,
        }
    }

    /// Whether there is no space on the disk.
    pub(crate) fn is_want_of_space(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::QuotaExceeded { .. })
    }

    /// Whether the file system is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if Errno::from_io_error(source) == Some(Errno::ROFS))
    }

    /// The error of the variant that fits `source`.
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
