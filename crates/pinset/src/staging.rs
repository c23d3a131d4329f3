//! The staging directory: where verified blocks lie on disk, under a budget that holds at every instant.
//!
//! **Layout: packed slots by size class.** At most ten sparse files, `slots-4096`, `slots-8192`, … `slots-2097152`.
//! A block of `n` bytes lies in a slot of the smallest class that holds it, at offset `slot * class`. Only the
//! pages that were written are allocated, so the slack of a class costs nothing; a freed slot has a hole punched
//! into it, and the lowest free slot is used first, which bounds a file's logical length at twice the capacity.
//! Ten descriptors serve any number of blocks, a read needs no `open`, and nothing ever has to be compacted.
//!
//! **Order of things** (I2): [`Staging::reserve`] the exact space, once the block is verified; then
//! [`Staging::write`]; the [`Extent`] gives it back, *after* the hole is punched, when it goes. A reader that holds
//! it is therefore never above a hole: holding it is what "in use" means.
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
//! **Persistent** ([`Pinset::staging`](crate::Pinset::staging)): the slots are where they are else, and beside each
//! class's file an index says which block lies in which slot. A block's record is written after its bytes, and
//! cleared before they go; what no record names is punched at the next start; what a record names is hashed before
//! it is used, once in a run (I3). So no crash and no power loss leads to wrong bytes, and no block and no record is
//! ever synced.
//! `docs/staging-format.md` describes the files, the orders, the locks and the recovery.
//!
//! A write-back that fails later (a dying disk) is seen by nobody: the page is dropped from the page cache, and
//! the block then reads as whatever the disk has. Whoever fears that verifies again what
//! [`Extent::read_blocking`] returned.

use std::{
    fmt,
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use crate::{
    block::Key,
    budget::{Budget, Share},
    lock_dir::StagingDir,
    sync::lock,
};

pub(crate) mod along;
#[cfg(target_os = "linux")]
mod cached;
mod changes;
mod error;
mod extent;
mod files;
mod index;
pub(crate) mod layout;
mod platform;
mod probe;
mod record;
pub(crate) mod resume;
mod slots;
mod space;
mod steps;
pub mod stored;
#[cfg(test)]
pub(crate) mod tests;

pub use error::StagingError;
pub use extent::Extent;
pub(crate) use space::Overhead;
pub use space::Reservation;

use changes::Changes;
use probe::{ReadWay, Suitable};
use resume::{Unfreed, Warm};
use slots::ClassFile;
use space::{Beside, Space};

/// The largest block that is staged, in bytes: 2 MiB, as `pinner_api::MAX_BLOCK`.
pub const MAX_STAGED: usize = 2 * 1024 * 1024;

/// The smallest class, in bytes. A file system that allocates in larger units has fewer classes.
const MIN_CLASS: u64 = 4096;

/// Ten classes: 4 KiB to 2 MiB.
const CLASSES: usize = (MAX_STAGED as u64 / MIN_CLASS).ilog2() as usize + 1;

/// The length of the slots of class number `class`, in bytes.
fn class_bytes(class: usize) -> u64 {
    MIN_CLASS << class
}

/// The number of the class of blocks of `len` bytes (1 to [`MAX_STAGED`]): the smallest that holds them and is no
/// smaller than what the file system allocates at once, or two slots would share a unit and never free it.
fn class_of(len: u64, unit: u64) -> usize {
    let class = len.next_power_of_two().max(unit);
    let index = (class / MIN_CLASS).max(1).ilog2() as usize;
    index.min(CLASSES - 1)
}

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
    /// One for each class, by its number.
    classes: Vec<ClassFile>,
    /// There in a persistent directory.
    changes: Option<Changes>,
    /// Slots that could not be freed so far.
    unfreed: Mutex<Vec<Unfreed>>,
    /// Whether the file system was found to be read-only.
    read_only: AtomicBool,
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
    /// What could not be freed so far, since the file system refused to punch a hole, or another process leases the
    /// block; it is tried again when there is no room. It is counted in `reserved`.
    pub leaked_bytes: u64,
    /// What the index files take, in a persistent directory; it is counted in `reserved`.
    pub index_bytes: u64,
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
        let space = Space::new(share, unit, kind, Beside::Nothing);
        let classes = (0..CLASSES).map(|class| ClassFile::new(class_bytes(class), None));
        let classes = classes.collect();
        Ok(Self::over(dir, space, read_way, classes, None, vec![]))
    }

    /// Opens a persistent directory, whose [lock](layout::try_lock) this process holds, and finds what earlier runs
    /// left in it: in the order in which it was admitted, unverified.
    ///
    /// Blocks: call it on a thread that may. Reads the index and no block.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`StagingError::UnknownLayout`], [`StagingError::NotAFile`].
    pub(crate) fn resume(
        dir: StagingDir,
        share: Arc<Share>,
    ) -> Result<(Self, Vec<Warm>), StagingError> {
        resume::resume(dir, share)
    }

    fn over(
        dir: StagingDir,
        space: Space,
        read_way: ReadWay,
        classes: Vec<ClassFile>,
        changes: Option<Changes>,
        unfreed: Vec<Unfreed>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                dir,
                read_way,
                classes,
                changes,
                unfreed: Mutex::new(unfreed),
                read_only: AtomicBool::new(false),
                metadata: Mutex::default(),
                writes: AtomicU32::new(0),
                space,
            }),
        }
    }

    /// Reserves the space of a block of `len` bytes, exactly and at once, or says `None`: there is no room now,
    /// or there never will be (more than [`MAX_STAGED`], or than [`usable`](StagingUsage::usable)).
    ///
    /// Never blocks. Dropping the reservation gives the space back.
    pub fn reserve(&self, len: usize) -> Option<Reservation> {
        Reservation::new(&self.inner, len).or_else(|| {
            let freed = self.inner.free_again();
            freed.then(|| Reservation::new(&self.inner, len)).flatten()
        })
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

    /// What of [`usable`](Self::usable) blocks can have now, those that are there included, in bytes: it has to give
    /// way to the index, to metadata and to what could not be freed.
    pub(crate) fn for_blocks(&self) -> u64 {
        self.inner.space.for_blocks()
    }

    /// Whether there is a point in writing: not while the file system is read-only.
    pub(crate) fn takes_writes(&self) -> bool {
        let inner = &self.inner;
        if !inner.read_only.load(Ordering::Relaxed) {
            return true;
        }
        let writable = layout::is_writable(&inner.dir);
        inner.read_only.store(!writable, Ordering::Relaxed);
        writable
    }

    /// Writes a block into the space reserved for it. In a persistent directory it has no record, so that no later
    /// run finds it: see [`write_as`](Self::write_as).
    ///
    /// Synchronous: the call returns once the bytes are in the page cache, which takes about 4 microseconds for
    /// 4 KiB and a quarter of a millisecond for 1 MiB, and may wait for the disk under memory pressure. Put it on
    /// a blocking thread for more than 64 KiB.
    ///
    /// # Errors
    /// Nothing of the block is left, and its space is free again: [`StagingError::DiskFull`],
    /// [`StagingError::QuotaExceeded`], [`StagingError::NoDescriptors`], [`StagingError::Io`].
    /// [`StagingError::WrongLength`] where the reservation is of another length, or of another staging.
    pub fn write(&self, reservation: Reservation, bytes: &[u8]) -> Result<Extent, StagingError> {
        self.write_named(reservation, None, bytes)
    }

    /// Writes the block of this multihash into the space reserved for it. In a persistent directory its record comes
    /// right behind it, by which later runs find it. Else as [`write`](Self::write).
    ///
    /// # Errors
    /// As [`write`](Self::write); [`StagingError::NoRoomForRecord`].
    pub fn write_as(
        &self,
        reservation: Reservation,
        key: &multihash::Multihash<64>,
        bytes: &[u8],
    ) -> Result<Extent, StagingError> {
        self.write_named(reservation, Some(key), bytes)
    }

    fn write_named(
        &self,
        reservation: Reservation,
        key: Option<&Key>,
        bytes: &[u8],
    ) -> Result<Extent, StagingError> {
        if reservation.len() != bytes.len() || !reservation.is_of(&self.inner) {
            return Err(StagingError::WrongLength {
                reserved: reservation.len(),
                given: bytes.len(),
            });
        }
        let extent = Extent::write(reservation, key, bytes).inspect_err(|error| {
            if error.is_read_only() {
                // coverage: needs a file system that turns read-only under files that are open for writing.
                self.inner.read_only.store(true, Ordering::Relaxed);
            }
        })?;
        self.inner.audit();
        Ok(extent)
    }

    /// What is used now. Each figure is right by itself; under load they may be of slightly different moments.
    pub fn usage(&self) -> StagingUsage {
        let inner = &self.inner;
        let mut usage = StagingUsage {
            capacity: inner.space.share().bytes(),
            usable: inner.space.share().usable(),
            reserved: inner.space.share().used(),
            leaked_bytes: inner.space.leaked(),
            index_bytes: inner.space.index(),
            excess_metadata: inner.space.share().excess(),
            ..StagingUsage::default()
        };
        for class in &inner.classes {
            usage.slots += class.live_slots();
            usage.logical_len += class.logical_len();
            let index = class.index().and_then(|index| index.opened());
            usage.descriptors += u64::from(class.opened().is_some()) + u64::from(index.is_some());
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
    /// The number of the class of blocks of `len` bytes.
    fn class(&self, len: u64) -> usize {
        class_of(len, self.space.unit())
    }

    fn changes(&self) -> Option<&Changes> {
        self.changes.as_ref()
    }

    /// Frees a slot, and tells those that read along.
    fn free(&self, class: usize, slot: u32, charge: u64) -> std::io::Result<()> {
        let freed = self.classes[class].free(&self.space, slot, charge);
        if let Some(changes) = &self.changes {
            changes.tell(changes.number(), changes::Change { class, slot });
        }
        freed
    }

    /// Remembers a slot that could not be freed. Its space is counted as leaked already.
    fn not_freed(&self, class: usize, slot: u32, charge: u64) {
        lock(&self.unfreed).push(Unfreed {
            class,
            slot,
            charge,
        });
    }

    /// Tries again to free what could not be freed; says whether anything was.
    fn free_again(&self) -> bool {
        let mut unfreed = lock(&self.unfreed);
        let before = unfreed.len();
        unfreed.retain(|lost| {
            let freed = self.classes[lost.class].free_lost(&self.space, lost.slot, lost.charge);
            if freed.is_ok() {
                self.space.freed(lost.charge);
            }
            freed.is_err()
        });
        unfreed.len() < before
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
            // coverage: nothing panics under the lock, and what is open can be examined.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for (class, seen) in self.classes.iter().zip(metadata.iter_mut()) {
            let Some(file) = class.opened() else { continue };
            let index = class.index();
            let accounted = || class.data_bytes() + index.map_or(0, |index| index.charged());
            let before = accounted();
            let Ok(mut allocated) = platform::allocated(file) else {
                continue;
            };
            if let Some(file) = index.and_then(|index| index.opened()) {
                allocated += platform::allocated(file).unwrap_or(0);
            }
            // A block that came or went in between would be taken for metadata: then what was seen last stands.
            if accounted() == before {
                *seen = allocated.saturating_sub(before);
            }
        }
        self.space.set_metadata(metadata.iter().sum());
    }
}
