//! The accounting of staging's space, to the unit of the file system: I2 in arithmetic.
//!
//! [`overhead`] computes the bytes that are set aside for the file system, and [`budget`] this directory's part of a
//! total. This file accounts for the use of that part.
//!
//! Invariant: the bytes reserved and the bytes set aside together never exceed the directory's part of the budget
//! ([`Share`]), and every allocated byte is reserved before it is written and until its hole is punched.

use std::sync::Arc;

pub mod budget;
pub(crate) mod overhead;

use crate::sync::{AtomicU64, Ordering};
use budget::Share;
use overhead::{Beside, Metadata, Overhead};

/// The number of units that are kept free of blocks for the index: as many writers may need one each at the same time.
const INDEX_UNITS_FREE: u64 = 8;

/// The space of one staging directory.
#[derive(Debug)]
pub(crate) struct Space {
    share: Arc<Share>,
    overhead: Overhead,
    beside: Beside,
    leaked: AtomicU64,
    /// The bytes that the index files take, and the journal beyond its least length; they are part of the share's used
    /// bytes.
    index: AtomicU64,
    parked: Parked,
}

/// The bytes of blocks without a handle. They are given back with the directory.
#[derive(Debug)]
struct Parked {
    share: Arc<Share>,
    bytes: AtomicU64,
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.share.give_back(self.bytes.load(Ordering::Relaxed));
    }
}

impl Space {
    pub(crate) fn new(share: Arc<Share>, unit: u64, metadata: Metadata, beside: Beside) -> Self {
        let overhead = Overhead::new(unit, metadata, beside);
        share.set_overhead(overhead);
        let parked = Parked {
            share: share.clone(),
            bytes: AtomicU64::new(0),
        };
        Self {
            share,
            overhead,
            beside,
            leaked: AtomicU64::new(0),
            index: AtomicU64::new(0),
            parked,
        }
    }

    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    pub(crate) fn unit(&self) -> u64 {
        self.overhead.unit()
    }

    pub(crate) fn leaked(&self) -> u64 {
        self.leaked.load(Ordering::Relaxed)
    }

    pub(crate) fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// The space for blocks, including those that are staged: the usable bytes without those that the index, excess
    /// metadata and leaked slots take.
    pub(crate) fn for_blocks(&self) -> u64 {
        let free = match self.beside {
            Beside::Nothing => 0,
            Beside::Index => INDEX_UNITS_FREE * self.unit(),
        };
        let taken = self.share.excess() + self.leaked() + self.index() + free;
        self.share.usable().saturating_sub(taken)
    }

    /// Reserves a unit of an index file. Returns whether there was room.
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

    /// Charges bytes that are on the disk already, even if there is no room for them: those of the index and the journal,
    /// and of slots that could not be freed.
    pub(crate) fn take_over(&self, index_bytes: u64, unfreed_bytes: u64) {
        self.share.take_what_is_there(index_bytes + unfreed_bytes);
        self.index.fetch_add(index_bytes, Ordering::Relaxed);
        self.leaked.fetch_add(unfreed_bytes, Ordering::Relaxed);
    }

    /// Counts reserved bytes as those of a block without a handle.
    pub(crate) fn park(&self, bytes: u64) {
        self.parked.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unpark(&self, bytes: u64) {
        self.parked.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that are reserved already as leaked.
    pub(crate) fn leak(&self, bytes: u64) {
        self.leaked.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns bytes to the share that had leaked and have been freed after all.
    pub(crate) fn freed(&self, bytes: u64) {
        self.leaked.fetch_sub(bytes, Ordering::Relaxed);
        self.share.give_back(bytes);
    }

    /// Whether a file can cost more than its data.
    pub(crate) fn metadata_grows(&self) -> bool {
        self.overhead.metadata_grows()
    }

    /// The space that a block of `len` bytes takes, in bytes.
    pub(crate) fn charge(&self, len: u64) -> u64 {
        len.next_multiple_of(self.unit())
    }

    /// Sets the size of the files' metadata. Only one thread may call it at a time.
    pub(crate) fn set_metadata(&self, bytes: u64) {
        let set_aside = self.overhead.trees(self.share.for_staging());
        let excess = bytes.saturating_sub(set_aside);
        self.share.set_excess(self.charge(excess));
    }
}

impl Drop for Space {
    /// Returns what was charged by way of this space: the directory is not used any more, or its start failed.
    fn drop(&mut self) {
        self.share.set_excess(0);
        self.share.give_back(self.index() + self.leaked());
    }
}
