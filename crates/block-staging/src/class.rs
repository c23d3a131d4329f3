//! The size classes: how large the slots of each are, and how a slot is named.
//!
//! These constants are part of the layout on disk (`docs/staging-format.md`). Pure arithmetic: no file and no lock.

/// The largest block that is staged, in bytes: 2 MiB.
pub const MAX_STAGED: usize = 2 * 1024 * 1024;

/// The smallest class, in bytes. A file system that allocates in larger units has fewer classes.
pub(crate) const MIN_CLASS: u64 = 4096;

/// Ten classes: 4 KiB to 2 MiB.
pub(crate) const CLASSES: usize = (MAX_STAGED as u64 / MIN_CLASS).ilog2() as usize + 1;

/// The length of the journal, in bytes.
pub(crate) const JOURNAL_LEN: u64 = 16 * 1024;

/// The greatest number that a change can have in a sound directory: one a microsecond reaches it in a thousand years.
/// What says more is damaged, and must not make the next number overflow.
pub(crate) const MAX_CHANGE: u64 = 1 << 55;

/// Where a block lies: the number of its class, and of its slot in that class's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotAddress {
    pub(crate) class: usize,
    pub(crate) slot: u32,
}

/// The length of the slots of class number `class`, in bytes.
pub(crate) fn class_bytes(class: usize) -> u64 {
    MIN_CLASS << class
}

/// The number of the class of blocks of `len` bytes (1 to [`MAX_STAGED`]): the smallest that holds them and is not
/// smaller than `unit`, which is what the file system allocates at once. Otherwise two slots would share a unit, and
/// neither could free it.
pub(crate) fn class_of(len: u64, unit: u64) -> usize {
    let class = len.next_power_of_two().max(unit);
    let index = (class / MIN_CLASS).max(1).ilog2() as usize;
    index.min(CLASSES - 1)
}
