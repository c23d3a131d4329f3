//! A directory for staging: a persistent one, or the temporary one of a holder, beside its lock.
//!
//! Invariant: a temporary directory is created after its holder's lock and removed before it. It is removed by the
//! holder's name through the lock directory's handle, and not by a path, which could lead elsewhere by then.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::{
    directory::{LockDir, LockDirError, STAGING_SUFFIX, create_options, hex},
    held::HeldLock,
};

pub(super) fn staging_name(name: &[u8; 16]) -> String {
    format!("{}{STAGING_SUFFIX}", hex(name))
}

/// Opens the staging directory of this name and locks it, without following a link.
///
/// Its holder has the lock as long as it lives: against programs that remove old files, as with the lock on the lock
/// directory, and against a sweep after such a program has removed the lock file.
///
/// # Errors
/// Those of the system; `WouldBlock` if it is locked.
pub(super) fn open_and_lock(lock_dir: &LockDir, name: &str) -> io::Result<OwnedFd> {
    // Opened for reading: a mere path cannot be locked.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(&*lock_dir.dir, name, flags, Mode::empty())?;
    flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
    Ok(dir)
}

/// A directory for staging, as a capability. A temporary directory is removed on drop.
#[derive(Debug)]
pub struct StagingDir {
    dir: Dir,
    /// For messages only.
    path: PathBuf,
    /// The lock of the holder that a temporary directory is named after; `None` for other directories.
    held: Option<HeldLock>,
}

impl StagingDir {
    /// A directory that the caller created and removes. `path` is for messages only.
    pub fn from_dir(dir: Dir, path: &Path) -> Self {
        Self {
            dir,
            path: path.to_owned(),
            held: None,
        }
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A second handle on the same directory. Dropping it does not remove a temporary directory.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            dir: self.dir.try_clone()?,
            path: self.path.clone(),
            held: None,
        })
    }

    /// The directory itself.
    pub(crate) fn handle(&self) -> &Dir {
        &self.dir
    }

    /// Creates a file that must not exist yet, with mode 0600.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<fs::File> {
        Ok(self.dir.open_with(name, &create_options())?.into_std())
    }

    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        self.dir.remove_file(name)
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            // If this fails, the next start removes the directory. The lock file has to stay for that.
            let name = staging_name(&held.name());
            if held.lock_dir().dir.remove_dir_all(name).is_err() {
                held.keep_lock_file();
            }
        }
    }
}

impl HeldLock {
    /// Creates this holder's temporary staging directory, once. It is removed when its last user is dropped, and keeps
    /// the lock until then.
    ///
    /// # Errors
    /// [`LockDirError::Io`], also if the directory exists already.
    pub fn staging_dir(&self) -> Result<StagingDir, LockDirError> {
        let lock_dir = self.lock_dir();
        let io = lock_dir.io("make a staging directory");
        let name = staging_name(&self.name());
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        lock_dir.dir.create_dir_with(&name, &builder).map_err(&io)?;
        let locked = open_and_lock(lock_dir, &name).map_err(|error| {
            let _ = lock_dir.dir.remove_dir(&name);
            io(error)
        })?;
        Ok(StagingDir {
            path: lock_dir.path.join(name),
            dir: Dir::from_std_file(locked.into()),
            held: Some(self.clone()),
        })
    }
}
