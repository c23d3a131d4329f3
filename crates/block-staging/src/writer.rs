//! The writer's handle on a staging directory: it admits and evicts blocks.
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
    member::{Main, Part},
    parked::Parked,
    platform::probe::{self, Suitable},
    reservation::Reservation,
    resume::{self, Earlier},
    space::{
        Space,
        budget::{Budget, Share},
        overhead::Beside,
    },
    sync::Ordering,
    volume::Volume,
};

/// An open staging directory. It is cheap to clone, and all clones share their state.
///
/// The directory's files stay as long as a clone or an [`Extent`] of it lives.
#[derive(Clone)]
pub struct Staging {
    pub(crate) volume: Arc<Volume>,
    /// Dropped with the last handle.
    _handles: Arc<Handles>,
}

/// All handles of one directory.
struct Handles(Arc<Volume>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The usage of a [`Staging`], in bytes unless a field says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StagingUsage {
    /// The directory's budget, or its part of a shared one.
    pub capacity: u64,
    /// The part of the capacity that can be reserved: all except the bytes set aside for the file system's metadata.
    pub usable: u64,
    /// The bytes reserved now: for blocks that are staged, being written or being removed, for the index, for excess
    /// metadata, and for leaked slots.
    pub reserved: u64,
    /// The bytes that could not be freed so far, since the file system refused to punch a hole, or another process
    /// leases the block. Freeing is tried again when there is no room. They are counted in `reserved`.
    pub leaked_bytes: u64,
    /// The bytes that the index files take, in a persistent directory. They are counted in `reserved`.
    pub index_bytes: u64,
    /// The metadata beyond the bytes set aside for it, as the file system reports it. It is counted in `reserved`.
    pub excess_metadata: u64,
    /// The number of slots that hold a block.
    pub slots: u64,
    /// The sum of the logical lengths of the slot files, holes included.
    pub logical_len: u64,
    /// The number of descriptors held for slot and index files.
    pub descriptors: u64,
}

impl Staging {
    /// Opens an empty staging directory with `capacity` bytes.
    ///
    /// Blocks: call it on a thread that may. It tries out the file system, which must punch holes.
    ///
    /// # Errors
    /// * [`StagingError::Unsuitable`]: the file system does not punch holes. The error names the directory and the
    ///   remedy.
    /// * the others: creating or trying out a file there failed.
    pub fn create(dir: StagingDir, capacity: u64) -> Result<Self, StagingError> {
        Self::create_within(dir, Budget::alone(capacity))
    }

    /// Like [`create`](Self::create), but with a share of a common budget.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    pub fn create_within(dir: StagingDir, share: Arc<Share>) -> Result<Self, StagingError> {
        Ok(Self::of(Self::empty(dir, share)?))
    }

    /// Opens the empty directory of a follower's part.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    pub(crate) fn create_part(
        dir: StagingDir,
        share: Arc<Share>,
        part: Part,
    ) -> Result<Self, StagingError> {
        Ok(Self::of(Self::empty(dir, share)?.with_part(part)))
    }

    fn of(volume: Volume) -> Self {
        let volume = Arc::new(volume);
        Self {
            _handles: Arc::new(Handles(volume.clone())),
            volume,
        }
    }

    fn empty(dir: StagingDir, share: Arc<Share>) -> Result<Volume, StagingError> {
        let Suitable {
            unit,
            kind,
            read_way,
        } = probe::probe(&dir)?;
        let space = Space::new(share, unit, kind, Beside::Nothing);
        let classes = (0..CLASSES).map(|class| ClassFile::new(class_bytes(class), None));
        let classes = classes.collect();
        Ok(Volume::new(dir, space, read_way, classes, None, vec![]))
    }

    /// Opens a persistent directory, whose lock this process holds; `main` is the right to its files, if other processes
    /// share it. Returns the blocks that earlier runs left in it, unverified and in the order of their admission.
    ///
    /// # Errors
    /// The same as [`create`](Self::create); [`StagingError::UnknownLayout`], [`StagingError::NotAFile`].
    pub(crate) fn resume(
        dir: StagingDir,
        share: Arc<Share>,
        main: Option<Main>,
    ) -> Result<(Self, Earlier), StagingError> {
        let (volume, earlier) = resume::resume(dir, share, main)?;
        let handles = Arc::new(Handles(volume.clone()));
        let staging = Self {
            volume,
            _handles: handles,
        };
        Ok((staging, earlier))
    }

    /// Reserves the exact space of a block of `len` bytes at once. Returns `None` if there is no room now, or if there
    /// never will be (more than [`MAX_STAGED`](crate::MAX_STAGED) or than [`usable`](StagingUsage::usable)).
    ///
    /// Never blocks. Dropping the reservation gives the space back.
    pub fn reserve(&self, len: usize) -> Option<Reservation> {
        Reservation::new(&self.volume, len).or_else(|| {
            let freed = evict::retry(&self.volume);
            freed.then(|| Reservation::new(&self.volume, len)).flatten()
        })
    }

    /// The part of [`usable`](StagingUsage::usable) that a block of `len` bytes takes: its length in whole units of the
    /// file system. This is the block's weight for replacement.
    pub fn charge(&self, len: usize) -> u64 {
        self.volume.space.charge(len as u64)
    }

    /// The bytes that can be reserved in all: the capacity of replacement.
    pub fn usable(&self) -> u64 {
        self.volume.space.share().usable()
    }

    /// The part of [`usable`](Self::usable) that blocks can have now, including those that are staged, in bytes. The
    /// index, metadata and leaked bytes take the rest.
    pub fn for_blocks(&self) -> u64 {
        self.volume.space.for_blocks()
    }

    /// Whether writing makes sense: not while the file system is read-only.
    pub fn takes_writes(&self) -> bool {
        let volume = &self.volume;
        if !volume.read_only.load(Ordering::Relaxed) {
            return true;
        }
        let writable = layout::is_writable(&volume.dir);
        volume.read_only.store(!writable, Ordering::Relaxed);
        writable
    }

    /// Writes a block into the space reserved for it. The block has no record, so in a persistent directory no later
    /// run finds it; use [`write_as`](Self::write_as) for that.
    ///
    /// Synchronous: the call returns once the bytes are in the page cache, which takes about 4 microseconds for
    /// 4 KiB and a quarter of a millisecond for 1 MiB, and may wait for the disk under memory pressure. Call it on
    /// a blocking thread for more than 64 KiB.
    ///
    /// # Errors
    /// After these, nothing remains of the block, and its space is free again: [`StagingError::DiskFull`],
    /// [`StagingError::QuotaExceeded`], [`StagingError::NoDescriptors`], [`StagingError::Io`].
    /// [`StagingError::WrongLength`] if the reservation is of another length or of another staging directory.
    pub fn write(&self, reservation: Reservation, bytes: &[u8]) -> Result<Extent, StagingError> {
        self.write_named(reservation, None, bytes)
    }

    /// Like [`write`](Self::write), for the block with this multihash. In a persistent directory its record is written
    /// right after it, so that later runs find it.
    ///
    /// # Errors
    /// The same as [`write`](Self::write); [`StagingError::NoRoomForRecord`].
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
                self.volume.read_only.store(true, Ordering::Relaxed);
            }
        })?;
        self.volume.audit();
        Ok(extent)
    }

    /// Makes a handle of a block that was [parked](Extent::park) in this directory.
    pub fn unpark(&self, parked: Parked) -> Extent {
        Extent::unpark(&self.volume, parked)
    }

    /// Returns the usage now. Each figure is exact by itself; under load they may be of slightly different moments.
    pub fn usage(&self) -> StagingUsage {
        let volume = &self.volume;
        let mut usage = StagingUsage {
            capacity: volume.space.share().for_staging(),
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

    /// Returns the unused part of the bytes that the budget granted beyond the share.
    pub fn lower(&self) {
        // Trees of extents do not shrink with the data that they lead to, and less is set aside for them from now on.
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
