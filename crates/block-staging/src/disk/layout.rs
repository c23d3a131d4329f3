//! The file `layout`: which version of the layout a persistent staging directory has. And the directory's lock:
//! who is the writer.
//!
//! The lock is a `flock` on the directory itself, not on a file in it: a file can be deleted and made again, and
//! then two processes would hold "the" lock. It is the kernel's, so it ends with the process, however that ends.

use std::io::Write as _;

use rustix::fs::{FlockOperation, flock};

use super::files::{self, Access};
use crate::{error::StagingError, lock_dir::StagingDir};

/// The file's name.
pub(crate) const LAYOUT: &str = "layout";

/// All of its content. What begins otherwise is not ours to touch.
const CONTENT: &str = "pinset staging layout 1\n";

/// Takes the lock, if nobody has it. It is held as long as the directory's handle, or a clone of that.
pub(crate) fn try_lock(dir: &StagingDir) -> bool {
    flock(dir.handle(), FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Gives the lock back.
pub(crate) fn unlock(dir: &StagingDir) {
    // The system refuses no unlocking.
    let _ = flock(dir.handle(), FlockOperation::Unlock);
}

/// Checks the version of a directory; `None` where it says none yet.
///
/// # Errors
/// [`StagingError::UnknownLayout`], and what the system says.
pub(crate) fn check(dir: &StagingDir) -> Result<Option<()>, StagingError> {
    let Some(file) = files::open_existing(dir, LAYOUT, Access::Read)? else {
        return Ok(None);
    };
    let mut found = [0; 64];
    let read = files::read_at_most(&file, &mut found, 0)
        .map_err(|error| StagingError::of("read", LAYOUT, error))?;
    match &found[..read] {
        // Its maker was killed before it wrote.
        [] => Ok(None),
        found if found == CONTENT.as_bytes() => Ok(Some(())),
        found => Err(StagingError::UnknownLayout {
            dir: dir.path().to_owned(),
            found: String::from_utf8_lossy(found).trim_end().to_owned(),
        }),
    }
}

/// Checks the version, and says it where none is said. For the one that holds the lock.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_or_make(dir: &StagingDir) -> Result<(), StagingError> {
    if check(dir)?.is_some() {
        return Ok(());
    }
    let failed = |operation| move |error| StagingError::of(operation, LAYOUT, error);
    let mut file = files::open(dir, LAYOUT, Access::Make)?;
    file.write_all(CONTENT.as_bytes())
        .map_err(failed("write"))?;
    // Once in a directory's life: after a power loss, its version must not be read as an unknown one.
    file.sync_all().map_err(failed("fsync"))?;
    drop(file);
    Ok(())
}

/// Whether files can be made and changed here, as far as that shows without doing it.
pub(crate) fn is_writable(dir: &StagingDir) -> bool {
    use rustix::fs::{Access, AtFlags, StatVfsMountFlags};
    let mounted = rustix::fs::fstatvfs(dir.handle());
    mounted.is_ok_and(|stat| !stat.f_flag.contains(StatVfsMountFlags::RDONLY))
        && rustix::fs::accessat(dir.handle(), ".", Access::WRITE_OK, AtFlags::empty()).is_ok()
}
