//! The file `layout`, which holds the version of a persistent staging directory's layout; and the directory's lock,
//! whose holder is the writer.
//!
//! The lock is a `flock` on the directory itself, not on a file in it: a file can be deleted and created again, and
//! then two processes would hold "the" lock. The kernel owns the lock, so it ends with the process, however that ends.

use std::os::unix::fs::FileExt as _;

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::files::{self, Access};
use crate::{error::StagingError, lock_dir::StagingDir};

/// The file's name.
pub(crate) const LAYOUT: &str = "layout";

/// The content of the file. A directory with any other content is refused and left untouched, except for that of
/// [`FIRST`].
const CONTENT: &str = "pinset staging layout 2\n";

/// The content of the first version. A writer upgrades such a directory in place.
const FIRST: &str = "pinset staging layout 1\n";

/// The version of a directory's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The first one, without the file `shares`: its writer knows nothing of others' parts.
    First,
    /// The one that this version of the library writes.
    Current,
}

/// Takes the lock, if nobody has it. Returns whether it did. The lock is held until the directory's handle and its
/// clones are closed.
///
/// # Errors
/// [`StagingError::CannotLock`]: the file system has no such locks, or none left.
pub(crate) fn try_lock(dir: &StagingDir) -> Result<bool, StagingError> {
    loop {
        match flock(dir.handle(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            // Only this error means that another process has the lock.
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(StagingError::CannotLock {
                    dir: dir.path().to_owned(),
                    source: errno.into(),
                });
            }
        }
    }
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
pub(crate) fn check(dir: &StagingDir) -> Result<Option<Version>, StagingError> {
    let Some(file) = files::open_existing(dir, LAYOUT, Access::Read)? else {
        return Ok(None);
    };
    let mut found = [0; 64];
    let read = files::read_at_most(&file, &mut found, 0)
        .map_err(|error| StagingError::of("read", LAYOUT, error))?;
    // The process that created the file was killed before it wrote the content. After a power loss, a file system may
    // have filled the file with zeros.
    let written = found[..read].iter().rposition(|byte| *byte != 0);
    match &found[..written.map_or(0, |last| last + 1)] {
        [] => Ok(None),
        found if found == CONTENT.as_bytes() => Ok(Some(Version::Current)),
        found if found == FIRST.as_bytes() => Ok(Some(Version::First)),
        found => Err(StagingError::UnknownLayout {
            dir: dir.path().to_owned(),
            found: String::from_utf8_lossy(found).trim_end().to_owned(),
        }),
    }
}

/// Checks the version, and writes it if there is none or an earlier one. The caller holds the lock.
///
/// # Errors
/// The same as [`check`].
pub(crate) fn check_or_make(dir: &StagingDir) -> Result<(), StagingError> {
    if check(dir)? == Some(Version::Current) {
        return Ok(());
    }
    let failed = |operation| move |error| StagingError::of(operation, LAYOUT, error);
    let file = files::open(dir, LAYOUT, Access::Make)?;
    // An earlier version's text has the same length, and differs in one byte.
    file.write_all_at(CONTENT.as_bytes(), 0)
        .map_err(failed("write"))?;
    file.set_len(CONTENT.len() as u64)
        .map_err(failed("set_len"))?;
    // Synced, once for each version: after a power loss, the version must not be read as an unknown one.
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
