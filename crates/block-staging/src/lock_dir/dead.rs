//! A dead holder: found by its free lock, locked while it is being recovered.

use std::{fmt, io};

use cap_std::fs::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};

use super::{
    directory::{LOCK_SUFFIX, LockDir, LockDirError, NEW_PREFIX, STAGING_SUFFIX, hex, unhex},
    held::{is_held_here, lock_file},
    staging_dir::staging_name,
};

/// A holder whose process is proven dead and may have left pins, locked against other recoverers. Dropped, it is
/// left for the next start.
pub struct DeadHolder {
    lock_dir: LockDir,
    name: [u8; 16],
    _file: File,
}

impl DeadHolder {
    /// The holder's name, as [`HeldLock::name`](super::HeldLock::name) gave it.
    pub fn name(&self) -> [u8; 16] {
        self.name
    }

    /// To be called when nothing of the holder is left elsewhere: removes its staging directory, if that is still
    /// there, and then its lock file.
    ///
    /// # Errors
    /// [`LockDirError::Io`]: it is left for the next start.
    pub fn finish(self) -> Result<(), LockDirError> {
        let dir = &self.lock_dir.dir;
        let io = self.lock_dir.io("remove what a dead process left");
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

/// What a lock directory can show of one holder.
#[derive(Debug)]
pub enum Evidence {
    /// Its lock is free: it is dead. Locked now, as by [`LockDir::dead`].
    Dead(DeadHolder),
    /// Its lock is held: by itself, or by whoever recovers what it left.
    Alive,
    /// There is no lock of it.
    None,
}

impl LockDir {
    /// The holders that are proven dead and may have left pins, each locked until its [`DeadHolder`] is dropped or
    /// finished, so that two recoverers never work on the same one.
    ///
    /// The staging directories of the dead are removed in passing, as are files on their way and lock files of
    /// those that never had a pin; the other lock files stay until [`DeadHolder::finish`].
    ///
    /// # Errors
    /// [`LockDirError::Io`] where the directory cannot be listed. One holder that cannot be examined is left for
    /// the next time.
    pub fn dead(&self) -> Result<Vec<DeadHolder>, LockDirError> {
        let mut found = Vec::new();
        let io = self.io("list what there is");
        for entry in self.dir.entries().map_err(&io)? {
            let entry = entry.map_err(&io)?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                // coverage: nobody puts such names here; and it needs a disk that fails.
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
                        _file: file,
                    };
                    if pins_may_remain {
                        // What cannot be removed now, `finish` tries again, and keeps the lock file if it fails.
                        let _ = self.dir.remove_dir_all(staging_name(&name));
                        found.push(holder);
                    } else if let Err(error) = holder.finish() {
                        tracing::warn!(%error, "what a dead process left was not swept");
                    }
                }
            } else if file_name.strip_prefix(NEW_PREFIX).and_then(unhex).is_some()
                && let Some(_locked) = lock_if_free(self, file_name)
            {
                // Its maker died, or has not locked it yet: then the maker sees that it is gone and makes another.
                let _ = self.dir.remove_file(file_name);
            } else if let Some(name) = file_name.strip_suffix(STAGING_SUFFIX).and_then(unhex)
                && !is_held_here(&name)
                && !self.dir.exists(lock_file(&name))
            {
                // A staging directory comes after its lock and goes before it: nobody's.
                let _ = self.dir.remove_dir_all(file_name);
            }
        }
        Ok(found)
    }

    /// What there is to show that the holder of this `name` lives, or is dead.
    ///
    /// # Errors
    /// [`LockDirError::Io`].
    pub fn evidence(&self, name: [u8; 16]) -> Result<Evidence, LockDirError> {
        let file_name = lock_file(&name);
        let file = match self.dir.open_with(&file_name, &read_options()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Evidence::None),
            // coverage: needs a disk that fails, and a lock that goes between two looks at it.
            Err(error) => return Err(self.io("look at a lock")(error)),
        };
        Ok(match lock_opened(self, &file_name, file) {
            Some(file) => Evidence::Dead(DeadHolder {
                lock_dir: self.clone(),
                name,
                _file: file,
            }),
            None if self.dir.exists(&file_name) => Evidence::Alive,
            None => Evidence::None,
        })
    }
}

/// Locks the file if nobody holds it and it is still the one of that name.
fn lock_if_free(lock_dir: &LockDir, name: &str) -> Option<File> {
    let file = lock_dir.dir.open_with(name, &read_options()).ok()?;
    lock_opened(lock_dir, name, file)
}

fn read_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// The second half: `file` is what had that name a moment ago.
pub(super) fn lock_opened(lock_dir: &LockDir, name: &str, file: File) -> Option<File> {
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Between the opening and the lock, another recoverer may have finished with it and removed it, or its maker
    // may have given it another name.
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
