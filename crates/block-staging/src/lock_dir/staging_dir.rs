//! A directory for staging: a persistent one, or the temporary one of a holder, beside its lock.
//!
//! Invariant: a temporary directory is created after its holder's lock and removed before it. It is removed by the
//! holder's name through the lock directory's handle, and not by a path, which could lead elsewhere by then.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _};
use rustix::fs::{FlockOperation, flock};

use super::{
    directory::{LockDirError, STAGING_SUFFIX, create_options, hex},
    held::HeldLock,
};

pub(super) fn staging_name(name: &[u8; 16]) -> String {
    format!("{}{STAGING_SUFFIX}", hex(name))
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
        let dir = lock_dir.dir.open_dir(&name).map_err(|error| {
            let _ = lock_dir.dir.remove_dir(&name);
            io(error)
        })?;
        // Against programs that remove old files, as the lock on the lock directory is, and against a sweep after such a
        // program has removed the lock file. Only such a program can have this lock, for a moment.
        let _ = flock(&dir, FlockOperation::NonBlockingLockExclusive);
        Ok(StagingDir {
            path: lock_dir.path.join(name),
            dir,
            held: Some(self.clone()),
        })
    }
}
