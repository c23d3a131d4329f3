//! The accounting of staging's space, to the unit of the file system: I2 in arithmetic.
//!
//! Invariant: what is reserved and what is set aside together never exceed the capacity, and every allocated byte
//! is reserved before it is written and until its hole is punched. No lock: one atomic word decides who gets the
//! last unit.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{CLASSES, Inner, MAX_STAGED, probe::Metadata};

/// Extents in one block of an ext4 extent tree: 12 bytes each, after a header and before a checksum.
const EXTENTS_A_BLOCK: u64 = 340;

/// The space of one staging directory.
#[derive(Debug)]
pub(crate) struct Space {
    capacity: u64,
    usable: u64,
    unit: u64,
    /// What is set aside for the trees of extents; 0 where there are none.
    trees: u64,
    metadata: Metadata,
    /// Reserved bytes, in whole units.
    used: AtomicU64,
    leaked: AtomicU64,
    /// Metadata beyond `trees`; part of `used`.
    excess: AtomicU64,
}

impl Space {
    pub(crate) fn new(capacity: u64, unit: u64, metadata: Metadata) -> Self {
        // The directory that holds the lock and the identity, and those two, and the staging directory itself;
        // on tmpfs the identity alone takes a page.
        let (fixed, trees) = match metadata {
            Metadata::Free => (unit, 0),
            Metadata::Extents => (4 * unit, extent_trees(capacity, unit)),
        };
        let usable = capacity.saturating_sub(fixed + trees) / unit * unit;
        Self {
            capacity,
            usable,
            unit,
            trees,
            metadata,
            used: AtomicU64::new(0),
            leaked: AtomicU64::new(0),
            excess: AtomicU64::new(0),
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn usable(&self) -> u64 {
        self.usable
    }

    pub(crate) fn unit(&self) -> u64 {
        self.unit
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    pub(crate) fn leaked(&self) -> u64 {
        self.leaked.load(Ordering::Relaxed)
    }

    pub(crate) fn excess(&self) -> u64 {
        self.excess.load(Ordering::Relaxed)
    }

    /// Whether a file can cost more than its data.
    pub(crate) fn metadata_grows(&self) -> bool {
        self.metadata == Metadata::Extents
    }

    /// What a block of `len` bytes costs.
    pub(crate) fn charge(&self, len: u64) -> u64 {
        len.next_multiple_of(self.unit)
    }

    /// Takes `bytes`, or nothing where there is not so much.
    fn take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                used.checked_add(bytes).filter(|used| *used <= self.usable)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Told how much metadata the files have. One caller at a time.
    pub(crate) fn set_metadata(&self, bytes: u64) {
        let new = bytes.saturating_sub(self.trees);
        let old = self.excess.swap(new, Ordering::SeqCst);
        // It is there whether there is room for it or not: `used` may pass `usable` by it until replacement has
        // made room, which the next reservation asks for.
        self.used.fetch_add(new, Ordering::SeqCst);
        self.used.fetch_sub(old, Ordering::SeqCst);
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
        inner.space.take(charge).then(|| Self {
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
        self.inner.space.give_back(self.charge);
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
