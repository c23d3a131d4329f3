//! The file `layout`, which holds the version of a persistent staging directory's layout; and the directory's lock,
//! whose holder is the writer.
//!
//! The lock is a `flock` on the directory itself, not on a file in it: a file can be deleted and created again, and
//! then two processes would hold "the" lock. The kernel owns the lock, so it ends with the process, however that ends.

use std::io::Write as _;

use rustix::fs::{FlockOperation, flock};

use super::files::{self, Access};
use crate::{error::StagingError, lock_dir::StagingDir};

/// The file's name.
pub(crate) const LAYOUT: &str = "layout";

/// The whole content of the file. A directory with any other content is refused and left untouched.
const CONTENT: &str = "pinset staging layout 1\n";

/// Takes the lock, if nobody has it. It is held until the directory's handle and its clones are closed.
pub(crate) fn try_lock(dir: &StagingDir) -> bool {
    flock(dir.handle(), FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Releases the lock.
pub(crate) fn unlock(dir: &StagingDir) {
    // Unlocking does not fail.
    let _ = flock(dir.handle(), FlockOperation::Unlock);
}

/// Checks the version of a directory. Returns `None` if the directory has none yet.
///
/// # Errors
/// [`StagingError::UnknownLayout`], and errors of the system.
pub(crate) fn check(dir: &StagingDir) -> Result<Option<()>, StagingError> {
    let Some(file) = files::open_existing(dir, LAYOUT, Access::Read)? else {
        return Ok(None);
    };
    let mut found = [0; 64];
    let read = files::read_at_most(&file, &mut found, 0)
        .map_err(|error| StagingError::of("read", LAYOUT, error))?;
    match &found[..read] {
        // The process that created the file was killed before it wrote the content.
        [] => Ok(None),
        found if found == CONTENT.as_bytes() => Ok(Some(())),
        found => Err(StagingError::UnknownLayout {
            dir: dir.path().to_owned(),
            found: String::from_utf8_lossy(found).trim_end().to_owned(),
        }),
    }
}

/// Checks the version, and writes it if there is none. The caller holds the lock.
///
/// # Errors
/// The same as [`check`].
pub(crate) fn check_or_make(dir: &StagingDir) -> Result<(), StagingError> {
    if check(dir)?.is_some() {
        return Ok(());
    }
    let failed = |operation| move |error| StagingError::of(operation, LAYOUT, error);
    let mut file = files::open(dir, LAYOUT, Access::Make)?;
    file.write_all(CONTENT.as_bytes())
        .map_err(failed("write"))?;
    // Synced, once in a directory's life: after a power loss, the version must not be read as an unknown one.
    file.sync_all().map_err(failed("fsync"))?;
    drop(file);
    Ok(())
}

/// Whether files can be created and changed here, as far as that can be told without trying it.
pub(crate) fn is_writable(dir: &StagingDir) -> bool {
    use rustix::fs::{Access, AtFlags, StatVfsMountFlags};
    let mounted = rustix::fs::fstatvfs(dir.handle());
    mounted.is_ok_and(|stat| !stat.f_flag.contains(StatVfsMountFlags::RDONLY))
        && rustix::fs::accessat(dir.handle(), ".", Access::WRITE_OK, AtFlags::empty()).is_ok()
}
