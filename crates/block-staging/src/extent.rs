//! A staged block: where it is, how it is read, and how its space is given back.
//!
//! Invariant: while an [`Extent`] lives, its bytes stay in their slot. The hole is punched when it is dropped, and only
//! then are slot and space free for the next block (I2). In a persistent directory the block outlives its extent,
//! unless it was discarded. Where another process owns the bytes, a lease keeps them.
//!
//! Reads are the hot path of the whole library: they take no lock, and allocate nothing beyond the result.

use std::{fmt, fs::File, io, os::unix::fs::FileExt, sync::Arc};

use rustix::{buffer::spare_capacity, io::Errno};

use crate::{
    class::SlotAddress,
    evict,
    lease::Lease,
    parked::Parked,
    platform::{self, ReadWay},
    reservation::Reservation,
    sync::{AtomicBool, Ordering},
    volume::Volume,
};

/// A block in staging. Holding it keeps the block in use and readable.
///
/// Dropping the extent of a block that is not to stay punches the hole. This takes some 10 microseconds for a small
/// block, and may wait for the disk while the block is being written back. So drop evicted blocks on a blocking thread.
/// Once the last handle of a temporary [`Staging`](crate::Staging) is dropped, nothing is punched any more: the directory
/// is removed as a whole, with the last extent.
///
/// The fields are in C's order: those that a read needs come first, in one line of the processor's cache.
#[repr(C)]
pub struct Extent {
    /// The file and the block's offset in it; `None` for an empty block.
    place: Option<(Arc<File>, u64)>,
    len: usize,
    read_way: ReadWay,
    hold: Hold,
}

/// The reason why the block's bytes stay in their slot.
enum Hold {
    /// This process owns the bytes and frees them.
    Own {
        reservation: Reservation,
        /// The slot's class follows from the length, and is left out to keep an extent small.
        slot: u32,
        /// Whether the block is evicted when the extent is dropped.
        discard: AtomicBool,
    },
    /// Another process owns the bytes, and keeps them until the lease ends.
    Leased { _lease: Lease },
    /// Nothing does: the block was [taken](Extent::take) out of this extent.
    Nothing,
}

impl Extent {
    /// The block that `reservation` is for, owned by this process. In a directory without an index it is evicted with
    /// the extent; in a persistent one it stays until [`discard`](Self::discard).
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

    /// The block that was parked.
    pub(crate) fn unpark(volume: &Arc<Volume>, parked: Parked) -> Self {
        let len = parked.len();
        let place = if len == 0 {
            None
        } else {
            let class = &volume.classes[volume.class(len as u64)];
            let opened = class.opened();
            opened.map(|file| (file.clone(), class.offset(parked.slot)))
        };
        Self::own(Reservation::unpark(volume, len), place, parked.slot)
    }

    /// A block that another process owns.
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

    /// The part of this process's space that the block takes, in bytes; 0 if another process owns it.
    pub fn charge(&self) -> u64 {
        match &self.hold {
            Hold::Own { reservation, .. } => reservation.charge(),
            Hold::Leased { .. } | Hold::Nothing => 0,
        }
    }

    /// Claims the block against all other processes, before it is evicted. Returns whether none of them leases it.
    ///
    /// After `true` the caller [discards](Self::discard) and drops it.
    pub fn claim(&self) -> bool {
        match &self.hold {
            Hold::Own {
                reservation, slot, ..
            } if !self.is_empty() => {
                let volume = reservation.volume();
                // If the lock fails, assume that nobody leases the block; the eviction claims it again.
                evict::claim(volume, address(volume, self.len, *slot)).unwrap_or(true)
            }
            Hold::Own { .. } | Hold::Leased { .. } | Hold::Nothing => true,
        }
    }

    /// Lets the drop of the extent evict the block, because replacement chose it or its bytes are wrong. A block of
    /// another process stays.
    pub fn discard(&self) {
        match &self.hold {
            Hold::Own { discard, .. } => discard.store(true, Ordering::Relaxed),
            // Its owner decides.
            Hold::Leased { .. } | Hold::Nothing => {}
        }
    }

    /// Takes the block out, for a `Drop` that must not free it on its own thread. An empty extent remains.
    pub fn take(&mut self) -> Self {
        let nothing = Self {
            place: None,
            len: 0,
            read_way: self.read_way,
            hold: Hold::Nothing,
        };
        std::mem::replace(self, nothing)
    }

    /// Returns whether dropping the extent frees its slot, which writes to the disk.
    pub fn frees_slot(&self) -> bool {
        match &self.hold {
            Hold::Own { discard, .. } => self.len > 0 && discard.load(Ordering::Relaxed),
            Hold::Leased { .. } | Hold::Nothing => false,
        }
    }

    /// Parks the block: it stays in its slot, and takes eight bytes of memory until it is
    /// [unparked](crate::Staging::unpark). An empty extent remains. Returns `None`, and changes nothing, if another
    /// process owns the block.
    ///
    /// A parked block that is never unparked stays until the directory is closed.
    pub fn park(&mut self) -> Option<Parked> {
        match std::mem::replace(&mut self.hold, Hold::Nothing) {
            Hold::Own {
                mut reservation,
                slot,
                ..
            } => {
                reservation.park();
                self.place = None;
                // A block is at most `MAX_STAGED` bytes.
                let len = std::mem::take(&mut self.len) as u32;
                Some(Parked { slot, len })
            }
            other => {
                self.hold = other;
                None
            }
        }
    }

    /// Reads up to `len` bytes from `offset` on, on the current thread, if they can be read from the page cache without
    /// waiting. After `None`, use [`read_blocking`](Self::read_blocking) on a blocking thread.
    ///
    /// The result has `len` bytes or the rest of the block, whichever is less. It is empty at or behind the block's
    /// end.
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
                // Each read goes into fresh memory. Bytes that the system writes into a reused buffer are slower to
                // copy on, and so is a second copy out of a buffer that is kept.
                let (file, start) = self.place(offset)?;
                platform::read_cached(file, start, len)
            }
            ReadWay::Memory => self.read_blocking(offset, len).map(Some),
            ReadWay::Blocking => Ok(None),
        }
    }

    /// Like [`try_read`](Self::try_read), but copies once into the caller's slice, without an allocation. Returns the
    /// number of bytes read: the length of the slice, or less at the block's end. After `None` the slice's content is
    /// unspecified.
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
            ReadWay::Blocking => false,
        };
        Ok(is_read.then_some(len))
    }

    /// Like [`try_read`](Self::try_read), but waits for the disk. Call it on a blocking thread.
    ///
    /// # Errors
    /// The disk failed, or somebody truncated the file (`UnexpectedEof`).
    pub fn read_blocking(&self, offset: usize, len: usize) -> io::Result<Vec<u8>> {
        let len = self.clamp(offset, len);
        if len == 0 {
            return Ok(Vec::new());
        }
        let (file, start) = self.place(offset)?;
        let mut bytes = Vec::with_capacity(len);
        loop {
            let at = start + bytes.len() as u64;
            // The capacity may be more than `len`; surplus bytes are truncated below.
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

    /// The file, and the offset in it of the block's `offset`.
    #[inline]
    fn place(&self, offset: usize) -> io::Result<(&File, u64)> {
        let (file, start) = self.place.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok((file, start + offset as u64))
    }
}

/// The address of a block of `len` bytes in `slot`.
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
            if volume.ends_with_its_extents() {
                // The whole directory is removed with the last extent, and its space given back then.
                reservation.leak();
                return;
            }
            let at = address(&volume, self.len, *slot);
            evict::evict(&volume, at, reservation);
        }
        // The reservation is dropped after this, so the space is given back once the hole is punched (I2).
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
