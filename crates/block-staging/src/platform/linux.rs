//! Linux: holes, locks of open files, and reads from the page cache.

use std::{fs::File, io};

use super::ways::{RangeLock, ReadWay};

pub(crate) use super::cached::read as read_cached;

/// Frees the space of `len` bytes from `offset`, which read as zeros afterwards.
pub(crate) fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    #[cfg(test)]
    PUNCHES.set(PUNCHES.get() + 1);
    #[cfg(test)]
    if PUNCH_FAILS.get() {
        return Err(rustix::io::Errno::IO.into());
    }
    #[cfg(shuttle)]
    crate::sync::point();
    loop {
        match rustix::fs::fallocate(
            file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            offset,
            len,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Locks a range of a file for this open file, not for the process: if a file is opened twice, each open file has its
/// own locks. Never waits. Returns whether the lock was taken.
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
    #[cfg(shuttle)]
    crate::sync::point();
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
        Err(errno) => Err(errno.into()),
    }
}

/// The first range at or behind `from` in which a file has data. Before it and behind it are holes.
pub(crate) fn data_from(file: &File, from: u64) -> io::Result<Option<std::ops::Range<u64>>> {
    use rustix::{
        fs::{SeekFrom, seek},
        io::Errno,
    };
    // Moving the file's position is harmless: every read and write here passes its own offset.
    let start = match seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    match seek(file, SeekFrom::Hole(start)) {
        Ok(end) => Ok(Some(start..end)),
        // Somebody has cut the file short in between.
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Fills `into` from `offset` if the page cache has all of it, and returns whether it has. If not, the content of `into`
/// is unspecified.
#[inline]
pub(crate) fn read_cached_into(file: &File, offset: u64, into: &mut [u8]) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags};
    let len = into.len();
    let into = &mut [io::IoSliceMut::new(into)];
    match rustix::io::preadv2(file, into, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(read == len),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Finds out how `file`, whose first byte has just been written, can be read without waiting.
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
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(ReadWay::Blocking),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
thread_local! {
    /// Makes `punch` fail in a test, since a file system that has punched one hole does not refuse another.
    pub(crate) static PUNCH_FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    /// How often this thread has called `punch`.
    pub(crate) static PUNCHES: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
