//! The overhead of the file system: the part of a capacity that directories, small files and trees of extents take.
//!
//! Pure arithmetic.

use crate::class::{CLASSES, JOURNAL_LEN};

/// The kind of metadata that a file costs beyond its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// No metadata that takes the same space (tmpfs).
    Free,
    /// A tree of extents that grows with fragmentation (ext4, XFS, Btrfs), in blocks of the file system.
    Extents,
}

/// The number of extents in one block of an ext4 extent tree: 12 bytes each, after a header and before a checksum.
const EXTENTS_A_BLOCK: u64 = 340;

/// The overhead of a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overhead {
    /// The allocation unit of the file system, in bytes.
    unit: u64,
    /// The bytes for directories and small files.
    fixed: u64,
    metadata: Metadata,
    /// The number of slot and index files of a class.
    files_a_class: u64,
}

/// The files that a staging directory has beside its slot files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// No others.
    Nothing,
    /// An index. Space is set aside for `layout`, `shares`, the shortest `changes`, and the file that tries out the
    /// file system.
    Index,
}

impl Overhead {
    /// The overhead while the file system is not known yet: `bytes`, which it does not exceed.
    pub(crate) fn unknown(bytes: u64) -> Self {
        Self {
            unit: 1,
            fixed: bytes,
            metadata: Metadata::Free,
            files_a_class: 1,
        }
    }

    pub(crate) fn new(unit: u64, metadata: Metadata, beside: Beside) -> Self {
        // Four files: the lock directory, the lock and the identity in it, and the staging directory itself. On tmpfs,
        // directories take nothing, and the identity and the mark in the lock take a page each.
        let files = match metadata {
            Metadata::Free => 2,
            Metadata::Extents => 4,
        };
        let (files_a_class, index) = match beside {
            Beside::Nothing => (1, 0),
            Beside::Index => (2, JOURNAL_LEN.next_multiple_of(unit) + 3 * unit),
        };
        Self {
            unit,
            fixed: files * unit + index,
            metadata,
            files_a_class,
        }
    }

    /// The allocation unit of the file system, in bytes.
    pub(crate) fn unit(&self) -> u64 {
        self.unit
    }

    /// Whether a file can cost more than its data.
    pub(crate) fn metadata_grows(&self) -> bool {
        self.metadata == Metadata::Extents
    }

    /// The part of a capacity that blocks may take, in bytes. If the capacity falls by whole units, this part falls by
    /// no more than that.
    pub(crate) fn usable(&self, capacity: u64) -> u64 {
        capacity.saturating_sub(self.fixed + self.trees(capacity)) / self.unit * self.unit
    }

    /// The bytes set aside for the trees of extents; 0 if there are none.
    pub(crate) fn trees(&self, capacity: u64) -> u64 {
        match self.metadata {
            Metadata::Free => 0,
            Metadata::Extents => extent_trees(capacity, self.unit, self.files_a_class),
        }
    }
}

/// The bytes to set aside for the trees of extents of files with `capacity` bytes of data.
///
/// On ext4, a file of up to four extents has no tree, and a file of more has at least one tree block. If every extent
/// is one unit and the tree blocks are full, a tree takes 1/340 of the data; partly emptied tree blocks, and churn in
/// several classes, increase that. Measured under churn at a full budget, the worst is 0.10 % of the capacity on an
/// empty ext4, 0.17 % on XFS, and 0.36 % on an ext4 that is fragmented to the last page (every other one taken).
/// 1/128 is twice that. Metadata beyond it is charged when it is seen.
fn extent_trees(capacity: u64, unit: u64, files_a_class: u64) -> u64 {
    let files = (capacity / unit / 5).min(files_a_class * CLASSES as u64);
    // With so few extents, one tree block for each file is enough, however the extents are distributed.
    let more = if capacity / unit < EXTENTS_A_BLOCK {
        0
    } else {
        (capacity / 128).div_ceil(unit)
    };
    (files + more) * unit
}
