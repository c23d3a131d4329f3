//! A staged block: where it lies, how it is read, and how its space is given back.
//!
//! Invariant: while an [`Extent`] lives, its bytes stand. The hole is punched when it goes, and only then are slot
//! and space free for the next block (I2). In a persistent directory the block stays without it, unless it is to be
//! discarded; and where another process owns the bytes, a lease keeps them.
//!
//! The reads are the hot path of the whole library: no lock, and no allocation beyond the result.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{buffer::spare_capacity, io::Errno};

use crate::{
    class::SlotAddress,
    evict,
    lease::Lease,
    platform::{self, ReadWay},
    reservation::Reservation,
    volume::Volume,
};

/// A block in staging. Whoever holds it may read, and keeps the block in use.
///
/// Dropping one that is not to stay punches the hole, which takes some 10 microseconds for a small block and may wait
/// for the disk when the block is just being written back: drop what replacement gave up on a blocking thread.
///
/// In C's order: what a read needs comes first, in one line of the processor's cache.
#[repr(C)]
pub struct Extent {
    /// The file and the block's place in it; none for a block of no bytes.
    place: Option<(Arc<File>, u64)>,
    len: usize,
    read_way: ReadWay,
    hold: Hold,
}

/// By what right the block's bytes stand.
enum Hold {
    /// They are this process's to free.
    Own {
        reservation: Reservation,
        /// Its class follows from the length: an extent has to stay small.
        slot: u32,
        /// Whether they go with the extent.
        discard: AtomicBool,
    },
    /// Another process's: it keeps them for the lease.
    Leased { _lease: Lease },
}

impl Extent {
    /// The block that `reservation` is for, of this process. In a directory without an index it goes with the extent;
    /// in a persistent one it stays until [`discard`](Self::discard).
    pub(crate) fn own(
        reservation: Reservation,
        place: Option<(Arc<File>, u64)>,
        slot: u32,
    ) -> Self {
        let volume = reservation.volume();
        Self {
            len: reservation.len(),
            place,
            read_way: volume.read_way,
            hold: Hold::Own {
                slot,
                discard: AtomicBool::new(volume.journal().is_none()),
                reservation,
            },
        }
    }

    /// A block that another process keeps.
    pub(crate) fn leased(
        lease: Lease,
        len: usize,
        place: (Arc<File>, u64),
        read_way: ReadWay,
    ) -> Self {
        Self {
            len,
            place: Some(place),
            read_way,
            hold: Hold::Leased { _lease: lease },
        }
    }

    /// The block's length, in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the block has no bytes. Such a block takes no space.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the block takes of this process's space, in bytes; nothing where it lies in another's.
    pub fn charge(&self) -> u64 {
        match &self.hold {
            Hold::Own { reservation, .. } => reservation.charge(),
            Hold::Leased { .. } => 0,
        }
    }

    /// Claims the block against all other processes, before it is evicted. Returns whether none of them leases it.
    ///
    /// After `true` it is to be [discarded](Self::discard) and dropped.
    pub fn claim(&self) -> bool {
        match &self.hold {
            Hold::Own {
                reservation, slot, ..
            } if !self.is_empty() => {
                let volume = reservation.volume();
                // Where it cannot be found out, it is not in use as far as anybody knows; evicting it asks again.
                evict::claim(volume, address(volume, self.len, *slot)).unwrap_or(true)
            }
            Hold::Own { .. } | Hold::Leased { .. } => true,
        }
    }

    /// Evicts the block when the extent is dropped: replacement chose it, or it is wrong. Another process's block
    /// stays.
    pub fn discard(&self) {
        match &self.hold {
            Hold::Own { discard, .. } => discard.store(true, Ordering::Relaxed),
            // Whose it is decides.
            Hold::Leased { .. } => {}
        }
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
        if len == 0 {
            return Ok(Some(Vec::new()));
        }
        match self.read_way {
            ReadWay::Cached => {
                // Into fresh memory each time: what the system writes into a buffer that is used again is slower to
                // copy on, and so is a second copy out of one that is kept.
                let (file, start) = self.place(offset)?;
                platform::read_cached(file, start, len)
            }
            ReadWay::Memory => self.read_blocking(offset, len).map(Some),
            // coverage: needs a file system that cannot be asked not to wait.
            ReadWay::Blocking => Ok(None),
        }
    }

    /// As [`try_read`](Self::try_read), but into the caller's slice, as far as that and the block go: copied once,
    /// without an allocation. Returns how many bytes were read; after `None` the slice holds any bytes.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    #[inline]
    pub fn try_read_into(&self, offset: usize, into: &mut [u8]) -> io::Result<Option<usize>> {
        let len = self.clamp(offset, into.len());
        if len == 0 {
            return Ok(Some(0));
        }
        let (file, start) = self.place(offset)?;
        let into = &mut into[..len];
        let is_read = match self.read_way {
            ReadWay::Cached => platform::read_cached_into(file, start, into)?,
            ReadWay::Memory => file.read_exact_at(into, start).map(|()| true)?,
            // coverage: needs a file system that cannot be asked not to wait.
            ReadWay::Blocking => false,
        };
        Ok(is_read.then_some(len))
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
                // coverage: needs a disk that fails.
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[inline]
    fn clamp(&self, offset: usize, len: usize) -> usize {
        len.min(self.len().saturating_sub(offset))
    }

    /// The file, and where in it the block's `offset` is.
    #[inline]
    fn place(&self, offset: usize) -> io::Result<(&File, u64)> {
        let (file, start) = self.place.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok((file, start + offset as u64))
    }
}

/// Where a block of `len` bytes in `slot` lies.
fn address(volume: &Volume, len: usize, slot: u32) -> SlotAddress {
    let class = volume.class(len as u64);
    SlotAddress { class, slot }
}

impl Drop for Extent {
    fn drop(&mut self) {
        if let Hold::Own {
            reservation,
            slot,
            discard,
        } = &mut self.hold
            && self.len > 0
            && *discard.get_mut()
        {
            let volume = reservation.volume().clone();
            let at = address(&volume, self.len, *slot);
            evict::evict(&volume, at, reservation);
        }
        // The reservation is dropped after this: the space is given back once the hole is there (I2).
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extent")
            .field("len", &self.len)
            .field("place", &self.place.as_ref().map(|(_, at)| at))
            .finish_non_exhaustive()
    }
}
