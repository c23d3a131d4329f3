//! The system calls of staging that differ by operating system, and nothing else.
//!
//! Linux has them all. Elsewhere there is no [`punch`], so that every directory is refused when it is tried
//! out; the rest is there so that the crate builds.

use std::{fs::File, io};

use super::probe::ReadWay;

/// What the file system has allocated for a file, in bytes, metadata included where it counts that.
pub(crate) fn allocated(file: &File) -> io::Result<u64> {
    // POSIX leaves the unit of st_blocks open; it is 512 bytes on every Unix there is.
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_blocks).unwrap_or(0) * 512)
}

/// Frees what is allocated in `len` bytes from `offset`, which read as zeros then.
#[cfg(target_os = "linux")]
pub(crate) fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    #[cfg(test)]
    if PUNCH_FAILS.get() {
        return Err(rustix::io::Errno::IO.into());
    }
    loop {
        match rustix::fs::fallocate(
            file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            offset,
            len,
        ) {
            // coverage: needs a signal in just that moment.
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Refuses: see the file's head.
#[cfg(not(target_os = "linux"))]
pub(crate) fn punch(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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

/// Locks a range of a file for the open file that `file` is, not for the process: two that open a file each have
/// locks of their own. Never waits: says whether it is done.
#[cfg(target_os = "linux")]
pub(crate) fn lock_range(file: &File, how: RangeLock, offset: u64, len: usize) -> io::Result<bool> {
    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, fcntl},
        libc,
    };
    let kind = match how {
        RangeLock::Shared => libc::F_RDLCK,
        RangeLock::Exclusive => libc::F_WRLCK,
        RangeLock::Unlocked => libc::F_UNLCK,
    };
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset as libc::off_t,
        l_len: len as libc::off_t,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        // coverage: needs a file system without locks.
        Err(errno) => Err(errno.into()),
    }
}

/// Refuses: see the file's head.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_range(
    _file: &File,
    _how: RangeLock,
    _offset: u64,
    _len: usize,
) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Where a file has data, in order; holes lie between.
#[cfg(target_os = "linux")]
pub(crate) fn data_ranges(file: &File) -> io::Result<Vec<std::ops::Range<u64>>> {
    use rustix::{
        fs::{SeekFrom, seek},
        io::Errno,
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        // Nobody uses the file's position: every read and write here says where.
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(ranges),
            // coverage: needs a disk that fails.
            Err(errno) => return Err(errno.into()),
        };
        at = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..at);
    }
}

/// Refuses: see the file's head.
#[cfg(not(target_os = "linux"))]
pub(crate) fn data_ranges(_file: &File) -> io::Result<Vec<std::ops::Range<u64>>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
pub(crate) use super::cached::read as read_cached;

/// Only Linux can be asked not to wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached(_file: &File, _offset: u64, _len: usize) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

/// How `file`, whose first byte has just been written, can be read without waiting.
#[cfg(target_os = "linux")]
pub(crate) fn read_way(file: &File) -> io::Result<ReadWay> {
    use rustix::io::{Errno, ReadWriteFlags};
    /// `RAMFS_MAGIC` and `TMPFS_MAGIC` of linux/magic.h.
    const IN_MEMORY: [u64; 2] = [0x8584_58f6, 0x0102_1994];
    #[allow(clippy::unnecessary_cast, reason = "f_type differs by architecture")]
    let magic = rustix::fs::fstatfs(file)?.f_type as u64 & 0xffff_ffff;
    if IN_MEMORY.contains(&magic) {
        return Ok(ReadWay::Memory);
    }
    match rustix::io::preadv2(
        file,
        &mut [io::IoSliceMut::new(&mut [0])],
        0,
        ReadWriteFlags::NOWAIT,
    ) {
        Ok(_) | Err(Errno::AGAIN) => Ok(ReadWay::Cached),
        // coverage: needs a file system that cannot be asked not to wait.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(ReadWay::Blocking),
        Err(error) => Err(error.into()),
    }
}

/// Only Linux can be asked not to wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_way(_file: &File) -> io::Result<ReadWay> {
    Ok(ReadWay::Blocking)
}

#[cfg(test)]
thread_local! {
    /// No file system refuses a hole where it has punched others, so a test has to say so.
    pub(super) static PUNCH_FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}
