//! A dead holder: it is found by its free lock, and locked while it is recovered.

use std::{fmt, io, time::Duration};

use cap_std::fs::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};

use super::{
    directory::{LOCK_SUFFIX, LockDir, LockDirError, NEW_PREFIX, STAGING_SUFFIX, hex, unhex},
    held::{is_held_here, lock_file},
    staging_dir::{open_and_lock, staging_name},
};

/// A holder whose process is proven dead and may have left pins, locked against other recoverers. If this is dropped
/// without [`finish`](Self::finish), the next start finds the holder again.
pub struct DeadHolder {
    lock_dir: LockDir,
    name: [u8; 16],
    file: File,
}

impl DeadHolder {
    /// The holder's name, as [`HeldLock::name`](super::HeldLock::name) returned it.
    pub fn name(&self) -> [u8; 16] {
        self.name
    }

    /// How long the lock file has not changed. The holder [renewed](super::HeldLock::refresh) it while it lived, so this
    /// is about how long it has been dead. Zero if that cannot be told.
    pub fn unchanged_for(&self) -> Duration {
        let modified = self.file.metadata().and_then(|file| file.modified());
        let unchanged = modified.map(|modified| modified.into_std().elapsed());
        // The clock may have been set back.
        unchanged.map_or(Duration::ZERO, Result::unwrap_or_default)
    }

    /// Removes the holder's staging directory, if that still exists, and then its lock file. Call it once nothing of
    /// the holder remains elsewhere.
    ///
    /// # Errors
    /// [`LockDirError::Io`]: the holder is left for the next start.
    pub fn finish(self) -> Result<(), LockDirError> {
        let dir = &self.lock_dir.dir;
        let io = self.lock_dir.io("remove the files of a dead process");
        absent_is_fine(dir.remove_dir_all(staging_name(&self.name))).map_err(&io)?;
        absent_is_fine(dir.remove_file(lock_file(&self.name))).map_err(&io)
    }
}

impl fmt::Debug for DeadHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadHolder")
            .field("lock_dir", &self.lock_dir.path)
            .field("name", &hex(&self.name))
            .finish_non_exhaustive()
    }
}

/// The evidence in a lock directory about the life of one holder.
#[derive(Debug)]
pub enum Evidence {
    /// Its lock was free, so it is dead. It is locked now, until the [`DeadHolder`] is dropped or finished.
    Dead(DeadHolder),
    /// Its lock is held, by the holder itself or by a process that recovers it.
    Alive,
    /// It has no lock file.
    None,
}

impl LockDir {
    /// Returns the names of the holders that are proven dead and may have left pins. None of them is locked: lock one by
    /// [`evidence`](Self::evidence) before anything of it is released, so that two recoverers never work on the same
    /// holder. A name is never used again, so whoever is dead stays dead.
    ///
    /// It also removes the staging directories of dead holders, unfinished new files, and the lock files of holders
    /// that never had a pin. The other lock files stay until [`DeadHolder::finish`].
    ///
    /// # Errors
    /// [`LockDirError::Io`] where the directory cannot be listed. A holder that cannot be examined is left for the
    /// next time.
    pub fn dead(&self) -> Result<Vec<[u8; 16]>, LockDirError> {
        let mut found = Vec::new();
        let io = self.io("list the files");
        for entry in self.dir.entries().map_err(&io)? {
            let entry = entry.map_err(&io)?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                continue;
            };
            if let Some(name) = file_name.strip_suffix(LOCK_SUFFIX).and_then(unhex) {
                if !is_held_here(&name)
                    && let Some(file) = lock_if_free(self, file_name)
                {
                    let pins_may_remain = file.metadata().map_err(&io)?.len() > 0;
                    let holder = DeadHolder {
                        lock_dir: self.clone(),
                        name,
                        file,
                    };
                    if pins_may_remain {
                        // If this fails, `finish` tries again, and keeps the lock file if that fails too.
                        let _ = self.dir.remove_dir_all(staging_name(&name));
                        found.push(name);
                    } else if let Err(error) = holder.finish() {
                        tracing::warn!(%error, "the files of a dead process could not be removed");
                    }
                }
            } else if file_name.strip_prefix(NEW_PREFIX).and_then(unhex).is_some()
                && let Some(_locked) = lock_if_free(self, file_name)
            {
                // Its creator died, or has not locked it yet. In that case the creator sees that the file is gone, and
                // creates another.
                let _ = self.dir.remove_file(file_name);
            } else if let Some(name) = file_name.strip_suffix(STAGING_SUFFIX).and_then(unhex)
                && !is_held_here(&name)
                && !self.dir.exists(lock_file(&name))
                && let Ok(_locked) = open_and_lock(self, file_name)
            {
                // A staging directory is created after its lock and removed before it, so this one has no owner; unless
                // somebody removed the lock file of one that lives. That one has locked the directory too.
                let _ = self.dir.remove_dir_all(file_name);
            }
        }
        Ok(found)
    }

    /// Returns the evidence whether the holder of this `name` is alive or dead.
    ///
    /// # Errors
    /// [`LockDirError::Io`].
    pub fn evidence(&self, name: [u8; 16]) -> Result<Evidence, LockDirError> {
        let file_name = lock_file(&name);
        let file = match self.dir.open_with(&file_name, &read_options()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Evidence::None),
            Err(error) => return Err(self.io("look at a lock")(error)),
        };
        Ok(match lock_opened(self, &file_name, file) {
            Some(file) => Evidence::Dead(DeadHolder {
                lock_dir: self.clone(),
                name,
                file,
            }),
            None if self.dir.exists(&file_name) => Evidence::Alive,
            None => Evidence::None,
        })
    }
}

/// Locks the file of this name if nobody holds it. Returns `None` if the name has been given to another file meanwhile.
fn lock_if_free(lock_dir: &LockDir, name: &str) -> Option<File> {
    let file = lock_dir.dir.open_with(name, &read_options()).ok()?;
    lock_opened(lock_dir, name, file)
}

fn read_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// The second half of [`lock_if_free`]: `file` had that name a moment ago.
pub(super) fn lock_opened(lock_dir: &LockDir, name: &str, file: File) -> Option<File> {
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Between opening and locking, another recoverer may have finished with the file and removed it, or its creator may
    // have renamed it.
    let here = rustix::fs::fstat(&file).ok()?;
    let there =
        rustix::fs::statat(&*lock_dir.dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (here.st_dev == there.st_dev && here.st_ino == there.st_ino).then_some(file)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
