//! A directory that is this user's alone: how it is made and opened, and why one is refused.
//!
//! Lock directories and persistent staging directories are such. What is checked is what was opened, not what the
//! path says, which could change in between.

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

/// Why a directory is not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is no directory.
    NotADirectory,
    /// It is a symbolic link: whoever made that could point it anywhere.
    Symlink,
    /// It belongs to another user.
    ForeignOwner { owner: u32, user: u32 },
    /// Others may look or write into it; its permission bits.
    OpenToOthers { mode: u32 },
    /// The system refused something.
    Io {
        action: &'static str,
        source: io::Error,
    },
}

/// Opens the directory at `path`; makes it, mode 0700, where there is none (but not its parents).
pub(crate) fn open_or_make(path: &Path) -> Result<Dir, Refusal> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            // On a file system that is read-only, it may be there already all the same.
            open(path).map_err(|_| Refusal::Io {
                action: "make the directory itself",
                source,
            })
        }
        Err(_) | Ok(()) => open(path),
    }
}

/// Opens the directory without following a link in its last segment, and checks whose it is.
pub(crate) fn open(path: &Path) -> Result<Dir, Refusal> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        // coverage: Linux says the next.
        Errno::LOOP => Refusal::Symlink,
        // Linux says so of a link as well when both flags are given.
        Errno::NOTDIR if path.is_symlink() => Refusal::Symlink,
        Errno::NOTDIR => Refusal::NotADirectory,
        _ => Refusal::Io {
            action: "open the directory itself",
            source: errno.into(),
        },
    })?;
    let file = fs::File::from(fd);
    // coverage: what is open can be examined.
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

/// Who this process runs as.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
