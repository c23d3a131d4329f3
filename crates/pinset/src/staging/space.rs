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

use super::{CLASSES, Inner, MAX_STAGED, changes::CHANGES_LEN, probe::Metadata};

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
    /// Slot and index files of a class.
    files_a_class: u64,
}

/// What a staging directory has beside its slot files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Nothing,
    /// An index: what `layout`, `changes` and the file that is tried out take is set aside.
    Index,
}

/// Units of the index that are kept free of blocks: as many writers may need one each at the same time.
const INDEX_UNITS_FREE: u64 = 8;

impl Overhead {
    /// Of a directory on a file system that is not known yet: at most `bytes`.
    pub(crate) fn unknown(bytes: u64) -> Self {
        Self {
            unit: 1,
            fixed: bytes,
            metadata: Metadata::Free,
            files_a_class: 1,
        }
    }

    fn new(unit: u64, metadata: Metadata, beside: Beside) -> Self {
        // The directory that holds the lock and the identity, and those two, and the staging directory itself; on
        // tmpfs directories take nothing, and the identity and the mark in the lock a page each.
        let files = match metadata {
            Metadata::Free => 2,
            Metadata::Extents => 4,
        };
        let (files_a_class, index) = match beside {
            Beside::Nothing => (1, 0),
            Beside::Index => (2, CHANGES_LEN.next_multiple_of(unit) + 2 * unit),
        };
        Self {
            unit,
            fixed: files * unit + index,
            metadata,
            files_a_class,
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
            Metadata::Extents => extent_trees(capacity, self.unit, self.files_a_class),
        }
    }
}

/// The space of one staging directory.
#[derive(Debug)]
pub(crate) struct Space {
    share: Arc<Share>,
    overhead: Overhead,
    beside: Beside,
    leaked: AtomicU64,
    /// What the index files take; part of what is used of the share.
    index: AtomicU64,
}

impl Space {
    pub(crate) fn new(share: Arc<Share>, unit: u64, metadata: Metadata, beside: Beside) -> Self {
        let overhead = Overhead::new(unit, metadata, beside);
        share.set_overhead(overhead);
        Self {
            share,
            overhead,
            beside,
            leaked: AtomicU64::new(0),
            index: AtomicU64::new(0),
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

    pub(crate) fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// What there is for blocks, those that are there included: the usable bytes without what else takes some of
    /// them.
    pub(crate) fn for_blocks(&self) -> u64 {
        let free = match self.beside {
            Beside::Nothing => 0,
            Beside::Index => INDEX_UNITS_FREE * self.unit(),
        };
        let taken = self.share.excess() + self.leaked() + self.index() + free;
        self.share.usable().saturating_sub(taken)
    }

    /// Takes a unit of an index file, or says that there is none.
    pub(crate) fn take_index(&self, bytes: u64) -> bool {
        let taken = self.share.take(bytes);
        if taken {
            self.index.fetch_add(bytes, Ordering::Relaxed);
        }
        taken
    }

    pub(crate) fn give_back_index(&self, bytes: u64) {
        self.index.fetch_sub(bytes, Ordering::Relaxed);
        self.share.give_back(bytes);
    }

    /// Takes what is there already, whether there is room for it or not.
    pub(crate) fn take_over(&self, index_bytes: u64, unfreed_bytes: u64) {
        self.share.take_what_is_there(index_bytes + unfreed_bytes);
        self.index.fetch_add(index_bytes, Ordering::Relaxed);
        self.leaked.fetch_add(unfreed_bytes, Ordering::Relaxed);
    }

    /// What could not be freed has been, after all.
    pub(crate) fn freed(&self, bytes: u64) {
        self.leaked.fetch_sub(bytes, Ordering::Relaxed);
        self.share.give_back(bytes);
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
fn extent_trees(capacity: u64, unit: u64, files_a_class: u64) -> u64 {
    let files = (capacity / unit / 5).min(files_a_class * CLASSES as u64);
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

    /// The space of a block that is there already, whether there is room for it or not.
    pub(super) fn of_what_is_there(inner: &Arc<Inner>, len: usize) -> Self {
        let charge = inner.space.charge(len as u64);
        inner.space.share.take_what_is_there(charge);
        Self {
            inner: Arc::clone(inner),
            len,
            charge,
        }
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

    pub(super) fn shared(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn is_of(&self, inner: &Arc<Inner>) -> bool {
        Arc::ptr_eq(&self.inner, inner)
    }

    /// Keeps the space taken: what it was for could not be freed. How much that is.
    pub(super) fn leak(&mut self) -> u64 {
        self.inner
            .space
            .leaked
            .fetch_add(self.charge, Ordering::Relaxed);
        std::mem::take(&mut self.charge)
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
