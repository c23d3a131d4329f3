//! A living holder: its lock, and the temporary staging directory beside it.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _};

use super::{
    LOCK_SUFFIX, LockDir, LockDirError, PINS_MAY_REMAIN, STAGING_SUFFIX, create_options, hex,
    locked_new_file, random,
};
use crate::sync::lock;

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

/// The names of the locks that this process holds, in whatever directory. One with a thousand pinsets would else, at
/// each start, try all the locks that are its own.
static HELD: Mutex<BTreeSet<[u8; 16]>> = Mutex::new(BTreeSet::new());

/// Whether this process holds the lock of this name. `false` says nothing.
pub(super) fn is_held_here(name: &[u8; 16]) -> bool {
    lock(&HELD).contains(name)
}

pub(super) fn hold(lock_dir: &LockDir) -> Result<HeldLock, LockDirError> {
    let io = lock_dir.io("make a lock");
    let name = random::<16>().map_err(&io)?;
    // Locked before it has its name: nobody sees a free lock of a holder that lives.
    let (file, new) = locked_new_file(&lock_dir.dir).map_err(&io)?;
    let named = lock_file(&name);
    if let Err(error) = lock_dir.dir.rename(&new, &lock_dir.dir, &named) {
        // coverage: needs a disk that fails.
        let _ = lock_dir.dir.remove_file(&new);
        return Err(io(error));
    }
    lock(&HELD).insert(name);
    Ok(HeldLock {
        inner: Arc::new(Held {
            lock_dir: lock_dir.clone(),
            name,
            file,
            marked: Mutex::new(false),
            unswept: AtomicBool::new(false),
        }),
    })
}

pub(super) fn lock_file(name: &[u8; 16]) -> String {
    format!("{}{LOCK_SUFFIX}", hex(name))
}

pub(super) fn staging_name(name: &[u8; 16]) -> String {
    format!("{}{STAGING_SUFFIX}", hex(name))
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

    /// Makes this holder's temporary staging directory, once. It is removed when the last user of it is dropped,
    /// and keeps the lock until then.
    ///
    /// # Errors
    /// [`LockDirError::Io`]; also where it has been made already.
    pub fn staging_dir(&self) -> Result<StagingDir, LockDirError> {
        let lock_dir = self.lock_dir();
        let io = lock_dir.io("make a staging directory");
        let name = staging_name(&self.inner.name);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        lock_dir.dir.create_dir_with(&name, &builder).map_err(&io)?;
        let dir = lock_dir.dir.open_dir(&name).map_err(|error| {
            // coverage: needs a disk that fails.
            let _ = lock_dir.dir.remove_dir(&name);
            io(error)
        })?;
        Ok(StagingDir {
            path: lock_dir.path.join(name),
            dir,
            held: Some(self.clone()),
        })
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

/// A directory for staging, as a capability. What of it is temporary is removed on drop.
#[derive(Debug)]
pub struct StagingDir {
    dir: Dir,
    /// For messages only.
    path: PathBuf,
    /// There for a temporary one, whose directory is named after it.
    held: Option<HeldLock>,
}

impl StagingDir {
    /// A directory that somebody else made and removes. `path` is for messages only.
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

    /// The same directory once more. The first removes what is temporary of it.
    pub(crate) fn again(&self) -> io::Result<Self> {
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

    /// Makes a file that is not there yet, mode 0600.
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
            // What cannot be removed now is swept by the next start, if the lock file stays for it.
            let name = staging_name(&held.inner.name);
            if held.lock_dir().dir.remove_dir_all(name).is_err() {
                held.inner.unswept.store(true, Ordering::SeqCst);
            }
        }
    }
}
