//! The accounting of staging's space, to the unit of the file system: I2 in arithmetic.
//!
//! Invariant: what is reserved and what is set aside together never exceed the directory's part of the budget
//! ([`Share`]), and every allocated byte is reserved before it is written and until its hole is punched.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::budget::Share;

use super::{CLASSES, Inner, MAX_STAGED, probe::Metadata};

/// Extents in one block of an ext4 extent tree: 12 bytes each, after a header and before a checksum.
const EXTENTS_A_BLOCK: u64 = 340;

/// What a file system takes of a capacity beyond the blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overhead {
    /// What it allocates at once, in bytes.
    unit: u64,
    /// Directories and small files.
    fixed: u64,
    metadata: Metadata,
}

impl Overhead {
    /// Of a directory on a file system that is not known yet: at most `bytes`.
    pub(crate) fn unknown(bytes: u64) -> Self {
        Self {
            unit: 1,
            fixed: bytes,
            metadata: Metadata::Free,
        }
    }

    pub(super) fn new(unit: u64, metadata: Metadata) -> Self {
        // The directory that holds the lock and the identity, and those two, and the staging directory itself; on
        // tmpfs directories take nothing, and the identity and the mark in the lock a page each.
        let files = match metadata {
            Metadata::Free => 2,
            Metadata::Extents => 4,
        };
        Self {
            unit,
            fixed: files * unit,
            metadata,
        }
    }

    /// What blocks may take of so many bytes. A byte less of these is at most a byte less of the other.
    pub(crate) fn usable(&self, capacity: u64) -> u64 {
        capacity.saturating_sub(self.fixed + self.trees(capacity)) / self.unit * self.unit
    }

    /// What is set aside for the trees of extents; 0 where there are none.
    fn trees(&self, capacity: u64) -> u64 {
        match self.metadata {
            Metadata::Free => 0,
            Metadata::Extents => extent_trees(capacity, self.unit),
        }
    }
}

/// The space of one staging directory.
#[derive(Debug)]
pub(crate) struct Space {
    share: Arc<Share>,
    overhead: Overhead,
    leaked: AtomicU64,
}

impl Space {
    pub(crate) fn new(share: Arc<Share>, unit: u64, metadata: Metadata) -> Self {
        let overhead = Overhead::new(unit, metadata);
        share.set_overhead(overhead);
        Self {
            share,
            overhead,
            leaked: AtomicU64::new(0),
        }
    }

    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    pub(crate) fn unit(&self) -> u64 {
        self.overhead.unit
    }

    pub(crate) fn leaked(&self) -> u64 {
        self.leaked.load(Ordering::Relaxed)
    }

    /// Whether a file can cost more than its data.
    pub(crate) fn metadata_grows(&self) -> bool {
        self.overhead.metadata == Metadata::Extents
    }

    /// What a block of `len` bytes costs.
    pub(crate) fn charge(&self, len: u64) -> u64 {
        len.next_multiple_of(self.unit())
    }

    /// Told how much metadata the files have. One caller at a time.
    pub(crate) fn set_metadata(&self, bytes: u64) {
        let set_aside = self.overhead.trees(self.share.bytes());
        let excess = bytes.saturating_sub(set_aside);
        self.share.set_excess(self.charge(excess));
    }
}

/// What to set aside for the trees of extents of files with `capacity` bytes of data.
///
/// A file of up to four extents has none on ext4; then there is at least one block a file. With every extent of one
/// unit and full tree blocks, a tree takes 1/340 of the data; tree blocks that were emptied in part, and churn in
/// several classes, make it more. Measured under churn at a full budget, the worst is 0.10 % of the capacity on an
/// empty ext4, 0.17 % on XFS, and 0.36 % on an ext4 that is fragmented to the last page (every other one taken).
/// 1/128 is twice that. What passes it is charged when it is seen.
fn extent_trees(capacity: u64, unit: u64) -> u64 {
    let files = (capacity / unit / 5).min(CLASSES as u64);
    // So few extents fit into one block a file, however they lie.
    let more = if capacity / unit < EXTENTS_A_BLOCK {
        0
    } else {
        (capacity / 128).div_ceil(unit)
    };
    (files + more) * unit
}

/// Space that is set aside for one block. Dropping it gives the space back.
pub struct Reservation {
    inner: Arc<Inner>,
    len: usize,
    charge: u64,
}

impl Reservation {
    pub(super) fn new(inner: &Arc<Inner>, len: usize) -> Option<Self> {
        if len > MAX_STAGED {
            return None;
        }
        let charge = inner.space.charge(len as u64);
        inner.space.share.take(charge).then(|| Self {
            inner: Arc::clone(inner),
            len,
            charge,
        })
    }

    /// The block's length, in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a reservation of no bytes is as good as any"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What the block takes of the space, in bytes: its length in whole units of the file system.
    pub fn charge(&self) -> u64 {
        self.charge
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) fn is_of(&self, inner: &Arc<Inner>) -> bool {
        Arc::ptr_eq(&self.inner, inner)
    }

    /// Keeps the space taken for good: what it was for could not be freed.
    pub(super) fn leak(&mut self) {
        self.inner
            .space
            .leaked
            .fetch_add(self.charge, Ordering::Relaxed);
        self.charge = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.inner.space.share.give_back(self.charge);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("len", &self.len)
            .field("charge", &self.charge)
            .finish_non_exhaustive()
    }
}
