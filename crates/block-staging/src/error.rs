//! What can go wrong in staging, by what the caller can do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use thiserror::Error;

use crate::lock_dir::private_dir::Refusal;

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
    /// The staging directory is no directory.
    #[error("the staging directory {} is not a directory; remove it or choose another with --staging", dir.display())]
    NotADirectory {
        /// Which.
        dir: PathBuf,
    },
    /// The staging directory is a symbolic link: whoever made that could point it anywhere.
    #[error(
        "the staging directory {} is a symbolic link, which is refused; name the directory itself or choose another with --staging",
        dir.display()
    )]
    Symlink {
        /// Which.
        dir: PathBuf,
    },
    /// The staging directory belongs to another user.
    #[error(
        "the staging directory {} belongs to the user {owner}, not to {user}; choose another with --staging",
        dir.display()
    )]
    ForeignOwner {
        /// Which.
        dir: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who this process runs as.
        user: u32,
    },
    /// Others may look or write into the staging directory.
    #[error(
        "the staging directory {} is open to others (mode {mode:03o}); run `chmod 700` on it or choose another with --staging",
        dir.display()
    )]
    OpenToOthers {
        /// Which.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The staging directory could not be made or opened.
    #[error(
        "could not {action} for staging: {}; check its file system and permissions, or choose another with --staging",
        dir.display()
    )]
    Unreachable {
        /// Which.
        dir: PathBuf,
        /// What could not be done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The staging directory was laid out by another version of this library, or the file that says so is damaged.
    #[error(
        "the staging directory {} has a layout that is not known here ('{found}'); use the version that made it, empty the directory, or choose another with --staging",
        dir.display()
    )]
    UnknownLayout {
        /// Which.
        dir: PathBuf,
        /// What its file `layout` says, in part.
        found: String,
    },
    /// What has the name of a staging file is something else: a directory, a symbolic link, a pipe.
    #[error("{file} in the staging directory {} is not a file; remove it", dir.display())]
    NotAFile {
        /// The directory.
        dir: PathBuf,
        /// The name.
        file: String,
    },
    /// Another process is the writer of the staging directory.
    #[error("the staging directory {} is in use by another process; end that first", dir.display())]
    InUse {
        /// Which.
        dir: PathBuf,
    },
    /// There is no room for the record of a block: the next one is made room for.
    #[error("the staging directory has no room for another page of its index")]
    NoRoomForRecord,
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
    /// Why the directory at `dir` is not taken.
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

    /// The system's error, where the system was asked.
    pub fn into_io(self) -> Option<io::Error> {
        match self {
            // coverage: several of them need a disk that fails, or a quota.
            Self::DiskFull { source, .. }
            | Self::QuotaExceeded { source, .. }
            | Self::NoDescriptors { source, .. }
            | Self::Io { source, .. }
            | Self::Unreachable { source, .. } => Some(source),
            Self::Unsuitable { .. }
            | Self::NotADirectory { .. }
            | Self::Symlink { .. }
            | Self::ForeignOwner { .. }
            | Self::OpenToOthers { .. }
            | Self::UnknownLayout { .. }
            | Self::NotAFile { .. }
            | Self::InUse { .. }
            | Self::NoRoomForRecord
            | Self::WrongLength { .. } => None,
        }
    }

    /// Whether it says that there is no space on the disk.
    pub(crate) fn is_want_of_space(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::QuotaExceeded { .. })
    }

    /// Whether it says that the file system is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        // coverage: needs a file system that turns read-only under files that are open for writing.
        matches!(self, Self::Io { source, .. } if Errno::from_io_error(source) == Some(Errno::ROFS))
    }

    /// The variant that `source` calls for.
    pub(crate) fn of(operation: &'static str, file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC) => Self::DiskFull {
                operation,
                file,
                source,
            },
            // coverage: needs a file system with quotas.
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
