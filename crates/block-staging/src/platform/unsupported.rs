//! Other systems, without holes, locks of open files and reads that do not wait. Every directory is refused there.

use std::{fs::File, io, ops::Range};

use super::ways::{RangeLock, ReadWay};

/// Returns `Unsupported`.
pub(crate) fn punch(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns `Unsupported`.
pub(crate) fn lock_range(
    _file: &File,
    _how: RangeLock,
    _offset: u64,
    _len: usize,
) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns `Unsupported`.
pub(crate) fn data_from(_file: &File, _from: u64) -> io::Result<Option<Range<u64>>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns `None`: such a read may wait on this system.
pub(crate) fn read_cached(_file: &File, _offset: u64, _len: usize) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

/// Returns `false`: the system has no read that does not wait.
pub(crate) fn read_cached_into(_file: &File, _offset: u64, _into: &mut [u8]) -> io::Result<bool> {
    Ok(false)
}

/// Returns [`ReadWay::Blocking`]: every read belongs on a blocking thread.
pub(crate) fn read_way(_file: &File) -> io::Result<ReadWay> {
    Ok(ReadWay::Blocking)
}
