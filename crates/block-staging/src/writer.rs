//! The writer's handle on a staging directory: it admits blocks, and evicts them.
//!
//! Any number of threads may use it at once.

use std::{fmt, sync::Arc};

use crate::{
    class::{CLASSES, class_bytes},
    commit,
    disk::{layout, slots::ClassFile},
    error::StagingError,
    evict,
    extent::Extent,
    key::Key,
    lock_dir::StagingDir,
    platform::probe::{self, Suitable},
    reservation::Reservation,
    resume::{self, Warm},
    space::{
        Space,
        budget::{Budget, Share},
        overhead::Beside,
    },
    sync::Ordering,
    volume::Volume,
};

/// A staging directory that is open. Cheap to clone; all clones are one.
///
/// The directory's files stay as long as a clone or an [`Extent`] of it lives.
#[derive(Clone)]
pub struct Staging {
    pub(crate) volume: Arc<Volume>,
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
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_within(dir: StagingDir, share: Arc<Share>) -> Result<Self, StagingError> {
        let Suitable {
            unit,
            kind,
            read_way,
        } = probe::probe(&dir)?;
        let space = Space::new(share, unit, kind, Beside::Nothing);
        let classes = (0..CLASSES).map(|class| ClassFile::new(class_bytes(class), None));
        let classes = classes.collect();
        let volume = Volume::new(dir, space, read_way, classes, None, vec![]);
        Ok(Self {
            volume: Arc::new(volume),
        })
    }

    /// Opens a persistent directory, whose lock this process holds, and finds what earlier runs left in it: in the
    /// order in which it was admitted, unverified.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`StagingError::UnknownLayout`], [`StagingError::NotAFile`].
    pub(crate) fn resume(
        dir: StagingDir,
        share: Arc<Share>,
    ) -> Result<(Self, Vec<Warm>), StagingError> {
        let (volume, warm) = resume::resume(dir, share)?;
        Ok((Self { volume }, warm))
    }

    /// Reserves the space of a block of `len` bytes, exactly and at once, or says `None`: there is no room now,
    /// or there never will be (more than [`MAX_STAGED`](crate::MAX_STAGED), or than [`usable`](StagingUsage::usable)).
    ///
    /// Never blocks. Dropping the reservation gives the space back.
    pub fn reserve(&self, len: usize) -> Option<Reservation> {
        Reservation::new(&self.volume, len).or_else(|| {
            let freed = evict::retry(&self.volume);
            freed.then(|| Reservation::new(&self.volume, len)).flatten()
        })
    }

    /// What a block of `len` bytes takes of [`usable`](StagingUsage::usable): its length in whole units of the
    /// file system. The weight of the block for replacement.
    pub fn charge(&self, len: usize) -> u64 {
        self.volume.space.charge(len as u64)
    }

    /// What can be reserved in all, in bytes: the capacity of replacement.
    pub fn usable(&self) -> u64 {
        self.volume.space.share().usable()
    }

    /// What of [`usable`](Self::usable) blocks can have now, those that are there included, in bytes: it has to give
    /// way to the index, to metadata and to what could not be freed.
    pub fn for_blocks(&self) -> u64 {
        self.volume.space.for_blocks()
    }

    /// Whether there is a point in writing: not while the file system is read-only.
    pub fn takes_writes(&self) -> bool {
        let volume = &self.volume;
        if !volume.read_only.load(Ordering::Relaxed) {
            return true;
        }
        let writable = layout::is_writable(&volume.dir);
        volume.read_only.store(!writable, Ordering::Relaxed);
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
        key: &Key,
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
        if reservation.len() != bytes.len() || !reservation.is_of(&self.volume) {
            return Err(StagingError::WrongLength {
                reserved: reservation.len(),
                given: bytes.len(),
            });
        }
        let extent = commit::commit(reservation, key, bytes).inspect_err(|error| {
            if error.is_read_only() {
                // coverage: needs a file system that turns read-only under files that are open for writing.
                self.volume.read_only.store(true, Ordering::Relaxed);
            }
        })?;
        self.volume.audit();
        Ok(extent)
    }

    /// What is used now. Each figure is right by itself; under load they may be of slightly different moments.
    pub fn usage(&self) -> StagingUsage {
        let volume = &self.volume;
        let mut usage = StagingUsage {
            capacity: volume.space.share().bytes(),
            usable: volume.space.share().usable(),
            reserved: volume.space.share().used(),
            leaked_bytes: volume.space.leaked(),
            index_bytes: volume.space.index(),
            excess_metadata: volume.space.share().excess(),
            ..StagingUsage::default()
        };
        for class in &volume.classes {
            usage.slots += class.live_slots();
            usage.logical_len += class.logical_len();
            let index = class.index().and_then(|index| index.opened());
            usage.descriptors += u64::from(class.opened().is_some()) + u64::from(index.is_some());
        }
        usage
    }

    /// The directory's part of the budget.
    pub fn share(&self) -> &Arc<Share> {
        self.volume.space.share()
    }

    /// Gives up what the budget granted beyond the share, as far as it is not used any more.
    pub fn lower(&self) {
        // Trees of extents do not shrink with what they led to, and less is set aside for them from now on.
        self.volume.measure_metadata();
        self.volume.space.share().lower();
    }

    /// The directory.
    pub fn dir(&self) -> &StagingDir {
        &self.volume.dir
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging")
            .field("dir", &self.volume.dir)
            .field("usage", &self.usage())
            .finish()
    }
}
