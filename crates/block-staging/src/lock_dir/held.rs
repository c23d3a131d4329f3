//! A living holder: its lock.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::directory::{
    LOCK_SUFFIX, LockDir, LockDirError, PINS_MAY_REMAIN, hex, locked_new_file, random,
};
use crate::sync::{Mutex, lock};

/// A holder's lock, held. Cheap to clone: it is released when the last clone goes, or with the process.
#[derive(Clone)]
pub struct HeldLock {
    inner: Arc<Held>,
}

struct Held {
    lock_dir: LockDir,
    name: [u8; 16],
    /// Holds the `flock`.
    file: cap_std::fs::File,
    /// Whether the mark is in the file.
    marked: Mutex<bool>,
    /// Whether the staging directory could not be removed, so that the file has to stay.
    unswept: AtomicBool,
}

/// The names of the locks that this process holds, in whatever directory. One with a thousand of them would else, at
/// each start, try all the locks that are its own.
static HELD: Mutex<BTreeSet<[u8; 16]>> = Mutex::new(BTreeSet::new());

/// Whether this process holds the lock of this name. `false` says nothing.
pub(super) fn is_held_here(name: &[u8; 16]) -> bool {
    lock(&HELD).contains(name)
}

impl LockDir {
    /// Makes a lock of a new name and holds it.
    ///
    /// # Errors
    /// [`LockDirError::Io`].
    pub fn hold(&self) -> Result<HeldLock, LockDirError> {
        let io = self.io("make a lock");
        let name = random::<16>().map_err(&io)?;
        // Locked before it has its name: nobody sees a free lock of a holder that lives.
        let (file, new) = locked_new_file(&self.dir).map_err(&io)?;
        let named = lock_file(&name);
        if let Err(error) = self.dir.rename(&new, &self.dir, &named) {
            // coverage: needs a disk that fails.
            let _ = self.dir.remove_file(&new);
            return Err(io(error));
        }
        lock(&HELD).insert(name);
        Ok(HeldLock {
            inner: Arc::new(Held {
                lock_dir: self.clone(),
                name,
                file,
                marked: Mutex::new(false),
                unswept: AtomicBool::new(false),
            }),
        })
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

    /// The directory that it lies in.
    pub fn lock_dir(&self) -> &LockDir {
        &self.inner.lock_dir
    }

    /// Says that pins of this holder may be on a backend: to be called, and waited for, before the first is made.
    /// From now on the lock file stays when the lock is released or the process dies, even by a loss of power, as
    /// the proof by which the next start releases them. Waits for the disk the first time, and then no more.
    ///
    /// # Errors
    /// [`LockDirError::Io`]: the mark was not made, and a pin must not be.
    pub fn pins_may_remain(&self) -> Result<(), LockDirError> {
        let mut marked = lock(&self.inner.marked);
        if !*marked {
            let write = || {
                (&self.inner.file).write_all(PINS_MAY_REMAIN)?;
                self.inner.file.sync_all()?;
                // The file's name as well.
                rustix::fs::fsync(&*self.lock_dir().dir).map_err(io::Error::from)
            };
            write().map_err(self.lock_dir().io("mark a lock"))?;
            *marked = true;
        }
        Ok(())
    }

    /// Whether [`pins_may_remain`](Self::pins_may_remain) has nothing left to do.
    pub fn says_that_pins_may_remain(&self) -> bool {
        *lock(&self.inner.marked)
    }

    /// Says that all pins of this holder have been released: the lock file goes with the lock. As at the start.
    pub fn no_pins_remain(&self) {
        let mut marked = lock(&self.inner.marked);
        if *marked {
            // A mark that stays keeps a small file, and no more.
            *marked = self.inner.file.set_len(0).is_err();
        }
    }

    /// Keeps the lock file when the lock is released: something beside it could not be removed, and the next start
    /// is to do so.
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
            // While the lock is still held, so that nobody takes this holder for one to recover.
            let _ = self.lock_dir.dir.remove_file(lock_file(&self.name));
        }
    }
}
