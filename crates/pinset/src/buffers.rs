//! Buffers that reads of staged bytes are made into, used again and again.
//!
//! The system fills bytes that are initialised, and to zero 64 KiB for each read takes a twelfth of its time. A buffer
//! that comes back has been initialised; every byte that is handed out was overwritten by the read that it was taken
//! for. Each pinset has its own, so that nothing passes from one to another.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::sync::{Mutex, lock};

/// The length of a buffer, in bytes: the most that a guest gets at once.
const LENGTH: usize = 64 << 10;

/// Reads of fewer bytes get a buffer of their own, of their length: what is handed out may be kept for long, and is
/// not to hold many times its length of memory (I9).
const LEAST: usize = LENGTH / 4;

/// How many are kept for the next read.
const KEPT: usize = 4;

/// The buffers of one pinset that are in nobody's hands.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Box<[u8]>>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Arc<Buffers>, len: usize, byte: u8) -> Bytes {
        let read = buffers.fill(len, |into| {
            into.fill(byte);
            Ok(true)
        });
        read.unwrap().unwrap()
    }

    #[test]
    fn a_buffer_is_used_again_and_shows_only_what_was_read_into_it() {
        let buffers = Arc::new(Buffers::default());
        let first = filled(&buffers, LENGTH, 1);
        let at = first.as_ptr();
        let tail = first.slice(LENGTH - 10..);
        drop(first);
        assert!(lock(&buffers.free).is_empty(), "a part of it is held");
        drop(tail);
        let second = filled(&buffers, LEAST, 2);
        assert_eq!((second.as_ptr(), &*second), (at, &[2; LEAST][..]));
    }

    #[test]
    fn so_many_are_kept_and_small_and_large_reads_have_their_own() {
        let buffers = Arc::new(Buffers::default());
        let many: Vec<_> = (0..2 * KEPT)
            .map(|n| filled(&buffers, LENGTH, n as u8))
            .collect();
        drop(many);
        assert_eq!(lock(&buffers.free).len(), KEPT);
        for len in [0, 1, LEAST - 1, LENGTH + 1] {
            assert_eq!(filled(&buffers, len, 7), vec![7; len]);
            assert_eq!(lock(&buffers.free).len(), KEPT);
        }
    }

    #[test]
    fn one_that_was_not_filled_comes_back_too() {
        let buffers = Arc::new(Buffers::default());
        assert!(buffers.fill(LENGTH, |_| Ok(false)).unwrap().is_none());
        let failed = buffers.fill(LENGTH, |_| Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        assert_eq!(lock(&buffers.free).len(), 1);
    }
}
