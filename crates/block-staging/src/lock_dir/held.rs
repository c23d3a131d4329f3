//! The lock of a living holder.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_NOW};

use super::directory::{
    ID, LOCK_SUFFIX, LockDir, LockDirError, PINS_MAY_REMAIN, hex, locked_new_file, random,
};
use crate::sync::{Mutex, lock};

/// How often [`HeldLock::refresh`] renews the times of the files. Programs that remove old files from directories for
/// temporary files spare those of the last ten days or more.
const RENEWED: Duration = Duration::from_secs(24 * 60 * 60);

/// A holder's lock that this process holds. It is cheap to clone, and is released when the last clone is dropped, or
/// with the process.
#[derive(Clone)]
pub struct HeldLock {
    inner: Arc<Held>,
}

struct Held {
    lock_dir: LockDir,
    name: [u8; 16],
    /// Holds the `flock`.
    file: cap_std::fs::File,
    /// Whether the file has the mark that pins may remain.
    marked: Mutex<bool>,
    /// Whether the staging directory could not be removed, so that the file has to stay.
    unswept: AtomicBool,
    /// When the times of the files were renewed.
    renewed: Mutex<Instant>,
}

/// The names of the locks that this process holds, in all directories. Without it, a process with a thousand locks
/// would try to lock all of its own at each start.
static HELD: Mutex<BTreeSet<[u8; 16]>> = Mutex::new(BTreeSet::new());

/// Whether this process is known to hold the lock of this name. `false` proves nothing.
pub(super) fn is_held_here(name: &[u8; 16]) -> bool {
    lock(&HELD).contains(name)
}

/// Forgets that this process holds the lock of this name, so that a test sees what another process would see.
#[cfg(all(test, not(shuttle)))]
pub(super) fn forget_held(name: &[u8; 16]) {
    lock(&HELD).remove(name);
}

impl LockDir {
    /// Creates a lock with a new name and holds it.
    ///
    /// # Errors
    /// [`LockDirError::Io`].
    pub fn hold(&self) -> Result<HeldLock, LockDirError> {
        let io = self.io("make a lock");
        let name = random::<16>().map_err(&io)?;
        // Locked before it has its name, so that nobody sees a free lock of a living holder.
        let (file, new) = locked_new_file(&self.dir).map_err(&io)?;
        let named = lock_file(&name);
        if let Err(error) = self.dir.rename(&new, &self.dir, &named) {
            let _ = self.dir.remove_file(&new);
            return Err(io(error));
        }
        lock(&HELD).insert(name);
        self.renew_id();
        Ok(HeldLock {
            inner: Arc::new(Held {
                lock_dir: self.clone(),
                name,
                file,
                marked: Mutex::new(false),
                unswept: AtomicBool::new(false),
                renewed: Mutex::new(Instant::now()),
            }),
        })
    }

    /// Sets the times of the file `id` to now. If it were removed as an old file, the next start would get another id,
    /// and could not prove any more that the holders under this one are dead.
    fn renew_id(&self) {
        // It is a protection against other programs, beside the lock on the directory.
        let _ = rustix::fs::utimensat(&*self.dir, ID, &now(), AtFlags::SYMLINK_NOFOLLOW);
    }
}

fn now() -> Timestamps {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    Timestamps {
        last_access: now,
        last_modification: now,
    }
}

pub(super) fn lock_file(name: &[u8; 16]) -> String {
    format!("{}{LOCK_SUFFIX}", hex(name))
}

impl HeldLock {
    /// The holder's name: 16 random bytes, unique to this lock.
    pub fn name(&self) -> [u8; 16] {
        self.inner.name
    }

    /// The lock directory that it is in.
    pub fn lock_dir(&self) -> &LockDir {
        &self.inner.lock_dir
    }

    /// Marks that pins of this holder may be on a backend. It must return before the first pin is made. From then on
    /// the lock file stays when the lock is released or the process dies, even by a power loss; it is the proof by
    /// which the next start releases the pins. Waits for the disk the first time only.
    ///
    /// # Errors
    /// [`LockDirError::Io`]: the mark was not written, and no pin may be made.
    pub fn pins_may_remain(&self) -> Result<(), LockDirError> {
        let mut marked = lock(&self.inner.marked);
        if !*marked {
            let write = || {
                (&self.inner.file).write_all(PINS_MAY_REMAIN)?;
                self.inner.file.sync_all()?;
                // Sync the file's name as well.
                rustix::fs::fsync(&*self.lock_dir().dir).map_err(io::Error::from)
            };
            write().map_err(self.lock_dir().io("mark a lock"))?;
            *marked = true;
        }
        Ok(())
    }

    /// Whether the mark of [`pins_may_remain`](Self::pins_may_remain) is set.
    pub fn says_that_pins_may_remain(&self) -> bool {
        *lock(&self.inner.marked)
    }

    /// Removes the mark, once all pins of this holder have been released: the lock file is removed with the lock again.
    pub fn no_pins_remain(&self) {
        let mut marked = lock(&self.inner.marked);
        if *marked {
            // If the mark stays, it does no harm beyond keeping a small file.
            *marked = self.inner.file.set_len(0).is_err();
        }
    }

    /// Shows programs that remove old files that the lock is in use. Call it now and then: at most once a day it writes
    /// to the disk.
    pub fn refresh(&self) {
        let mut renewed = lock(&self.inner.renewed);
        if renewed.elapsed() >= RENEWED {
            *renewed = Instant::now();
            let _ = rustix::fs::futimens(&self.inner.file, &now());
            self.lock_dir().renew_id();
        }
    }

    /// Keeps the lock file when the lock is released, because the staging directory could not be removed and the next
    /// start has to remove it.
    pub(super) fn keep_lock_file(&self) {
        self.inner.unswept.store(true, Ordering::SeqCst);
    }
}

impl fmt::Debug for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLock")
            .field("lock_dir", &self.inner.lock_dir.path)
            .field("name", &hex(&self.inner.name))
            .finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&HELD).remove(&self.name);
        if !*lock(&self.marked) && !self.unswept.load(Ordering::SeqCst) {
            // Removed while the lock is still held, so that nobody tries to recover this holder.
            let _ = self.lock_dir.dir.remove_file(lock_file(&self.name));
        }
    }
}
