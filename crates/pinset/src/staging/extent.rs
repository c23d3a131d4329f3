//! A staged block: where it lies, how it is read, and how its space is given back.
//!
//! Invariant: while an [`Extent`] lives, its bytes stand. The hole is punched when the last `Arc` of it goes, and
//! only then are slot and space free for the next block (I2).
//!
//! The reads are the hot path of the whole library: no lock, and no allocation beyond the result.

use std::{fmt, fs::File, io};

use rustix::{buffer::spare_capacity, io::Errno};

use super::{
    Reservation, StagingError, platform,
    probe::ReadWay,
    slots::{ClassFile, Unwritten},
};

/// A block in staging. Handed around in an `Arc`; whoever holds one may read, and keeps the block in use.
///
/// Dropping the last `Arc` punches the hole, which takes some 10 microseconds for a small block and may wait for
/// the disk when the block is just being written back: drop what replacement gave up on a blocking thread.
pub struct Extent {
    reservation: Reservation,
    slot: u32,
}

impl Extent {
    pub(super) fn write(mut reservation: Reservation, bytes: &[u8]) -> Result<Self, StagingError> {
        if bytes.is_empty() {
            return Ok(Self {
                reservation,
                slot: 0,
            });
        }
        let charge = reservation.charge();
        let inner = reservation.inner();
        match inner
            .class(bytes.len() as u64)
            .write(&inner.dir, bytes, charge)
        {
            Ok(slot) => Ok(Self { reservation, slot }),
            Err(Unwritten::Clean(error)) => Err(error),
            Err(Unwritten::Lost(error)) => {
                reservation.leak();
                Err(error)
            }
        }
    }

    /// The block's length, in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.reservation.len()
    }

    /// Whether the block has no bytes. Such a block takes no space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the block takes of the staging's space, in bytes.
    pub fn charge(&self) -> u64 {
        self.reservation.charge()
    }

    /// Up to `len` bytes from `offset` on, as far as the block goes, if they can be had without waiting: on the
    /// current thread, out of the page cache. `None`: use [`read_blocking`](Self::read_blocking), on a blocking
    /// thread.
    ///
    /// The result is `len` bytes or what remains of the block, whichever is less; nothing from its end on.
    ///
    /// # Errors
    /// The disk failed (`EIO`).
    #[inline]
    pub fn try_read(&self, offset: usize, len: usize) -> io::Result<Option<Vec<u8>>> {
        let len = self.clamp(offset, len);
        match self.read_way() {
            ReadWay::Cached => {
                // `preadv2` wants bytes that are initialised. Zeroing costs 0.06 of 1.0 microseconds for 4 KiB and
                // 0.6 of 6.5 for 64 KiB; a page of page cache to ask first and then an ordinary read cost more,
                // and so does a second copy out of a buffer that is kept.
                let mut bytes = vec![0; len];
                Ok(self.try_read_into(offset, &mut bytes)?.then_some(bytes))
            }
            ReadWay::Memory => self.read_blocking(offset, len).map(Some),
            ReadWay::Blocking => Ok((len == 0).then(Vec::new)),
        }
    }

    /// Fills `into` from `offset` on, if that can be done without waiting; for a caller that has a buffer.
    ///
    /// `false`: use [`read_blocking`](Self::read_blocking); what is in `into` then means nothing. Also `false`
    /// where the block ends before `into` does.
    ///
    /// # Errors
    /// The disk failed (`EIO`).
    #[inline]
    pub fn try_read_into(&self, offset: usize, into: &mut [u8]) -> io::Result<bool> {
        if into.is_empty() {
            return Ok(true);
        }
        if self.clamp(offset, into.len()) < into.len() {
            return Ok(false);
        }
        let (file, start) = self.place(offset)?;
        match self.read_way() {
            ReadWay::Cached => platform::read_cached(file, start, into),
            ReadWay::Memory => match rustix::io::pread(file, &mut *into, start) {
                Ok(read) => Ok(read == into.len()),
                Err(Errno::INTR) => Ok(false),
                Err(error) => Err(error.into()),
            },
            ReadWay::Blocking => Ok(false),
        }
    }

    /// As [`try_read`](Self::try_read), but waits for the disk: for blocking threads.
    ///
    /// # Errors
    /// The disk failed, or somebody cut the file short (`UnexpectedEof`).
    pub fn read_blocking(&self, offset: usize, len: usize) -> io::Result<Vec<u8>> {
        let len = self.clamp(offset, len);
        if len == 0 {
            return Ok(Vec::new());
        }
        let (file, start) = self.place(offset)?;
        let mut bytes = Vec::with_capacity(len);
        loop {
            let at = start + bytes.len() as u64;
            // The capacity may be more than was asked for: what lies behind is cut off below.
            match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) if bytes.len() >= len => {
                    bytes.truncate(len);
                    return Ok(bytes);
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[inline]
    fn clamp(&self, offset: usize, len: usize) -> usize {
        len.min(self.len().saturating_sub(offset))
    }

    #[inline]
    fn read_way(&self) -> ReadWay {
        self.reservation.inner().read_way
    }

    fn class(&self) -> &ClassFile {
        self.reservation.inner().class(self.len() as u64)
    }

    /// The file, and where in it the block's `offset` is.
    #[inline]
    fn place(&self, offset: usize) -> io::Result<(&File, u64)> {
        let class = self.class();
        let file = class.opened().ok_or(io::ErrorKind::NotFound)?;
        Ok((file, class.offset(self.slot) + offset as u64))
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        if !self.is_empty() && self.class().free(self.slot, self.charge()).is_err() {
            self.reservation.leak();
        }
        // The reservation is dropped after this: the space is given back once the hole is there (I2).
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extent")
            .field("len", &self.len())
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
