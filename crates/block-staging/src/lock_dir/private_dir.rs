//! Directories that are this user's alone: how they are created and opened, and why one is refused.
//!
//! Lock directories and persistent staging directories are private in this way. The checks are made on the opened
//! directory, not on its path, which could change in between.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use cap_std::fs::Dir;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// Why a directory is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not a directory.
    NotADirectory,
    /// It is a symbolic link. Its owner could point it anywhere.
    Symlink,
    /// It belongs to another user.
    ForeignOwner { owner: u32, user: u32 },
    /// Other users may read or write it; `mode` has its permission bits.
    OpenToOthers { mode: u32 },
    /// The system refused something.
    Io {
        action: &'static str,
        source: io::Error,
    },
}

/// Opens the directory at `path`. Creates it with mode 0700 if it does not exist, but not its parents.
pub(crate) fn open_or_make(path: &Path) -> Result<Dir, Refusal> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            // The error of a read-only file system hides that the directory may exist already.
            open(path).map_err(|_| Refusal::Io {
                action: "make the directory itself",
                source,
            })
        }
        Err(_) | Ok(()) => open(path),
    }
}

/// Opens the directory without following a link in the last segment of its path, and checks its owner and mode.
pub(crate) fn open(path: &Path) -> Result<Dir, Refusal> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        // coverage: Linux returns `ENOTDIR`.
        Errno::LOOP => Refusal::Symlink,
        // With both flags, Linux returns this error for a link as well.
        Errno::NOTDIR if path.is_symlink() => Refusal::Symlink,
        Errno::NOTDIR => Refusal::NotADirectory,
        _ => Refusal::Io {
            action: "open the directory itself",
            source: errno.into(),
        },
    })?;
    let file = fs::File::from(fd);
    // coverage: examining an open directory does not fail.
    let metadata = file.metadata().map_err(|source| Refusal::Io {
        action: "examine the directory itself",
        source,
    })?;
    let (owner, user) = (metadata.uid(), user());
    if owner != user {
        return Err(Refusal::ForeignOwner { owner, user });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Refusal::OpenToOthers { mode });
    }
    Ok(Dir::from_std_file(file))
}

/// The user whom this process runs as.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
