//! Definitions that all systems share: how a file is read and locked, and how much of it is allocated.

use std::{fs::File, io};

/// How staged bytes can be read on a thread that must not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadWay {
    /// The kernel can read from the page cache only (`RWF_NOWAIT`).
    Cached,
    /// The file system is in memory: an ordinary read waits for swap at worst.
    Memory,
    /// Neither of these, as on overlayfs: every read belongs on a blocking thread.
    Blocking,
}

/// How a range of a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeLock {
    /// Excludes exclusive locks.
    Shared,
    /// Excludes all other locks.
    Exclusive,
    /// Releases the lock.
    Unlocked,
}

/// The space that the file system has allocated for a file, in bytes, including metadata where it counts that.
pub(crate) fn allocated(file: &File) -> io::Result<u64> {
    // POSIX does not define the unit of st_blocks; it is 512 bytes on every existing Unix.
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_blocks).unwrap_or(0) * 512)
}
