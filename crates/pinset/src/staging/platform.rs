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

/// Fills `into` from `offset` with what the page cache has, or says `false`.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn read_cached(file: &File, offset: u64, into: &mut [u8]) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags};
    let asked = into.len();
    match rustix::io::preadv2(
        file,
        &mut [io::IoSliceMut::new(into)],
        offset,
        ReadWriteFlags::NOWAIT,
    ) {
        Ok(read) => Ok(read == asked),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Says `false`: only Linux can be asked not to wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached(_file: &File, _offset: u64, _into: &mut [u8]) -> io::Result<bool> {
    Ok(false)
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
