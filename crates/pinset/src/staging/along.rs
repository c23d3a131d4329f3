//! Reading along: what another process has staged in a persistent directory, for one that admits nothing there.
//!
//! A look-up goes by a copy of the index in memory, which follows the ring of [`changes`](super::changes). Then the
//! slot is leased, by a shared lock on its record's range, and the record read again: if it still names the block,
//! its bytes stand for as long as the lease, since the one that evicts passes over what is leased.
//!
//! It must not write. Invariant: an extent that is handed out is leased, and its record named the block after the
//! lease was taken.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io,
    sync::{Arc, Mutex, OnceLock},
};

use super::{
    CLASSES, Extent, StagingError,
    changes::{Change, News, Reader},
    class_bytes,
    files::{self, Access},
    index, layout,
    platform::{self, RangeLock},
    probe::ReadWay,
    record::{RECORD_LEN, Record},
    resume::records,
    slots,
};
use crate::{
    block::{Key, KeyHash},
    lock_dir::StagingDir,
    sync::lock,
};

/// A directory that is read along. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Along {
    shared: Arc<Shared>,
}

struct Shared {
    dir: StagingDir,
    classes: [Class; CLASSES],
    known: Mutex<Known>,
    /// How often each slot is leased here: the lock is one for all of this process's extents.
    leases: Mutex<HashMap<Change, usize>>,
}

/// The files of one class, opened when they are there.
#[derive(Default)]
struct Class {
    slots: OnceLock<(Arc<File>, ReadWay)>,
    index: OnceLock<File>,
}

/// The copy of the index.
#[derive(Default)]
struct Known {
    ring: Option<Reader>,
    blocks: HashMap<Key, At, KeyHash>,
    keys: HashMap<Change, Key>,
}

#[derive(Clone, Copy)]
struct At {
    place: Change,
    change: u64,
    /// Whether the bytes have been verified here since that change.
    verified: bool,
}

/// A block that is leased.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) extent: Extent,
    /// The change that made it.
    pub(crate) change: u64,
    /// Whether its bytes have been verified since.
    pub(crate) verified: bool,
}

impl Along {
    /// Reads a directory along. Where nobody has laid it out yet, nothing is found in it so far.
    ///
    /// # Errors
    /// [`StagingError::UnknownLayout`], and what the system says.
    pub(crate) fn open(dir: StagingDir) -> Result<Self, StagingError> {
        layout::check(&dir)?;
        Ok(Self {
            shared: Arc::new(Shared {
                dir,
                classes: Default::default(),
                known: Mutex::default(),
                leases: Mutex::default(),
            }),
        })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &StagingDir {
        &self.shared.dir
    }

    /// The block, leased, if it is there. Waits for the disk.
    ///
    /// # Errors
    /// The disk, or the want of descriptors.
    pub(crate) fn lease(&self, key: &Key) -> Result<Option<Found>, StagingError> {
        let at = {
            let mut known = lock(&self.shared.known);
            self.shared.follow(&mut known)?;
            known.blocks.get(key).copied()
        };
        let Some(at) = at else { return Ok(None) };
        let found = self.lease_at(key, at)?;
        if found.is_none() {
            // It is being evicted, or was.
            lock(&self.shared.known).forget(at.place);
        }
        Ok(found)
    }

    fn lease_at(&self, key: &Key, at: At) -> Result<Option<Found>, StagingError> {
        if !self.shared.lease(at.place)? {
            return Ok(None);
        }
        let lease = Lease {
            shared: self.shared.clone(),
            place: at.place,
        };
        let record = self.shared.record(at.place)?;
        let record = record.filter(|record| record.key == *key && record.change == at.change);
        let (Some(record), Some((file, read_way))) = (record, self.shared.slots(at.place.class)?)
        else {
            return Ok(None);
        };
        let start = u64::from(at.place.slot) * class_bytes(at.place.class);
        let place = (file.clone(), start);
        let extent = Extent::leased(lease, record.len as usize, place, *read_way);
        Ok(Some(Found {
            extent,
            change: at.change,
            verified: at.verified,
        }))
    }

    /// Says that the bytes of a block, of that change, were verified.
    pub(crate) fn verified(&self, key: &Key, change: u64) {
        let mut known = lock(&self.shared.known);
        if let Some(at) = known.blocks.get_mut(key)
            && at.change == change
        {
            at.verified = true;
        }
    }

    /// Says that the bytes of a block are wrong: it is not looked for again until it changes.
    pub(crate) fn wrong(&self, key: &Key) {
        let mut known = lock(&self.shared.known);
        if let Some(at) = known.blocks.get(key).copied() {
            known.forget(at.place);
        }
    }
}

impl fmt::Debug for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Along")
            .field("dir", &self.shared.dir)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Brings the copy up to date.
    fn follow(&self, known: &mut Known) -> Result<(), StagingError> {
        let Some(ring) = &mut known.ring else {
            // Before the index is read: what changes after this is news.
            known.ring = Reader::open(&self.dir)?;
            return match known.ring {
                Some(_) => self.read_all(known),
                None => Ok(()),
            };
        };
        match ring.news() {
            Ok(News::Changed(changed)) => {
                for place in changed {
                    known.forget(place);
                    if let Some(record) = self.record(place)? {
                        known.learn(place, &record);
                    }
                }
                Ok(())
            }
            Ok(News::TooMany) => self.read_all(known),
            // coverage: needs a disk that fails.
            Err(error) => Err(StagingError::of("read", super::changes::CHANGES, error)),
        }
    }

    fn read_all(&self, known: &mut Known) -> Result<(), StagingError> {
        let before = std::mem::take(&mut known.blocks);
        known.keys.clear();
        for class in 0..CLASSES {
            let Some(file) = self.index(class)? else {
                continue;
            };
            let name = index::name(class_bytes(class));
            records(file, class, |slot, record| {
                known.learn(Change { class, slot }, &record);
            })
            .map_err(|error| StagingError::of("read", &name, error))?;
        }
        for (key, at) in &mut known.blocks {
            let same = |was: &&At| was.change == at.change;
            at.verified = before.get(key).filter(same).is_some_and(|was| was.verified);
        }
        Ok(())
    }

    fn record(&self, place: Change) -> Result<Option<Record>, StagingError> {
        let Some(file) = self.index(place.class)? else {
            return Ok(None);
        };
        let mut bytes = [0; RECORD_LEN];
        let read = files::read_at_most(file, &mut bytes, index::offset(place.slot));
        let read = read.map_err(|error| self.failed_index("read", place, error))?;
        let whole = read == RECORD_LEN;
        Ok(whole
            .then(|| Record::decode(&bytes, place.class, place.slot))
            .flatten())
    }

    fn index(&self, class: usize) -> Result<Option<&File>, StagingError> {
        let opened = &self.classes[class].index;
        if opened.get().is_none() {
            let name = index::name(class_bytes(class));
            let Some(file) = files::open_existing(&self.dir, &name, Access::Read)? else {
                return Ok(None);
            };
            let _ = opened.set(file);
        }
        Ok(opened.get())
    }

    fn slots(&self, class: usize) -> Result<Option<&(Arc<File>, ReadWay)>, StagingError> {
        let opened = &self.classes[class].slots;
        if opened.get().is_none() {
            let name = slots::name(class_bytes(class));
            let Some(file) = files::open_existing(&self.dir, &name, Access::Read)? else {
                return Ok(None);
            };
            let read_way = platform::read_way(&file)
                .map_err(|error| StagingError::of("read", &name, error))?;
            let _ = opened.set((Arc::new(file), read_way));
        }
        Ok(opened.get())
    }

    /// Leases a slot, but not where the one that evicts has claimed it.
    fn lease(&self, place: Change) -> Result<bool, StagingError> {
        let Some(file) = self.index(place.class)? else {
            // coverage: what is known of a slot was read out of that file.
            return Ok(false);
        };
        let mut leases = lock(&self.leases);
        let count = leases.get(&place).copied().unwrap_or(0);
        let leased = count > 0
            || platform::lock_range(
                file,
                RangeLock::Shared,
                index::offset(place.slot),
                RECORD_LEN,
            )
            .map_err(|error| self.failed_index("lock", place, error))?;
        if leased {
            leases.insert(place, count + 1);
        }
        Ok(leased)
    }

    // coverage: needs a disk that fails.
    fn failed_index(
        &self,
        operation: &'static str,
        place: Change,
        error: io::Error,
    ) -> StagingError {
        StagingError::of(operation, &index::name(class_bytes(place.class)), error)
    }
}

impl Known {
    fn learn(&mut self, place: Change, record: &Record) {
        let at = At {
            place,
            change: record.change,
            verified: false,
        };
        self.blocks.insert(record.key, at);
        self.keys.insert(place, record.key);
    }

    fn forget(&mut self, place: Change) {
        if let Some(key) = self.keys.remove(&place)
            && self.blocks.get(&key).is_some_and(|at| at.place == place)
        {
            self.blocks.remove(&key);
        }
    }
}

/// A lease of a slot: it ends when this is dropped, or with the process.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    place: Change,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = lock(&self.shared.leases);
        let left = leases.get(&self.place).map_or(0, |count| count - 1);
        if left > 0 {
            leases.insert(self.place, left);
            return;
        }
        leases.remove(&self.place);
        if let Some(file) = self.shared.classes[self.place.class].index.get() {
            let at = index::offset(self.place.slot);
            // The system refuses no unlocking.
            let _ = platform::lock_range(file, RangeLock::Unlocked, at, RECORD_LEN);
        }
    }
}
