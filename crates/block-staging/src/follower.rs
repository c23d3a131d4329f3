//! A follower: it reads blocks that another process, the writer, has staged in a persistent directory.
//!
//! A look-up uses a copy of the index in memory, which the [journal](crate::disk::journal) keeps up to date. Then the
//! slot is leased, and the record is read again: if it still names the block, its bytes stay in place until the lease
//! ends, since the writer does not evict leased blocks.
//!
//! A follower must not write. Invariant: an extent that it returns is leased, and its record named the block after the
//! lease was taken.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    sync::{Arc, OnceLock},
};

use crate::{
    class::{CLASSES, SlotAddress, class_bytes},
    disk::{
        files::{self, Access},
        index,
        journal::{self, Reader, Updates},
        layout,
        record::Record,
        slots,
    },
    error::StagingError,
    extent::Extent,
    key::{Key, KeyHash},
    lease::Leases,
    lock_dir::StagingDir,
    platform::{self, ReadWay},
    sync::{Mutex, lock},
};

/// A directory whose writer is another process. It is cheap to clone, and all clones share their state.
///
/// Its methods wait for the disk, except those that mark a block.
#[derive(Clone)]
pub struct Follower {
    shared: Arc<Shared>,
}

struct Shared {
    leases: Arc<Leases>,
    /// The slot file of each class, opened at its first use.
    slots: [OnceLock<(Arc<File>, ReadWay)>; CLASSES],
    known: Mutex<Known>,
}

/// The copy of the index.
#[derive(Default)]
struct Known {
    journal: Option<Reader>,
    blocks: HashMap<Key, At, KeyHash>,
    keys: HashMap<SlotAddress, Key>,
}

#[derive(Clone, Copy)]
struct At {
    place: SlotAddress,
    change: u64,
    /// Whether the bytes have been verified here since that change.
    verified: bool,
}

/// A leased block: the writer does not evict it as long as the extent lives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leased {
    /// Its bytes.
    pub extent: Extent,
    /// The number of the change that staged it. If the same block is staged again, it has another.
    pub change: u64,
    /// Whether its bytes have been [verified](Follower::mark_verified) here since that change.
    pub verified: bool,
}

impl Follower {
    /// Follows a directory. Until a writer has laid it out, no block is found in it.
    ///
    /// # Errors
    /// [`StagingError::UnknownLayout`], and errors of the system.
    pub(crate) fn open(dir: StagingDir) -> Result<Self, StagingError> {
        layout::check(&dir)?;
        Ok(Self {
            shared: Arc::new(Shared {
                leases: Arc::new(Leases::new(dir)),
                slots: Default::default(),
                known: Mutex::default(),
            }),
        })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &StagingDir {
        self.shared.leases.dir()
    }

    /// Leases the block, if it is staged.
    ///
    /// # Errors
    /// [`StagingError`]: the disk failed, or no descriptor is left.
    pub fn lease(&self, key: &Key) -> Result<Option<Leased>, StagingError> {
        let at = {
            let mut known = lock(&self.shared.known);
            self.shared.update(&mut known)?;
            known.blocks.get(key).copied()
        };
        let Some(at) = at else { return Ok(None) };
        let leased = self.shared.lease_at(key, at)?;
        if leased.is_none() {
            // It is being evicted, or has been.
            lock(&self.shared.known).forget(at.place);
        }
        Ok(leased)
    }

    /// Remembers that the bytes of a block are correct, as that change staged it.
    pub fn mark_verified(&self, key: &Key, change: u64) {
        let mut known = lock(&self.shared.known);
        if let Some(at) = known.blocks.get_mut(key)
            && at.change == change
        {
            at.verified = true;
        }
    }

    /// Remembers that the bytes of a block are wrong. The block is not found again until its record changes.
    pub fn mark_wrong(&self, key: &Key) {
        let mut known = lock(&self.shared.known);
        if let Some(at) = known.blocks.get(key).copied() {
            known.forget(at.place);
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("dir", self.dir())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lease_at(&self, key: &Key, at: At) -> Result<Option<Leased>, StagingError> {
        let Some(lease) = self.leases.lease(at.place)? else {
            return Ok(None);
        };
        let record = self.leases.record(at.place)?;
        let record = record.filter(|record| record.key == *key && record.change == at.change);
        let (Some(record), Some((file, read_way))) = (record, self.slots(at.place.class)?) else {
            return Ok(None);
        };
        let start = u64::from(at.place.slot) * class_bytes(at.place.class);
        let place = (file.clone(), start);
        let extent = Extent::leased(lease, record.len as usize, place, *read_way);
        Ok(Some(Leased {
            extent,
            change: at.change,
            verified: at.verified,
        }))
    }

    /// Brings the copy of the index up to date.
    fn update(&self, known: &mut Known) -> Result<(), StagingError> {
        let Some(journal) = &mut known.journal else {
            // Opened before the index is read, so that every later change is an update.
            known.journal = Reader::open(self.leases.dir())?;
            return match known.journal {
                Some(_) => self.read_all(known),
                None => Ok(()),
            };
        };
        match journal.updates() {
            Ok(Updates::Of(changed)) => {
                for place in changed {
                    known.forget(place);
                    if let Some(record) = self.leases.record(place)? {
                        known.learn(place, &record);
                    }
                }
                Ok(())
            }
            Ok(Updates::TooMany) => self.read_all(known),
            // coverage: needs a disk that fails.
            Err(error) => Err(StagingError::of("read", journal::CHANGES, error)),
        }
    }

    fn read_all(&self, known: &mut Known) -> Result<(), StagingError> {
        let before = std::mem::take(&mut known.blocks);
        known.keys.clear();
        for class in 0..CLASSES {
            let Some(file) = self.leases.index(class)? else {
                continue;
            };
            let name = index::name(class_bytes(class));
            index::records(file, class, |slot, record| {
                known.learn(SlotAddress { class, slot }, &record);
            })
            .map_err(|error| StagingError::of("read", &name, error))?;
        }
        for (key, at) in &mut known.blocks {
            let same = |was: &&At| was.change == at.change;
            at.verified = before.get(key).filter(same).is_some_and(|was| was.verified);
        }
        Ok(())
    }

    fn slots(&self, class: usize) -> Result<Option<&(Arc<File>, ReadWay)>, StagingError> {
        let opened = &self.slots[class];
        if opened.get().is_none() {
            let name = slots::name(class_bytes(class));
            let Some(file) = files::open_existing(self.leases.dir(), &name, Access::Read)? else {
                return Ok(None);
            };
            let read_way = platform::read_way(&file)
                .map_err(|error| StagingError::of("read", &name, error))?;
            let _ = opened.set((Arc::new(file), read_way));
        }
        Ok(opened.get())
    }
}

impl Known {
    fn learn(&mut self, place: SlotAddress, record: &Record) {
        let at = At {
            place,
            change: record.change,
            verified: false,
        };
        self.blocks.insert(record.key, at);
        self.keys.insert(place, record.key);
    }

    fn forget(&mut self, place: SlotAddress) {
        if let Some(key) = self.keys.remove(&place)
            && self.blocks.get(&key).is_some_and(|at| at.place == place)
        {
            self.blocks.remove(&key);
        }
    }
}
