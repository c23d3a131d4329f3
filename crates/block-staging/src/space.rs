//! The accounting of staging's space, to the unit of the file system: I2 in arithmetic.
//!
//! [`overhead`]: what is set aside for the file system; [`budget`]: what of a total is this directory's; here: what
//! the directory does with it.
//!
//! Invariant: what is reserved and what is set aside together never exceed the directory's part of the budget
//! ([`Share`]), and every allocated byte is reserved before it is written and until its hole is punched.

use std::sync::Arc;

pub mod budget;
pub(crate) mod overhead;

use crate::sync::{AtomicU64, Ordering};
use budget::Share;
use overhead::{Beside, Metadata, Overhead};

/// Units of the index that are kept free of blocks: as many writers may need one each at the same time.
const INDEX_UNITS_FREE: u64 = 8;

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
        self.overhead.unit()
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

    /// Counts what is reserved already as not freed.
    pub(crate) fn leak(&self, bytes: u64) {
        self.leaked.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What could not be freed has been, after all.
    pub(crate) fn freed(&self, bytes: u64) {
        self.leaked.fetch_sub(bytes, Ordering::Relaxed);
        self.share.give_back(bytes);
    }

    /// Whether a file can cost more than its data.
    pub(crate) fn metadata_grows(&self) -> bool {
        self.overhead.metadata_grows()
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
