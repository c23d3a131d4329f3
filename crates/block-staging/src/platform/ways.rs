//! What the systems share: how a file is read and locked, and how much of it is allocated.

use std::{fs::File, io};

/// How staged bytes can be read on a thread that must not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadWay {
    /// The kernel can be asked for what the page cache has (`RWF_NOWAIT`).
    Cached,
    /// The file system lives in memory: an ordinary read waits for nothing but, at worst, swap.
    Memory,
    /// Neither: every read belongs on a blocking thread. (overlayfs, for one.)
    Blocking,
}

/// How a range of a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeLock {
    /// Against exclusive locks.
    Shared,
    /// Against all others.
    Exclusive,
    /// Not any more.
    Unlocked,
}

/// What the file system has allocated for a file, in bytes, metadata included where it counts that.
pub(crate) fn allocated(file: &File) -> io::Result<u64> {
    // POSIX leaves the unit of st_blocks open; it is 512 bytes on every Unix there is.
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_blocks).unwrap_or(0) * 512)
}
