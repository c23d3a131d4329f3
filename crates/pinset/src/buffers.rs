//! Buffers that reads of staged bytes are made into, used again and again.
//!
//! The system fills bytes that are initialised, and to zero 64 KiB for each read takes a twelfth of its time. A buffer
//! that comes back has been initialised; every byte that is handed out was overwritten by the read that it was taken
//! for. Each pinset has its own, so that nothing passes from one to another.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::sync::{Mutex, lock};

/// The length of a buffer, in bytes: the most that a guest gets at once.
pub(crate) const LENGTH: usize = 64 << 10;

/// Reads of fewer bytes get a buffer of their own, of their length: what is handed out may be kept for long, and is
/// not to hold many times its length of memory (I9).
pub(crate) const LEAST: usize = LENGTH / 4;

/// How many are kept for the next read.
pub(crate) const KEPT: usize = 4;

/// The buffers of one pinset that are in nobody's hands.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) free: Mutex<Vec<Box<[u8]>>>,
}

/// One that is; it comes back when the last of the [`Bytes`] goes.
struct Lent {
    bytes: Box<[u8]>,
    len: usize,
    to: Arc<Buffers>,
}

impl Buffers {
    /// `len` bytes, all of which `read` fills; `None` where it says that it did not.
    pub(crate) fn fill(
        self: &Arc<Self>,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<bool>,
    ) -> io::Result<Option<Bytes>> {
        if !(LEAST..=LENGTH).contains(&len) {
            let mut bytes = vec![0; len];
            return Ok(read(&mut bytes)?.then(|| bytes.into()));
        }
        let free = lock(&self.free).pop();
        let mut lent = Lent {
            bytes: free.unwrap_or_else(|| vec![0; LENGTH].into_boxed_slice()),
            len,
            to: self.clone(),
        };
        Ok(read(&mut lent.bytes[..len])?.then(|| Bytes::from_owner(lent)))
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut free = lock(&self.to.free);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}
