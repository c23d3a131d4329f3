//! Reads of what the page cache has, into memory that nobody has written yet.
//!
//! The only unsafe code of the library. Every safe wrapper of `preadv2`, the one call that does not wait for a disk,
//! wants bytes that are initialised; to zero them first takes a twelfth of the time of a guest's reads of 64 KiB. Invariant: a `Vec`
//! gets no longer than what the system says that it wrote.
#![allow(
    unsafe_code,
    reason = "no safe wrapper of preadv2 takes memory that is not initialised"
)]

use std::{fs::File, io, os::fd::AsRawFd};

/// `len` bytes from `offset`, if the page cache has them all; else `None`.
#[inline]
pub(crate) fn read(file: &File, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let mut bytes = Vec::<u8>::with_capacity(len);
    let into = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: len,
    };
    // SAFETY: `into` is one span of `len` bytes that `bytes` owns, and nobody else has it during the call. The system
    // writes at most that many, and takes nothing of it beyond the call.
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
            // SAFETY: the capacity is `len` at least, and the system has written as many bytes.
            unsafe { bytes.set_len(len) };
            Ok(Some(bytes))
        }
        Ok(_less) => Ok(None),
        Err(_negative) => {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // coverage: needs pages that the system has taken back, or a disk that fails.
                Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::EINTR) => Ok(None),
                _ => Err(error),
            }
        }
    }
}
