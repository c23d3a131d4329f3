//! The size classes: how large the slots of each class are, and how a slot is addressed.
//!
//! These constants are part of the layout on disk (`docs/staging-format.md`). Pure arithmetic: no files, no locks.

/// The largest block that is staged, in bytes: 2 MiB.
pub const MAX_STAGED: usize = 2 * 1024 * 1024;

/// The smallest class, in bytes. A file system that allocates in larger units has fewer classes.
pub(crate) const MIN_CLASS: u64 = 4096;

/// Ten classes: 4 KiB to 2 MiB.
pub(crate) const CLASSES: usize = (MAX_STAGED as u64 / MIN_CLASS).ilog2() as usize + 1;

/// The least length of the journal, in bytes. Every directory sets it aside.
pub(crate) const JOURNAL_LEN: u64 = 16 * 1024;

/// The greatest length of the journal, in bytes: 65,535 changes.
pub(crate) const MAX_JOURNAL_LEN: u64 = 1024 * 1024;

/// The length of the journal of a directory with this capacity, in bytes: about a thousandth of it.
pub(crate) fn journal_len(capacity: u64) -> u64 {
    let thousandth = (capacity / 1024).clamp(JOURNAL_LEN, MAX_JOURNAL_LEN);
    thousandth.next_power_of_two()
}

/// The greatest number that a change can have in a sound directory: at one change a microsecond it lasts a thousand
/// years. A record with a greater number is damaged, and must not make the next number overflow.
pub(crate) const MAX_CHANGE: u64 = 1 << 55;

/// The address of a block: the number of its class, and the number of its slot in that class's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotAddress {
    pub(crate) class: usize,
    pub(crate) slot: u32,
}

/// The length of the slots of class number `class`, in bytes.
pub(crate) fn class_bytes(class: usize) -> u64 {
    MIN_CLASS << class
}

/// The number of the class of blocks of `len` bytes (1 to [`MAX_STAGED`]): the smallest class that holds them and is
/// not smaller than `unit`, the allocation unit of the file system. In a smaller class two slots would share a unit,
/// and neither could free it.
pub(crate) fn class_of(len: u64, unit: u64) -> usize {
    let class = len.next_power_of_two().max(unit);
    let index = (class / MIN_CLASS).max(1).ilog2() as usize;
    index.min(CLASSES - 1)
}
