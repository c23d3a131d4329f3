//! Reads from the page cache into uninitialised memory.
//!
//! This is the only unsafe code of the library. Every safe wrapper of `preadv2`, the only call that does not wait for a
//! disk, requires initialised bytes; zeroing them first takes a twelfth of the time of a guest's reads of 64 KiB.
//! Invariant: the length of a `Vec` never exceeds the number of bytes that the system reports as written.
#![allow(
    unsafe_code,
    reason = "no safe wrapper of preadv2 accepts uninitialised memory"
)]

use std::{fs::File, io, os::fd::AsRawFd};

/// Reads `len` bytes from `offset`. Returns `None` unless the page cache has them all.
#[inline]
pub(crate) fn read(file: &File, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let mut bytes = Vec::<u8>::with_capacity(len);
    let into = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: len,
    };
    // SAFETY: `into` is one span of `len` bytes that `bytes` owns, and nobody else accesses it during the call. The
    // system writes at most that many bytes, and keeps no pointer to them after the call.
    let read = unsafe {
        libc::preadv2(
            file.as_raw_fd(),
            &raw const into,
            1,
            offset,
            libc::RWF_NOWAIT,
        )
    };
    match usize::try_from(read) {
        Ok(read) if read == len => {
            // SAFETY: the capacity is at least `len`, and the system has written `len` bytes.
            unsafe { bytes.set_len(len) };
            Ok(Some(bytes))
        }
        Ok(_less) => Ok(None),
        Err(_negative) => {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // coverage: needs pages that the system has evicted, or a disk that fails.
                Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::EINTR) => Ok(None),
                _ => Err(error),
            }
        }
    }
}
