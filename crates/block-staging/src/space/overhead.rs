//! What the file system takes of a capacity beyond the blocks: directories, small files, trees of extents.
//!
//! Pure arithmetic.

use crate::class::{CLASSES, JOURNAL_LEN};

/// The kind of metadata that a file costs beyond its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// None that is taken from the same space (tmpfs).
    Free,
    /// A tree of extents that grows with fragmentation (ext4, XFS, Btrfs), in blocks of the file system.
    Extents,
}

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

    pub(crate) fn new(unit: u64, metadata: Metadata, beside: Beside) -> Self {
        // The directory that holds the lock and the identity, and those two, and the staging directory itself; on
        // tmpfs directories take nothing, and the identity and the mark in the lock a page each.
        let files = match metadata {
            Metadata::Free => 2,
            Metadata::Extents => 4,
        };
        let (files_a_class, index) = match beside {
            Beside::Nothing => (1, 0),
            Beside::Index => (2, JOURNAL_LEN.next_multiple_of(unit) + 2 * unit),
        };
        Self {
            unit,
            fixed: files * unit + index,
            metadata,
            files_a_class,
        }
    }

    /// What the file system allocates at once, in bytes.
    pub(crate) fn unit(&self) -> u64 {
        self.unit
    }

    /// Whether a file can cost more than its data.
    pub(crate) fn metadata_grows(&self) -> bool {
        self.metadata == Metadata::Extents
    }

    /// What blocks may take of so many bytes. A byte less of these is at most a byte less of the other.
    pub(crate) fn usable(&self, capacity: u64) -> u64 {
        capacity.saturating_sub(self.fixed + self.trees(capacity)) / self.unit * self.unit
    }

    /// What is set aside for the trees of extents; 0 where there are none.
    pub(crate) fn trees(&self, capacity: u64) -> u64 {
        match self.metadata {
            Metadata::Free => 0,
            Metadata::Extents => extent_trees(capacity, self.unit, self.files_a_class),
        }
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
