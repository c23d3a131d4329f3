//! The staging directory: where verified blocks lie on disk, under a budget that holds at every instant.
//!
//! **Layout: packed slots by size class.** At most ten sparse files, `slots-4096`, `slots-8192`, … `slots-2097152`.
//! A block of `n` bytes lies in a slot of the smallest class that holds it, at offset `slot * class`. Only the
//! pages that were written are allocated, so the slack of a class costs nothing; a freed slot has a hole punched
//! into it, and the lowest free slot is used first, which bounds a file's logical length at twice the capacity.
//! Ten descriptors serve any number of blocks, a read needs no `open`, and nothing ever has to be compacted.
//!
//! **Order of things** (I2): [`Staging::reserve`] the exact space, once the block is verified; then
//! [`Staging::write`]; the [`Extent`] gives it back, *after* the hole is punched, when its last `Arc` goes. A
//! reader that holds an `Arc` is therefore never above a hole: holding one is what "in use" means.
//!
//! This module owns the files and the accounting of their space. It must not know what a block is named (the
//! index does), whether its bytes are right (they were verified before), nor which block goes when there is no
//! room (replacement does). It gets a directory as a capability, and no name in it comes from outside (I4).
//!
//! **Where it works.** Linux, on a file system that punches holes; which is tried at creation. The accounting was
//! held against what the file system reports, under churn, on ext4, XFS, Btrfs, tmpfs and overlayfs. (Btrfs
//! reports a hole as free before it is: another block of the same write-out may keep it.) overlayfs, the usual
//! root of a container, cannot be asked for what the page cache has: there every read takes a blocking thread.
//! Elsewhere than on Linux every directory is refused with [`StagingError::Unsuitable`]: punching holes on macOS
//! (`F_PUNCHHOLE`) is not done.
//!
//! **It can become persistent** as it is: the slots stay where they are, and an index beside them says which block
//! lies in which slot; what it does not name is punched at the start.
//!
//! A write-back that fails later (a dying disk) is seen by nobody: the page is dropped from the page cache, and
//! the block then reads as whatever the disk has. Whoever fears that verifies again what
//! [`Extent::read_blocking`] returned.

use std::{
    fmt,
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    budget::{Budget, Share},
    lock_dir::StagingDir,
};

mod error;
mod extent;
mod platform;
mod probe;
mod slots;
mod space;
#[cfg(test)]
pub(crate) mod tests;

pub use error::StagingError;
pub use extent::Extent;
pub(crate) use space::Overhead;
pub use space::Reservation;

use probe::{ReadWay, Suitable};
use slots::ClassFile;
use space::Space;

/// The largest block that is staged, in bytes: 2 MiB, as `pinner_api::MAX_BLOCK`.
pub const MAX_STAGED: usize = 2 * 1024 * 1024;

/// The smallest class, in bytes. A file system that allocates in larger units has fewer classes.
const MIN_CLASS: u64 = 4096;

/// Ten classes: 4 KiB to 2 MiB.
const CLASSES: usize = (MAX_STAGED as u64 / MIN_CLASS).ilog2() as usize + 1;

/// A staging directory that is open. Cheap to clone; all clones are one.
///
/// The directory's files stay as long as a clone or an [`Extent`] of it lives.
#[derive(Clone)]
pub struct Staging {
    inner: Arc<Inner>,
}

/// What [`Staging`] and its extents share.
pub(crate) struct Inner {
    dir: StagingDir,
    read_way: ReadWay,
    classes: [ClassFile; CLASSES],
    /// The metadata that the file system reports of each class's file, in bytes, as last seen.
    metadata: Mutex<[u64; CLASSES]>,
    writes: AtomicU32,
    /// Last, since fields are dropped in their order: the budget gets its part back once the files are removed and
    /// closed, which is when the file system does.
    space: Space,
}

/// What a [`Staging`] uses, in bytes unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StagingUsage {
    /// The budget that was given, or the part of one that is shared.
    pub capacity: u64,
    /// What of it can be reserved: the capacity without what is set aside for the file system's own metadata.
    pub usable: u64,
    /// What is reserved now: blocks that are staged, being written, or being removed, and what leaked.
    pub reserved: u64,
    /// What is lost until the directory goes, since the file system refused to punch a hole.
    pub leaked_bytes: u64,
    /// Metadata beyond what was set aside for it, as the file system reports it; it is counted in `reserved`.
    pub excess_metadata: u64,
    /// How many slots hold a block (a number).
    pub slots: u64,
    /// The logical lengths of the slot files, holes included.
    pub logical_len: u64,
    /// Descriptors held for slot files (a number).
    pub descriptors: u64,
}

impl Staging {
    /// Opens an empty staging directory with `capacity` bytes.
    ///
    /// Blocks: call it on a thread that may. The file system is tried out: it must punch holes.
    ///
    /// # Errors
    /// * [`StagingError::Unsuitable`]: it punches no holes; names the directory and what to do.
    /// * the others: making or trying a file there failed.
    pub fn create(dir: StagingDir, capacity: u64) -> Result<Self, StagingError> {
        Self::create_within(dir, Budget::alone(capacity))
    }

    /// As [`create`](Self::create), with a part of a budget that others have parts of too.
    pub(crate) fn create_within(dir: StagingDir, share: Arc<Share>) -> Result<Self, StagingError> {
        let Suitable {
            unit,
            kind,
            read_way,
        } = probe::probe(&dir)?;
        let space = Space::new(share, unit, kind);
        Ok(Self {
            inner: Arc::new(Inner {
                dir,
                read_way,
                classes: std::array::from_fn(|n| ClassFile::new(MIN_CLASS << n)),
                metadata: Mutex::default(),
                writes: AtomicU32::new(0),
                space,
            }),
        })
    }

    /// Reserves the space of a block of `len` bytes, exactly and at once, or says `None`: there is no room now,
    /// or there never will be (more than [`MAX_STAGED`], or than [`usable`](StagingUsage::usable)).
    ///
    /// Never blocks. Dropping the reservation gives the space back.
    pub fn reserve(&self, len: usize) -> Option<Reservation> {
        Reservation::new(&self.inner, len)
    }

    /// What a block of `len` bytes takes of [`usable`](StagingUsage::usable): its length in whole units of the
    /// file system. The weight of the block for replacement.
    pub fn charge(&self, len: usize) -> u64 {
        self.inner.space.charge(len as u64)
    }

    /// What can be reserved in all, in bytes: the capacity of replacement.
    pub fn usable(&self) -> u64 {
        self.inner.space.share().usable()
    }

    /// Writes a block into the space reserved for it.
    ///
    /// Synchronous: the call returns once the bytes are in the page cache, which takes about 4 microseconds for
    /// 4 KiB and a quarter of a millisecond for 1 MiB, and may wait for the disk under memory pressure. Put it on
    /// a blocking thread for more than 64 KiB.
    ///
    /// # Errors
    /// Nothing of the block is left, and its space is free again: [`StagingError::DiskFull`],
    /// [`StagingError::QuotaExceeded`], [`StagingError::NoDescriptors`], [`StagingError::Io`].
    /// [`StagingError::WrongLength`] where the reservation is of another length, or of another staging.
    pub fn write(
        &self,
        reservation: Reservation,
        bytes: &[u8],
    ) -> Result<Arc<Extent>, StagingError> {
        if reservation.len() != bytes.len() || !reservation.is_of(&self.inner) {
            return Err(StagingError::WrongLength {
                reserved: reservation.len(),
                given: bytes.len(),
            });
        }
        let extent = Extent::write(reservation, bytes)?;
        self.inner.audit();
        Ok(Arc::new(extent))
    }

    /// What is used now. Each figure is right by itself; under load they may be of slightly different moments.
    pub fn usage(&self) -> StagingUsage {
        let inner = &self.inner;
        let mut usage = StagingUsage {
            capacity: inner.space.share().bytes(),
            usable: inner.space.share().usable(),
            reserved: inner.space.share().used(),
            leaked_bytes: inner.space.leaked(),
            excess_metadata: inner.space.share().excess(),
            ..StagingUsage::default()
        };
        for class in &inner.classes {
            usage.slots += class.live_slots();
            usage.logical_len += class.logical_len();
            usage.descriptors += u64::from(class.opened().is_some());
        }
        usage
    }

    /// The directory's part of the budget.
    pub(crate) fn share(&self) -> &Arc<Share> {
        self.inner.space.share()
    }

    /// Gives up what the budget granted beyond the share, as far as it is not used any more.
    pub(crate) fn lower(&self) {
        // Trees of extents do not shrink with what they led to, and less is set aside for them from now on.
        self.inner.measure_metadata();
        self.inner.space.share().lower();
    }

    /// The directory.
    pub fn dir(&self) -> &StagingDir {
        &self.inner.dir
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging")
            .field("dir", &self.inner.dir)
            .field("usage", &self.usage())
            .finish()
    }
}

impl Inner {
    /// The class of blocks of `len` bytes (1 to [`MAX_STAGED`]): the smallest that holds them and is no smaller
    /// than what the file system allocates at once, or two slots would share a unit and never free it.
    fn class(&self, len: u64) -> &ClassFile {
        let class = len.next_power_of_two().max(self.space.unit());
        let index = (class / MIN_CLASS).max(1).ilog2() as usize;
        &self.classes[index.min(CLASSES - 1)]
    }

    /// Charges the metadata that the file system really uses, where it is more than was set aside.
    ///
    /// Asked at every 32nd write, since a tree of extents grows then, if at all; whoever finds another thread
    /// asking leaves it to that one.
    fn audit(&self) {
        if self.writes.fetch_add(1, Ordering::Relaxed) % 32 == 31 {
            self.measure_metadata();
        }
    }

    fn measure_metadata(&self) {
        if !self.space.metadata_grows() {
            return;
        }
        let mut metadata = match self.metadata.try_lock() {
            Ok(metadata) => metadata,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for (class, seen) in self.classes.iter().zip(metadata.iter_mut()) {
            let Some(file) = class.opened() else { continue };
            let before = class.data_bytes();
            let Ok(allocated) = platform::allocated(file) else {
                continue;
            };
            // A block that came or went in between would be taken for metadata: then what was seen last stands.
            if class.data_bytes() == before {
                *seen = allocated.saturating_sub(before);
            }
        }
        self.space.set_metadata(metadata.iter().sum());
    }
}
