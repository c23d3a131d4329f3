//! A warm start: the blocks of a persistent directory are found again, and all other data is swept.
//!
//! It reads the index files, but no block. The blocks that it returns are unverified: their bytes are hashed before
//! their first use (I3). Only the process that holds the directory's lock may call it.
//!
//! The order: read the records; decide which stay (of two records of one block the younger; of all records, the
//! youngest that the budget has room for); clear the other records; punch the units of the index that hold no record;
//! punch the data in slot files that no record covers, except for slots that another process leases. Only then is
//! anything admitted. If the process is killed at any point, the next start does the rest.
//!
//! It is linear in the number of records, of which there may be millions: the records are kept once, in a vector.

use std::{fmt, fs::File, hash::BuildHasher as _, io, os::unix::fs::FileExt, sync::Arc};

use crate::{
    class::{CLASSES, JOURNAL_LEN, SlotAddress, class_bytes, class_of, journal_len},
    disk::{
        files::{self, Access},
        index::{self, IndexFile},
        journal::{self, Journal},
        layout,
        record::{RECORD_LEN, Record},
        slots::{self, ClassFile, Restored},
        sweep,
    },
    error::StagingError,
    extent::Extent,
    key::{Key, KeyHash},
    lock_dir::StagingDir,
    member::Main,
    platform::probe,
    reservation::Reservation,
    space::{Space, budget::Share, overhead::Beside},
    steps::{Step, reached},
    volume::{Unfreed, Volume},
};

/// A block that an earlier run left. Nobody has verified it in this one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Warm {
    /// Its multihash.
    pub key: Key,
    /// Its bytes.
    pub extent: Extent,
}

/// The blocks that earlier runs left, in the order of their admission. The directory stays in use as long as some are
/// left here.
pub struct Earlier {
    /// `None` if none are left.
    volume: Option<Arc<Volume>>,
    /// The youngest first.
    left: Vec<Place>,
}

impl Iterator for Earlier {
    type Item = Warm;

    fn next(&mut self) -> Option<Warm> {
        let Place { record, at } = self.left.pop()?;
        let volume = match self.left.is_empty() {
            true => self.volume.take()?,
            false => self.volume.clone()?,
        };
        let file = &volume.classes[at.class];
        let place = file
            .opened()
            .map(|opened| (opened.clone(), file.offset(at.slot)));
        let reservation = Reservation::of_what_is_there(&volume, record.len as usize);
        Some(Warm {
            key: record.key,
            extent: Extent::own(reservation, place, at.slot),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len(), Some(self.left.len()))
    }
}

impl ExactSizeIterator for Earlier {}

impl Drop for Earlier {
    fn drop(&mut self) {
        // The space of each goes back, as with its extent.
        self.for_each(drop);
    }
}

impl fmt::Debug for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Earlier")
            .field("blocks", &self.left.len())
            .finish_non_exhaustive()
    }
}

/// A record, and where it was found.
struct Place {
    record: Record,
    at: SlotAddress,
}

/// The files of one class, as found on the disk.
struct OnDisk {
    class: usize,
    slots: Option<File>,
    slots_len: u64,
    index: Option<File>,
    index_len: u64,
}

/// Opens the directory, whose lock this process holds. Returns its blocks, in the order of their admission.
pub(crate) fn resume(
    dir: StagingDir,
    share: Arc<Share>,
    main: Option<Main>,
) -> Result<(Arc<Volume>, Earlier), StagingError> {
    layout::check_or_make(&dir)?;
    sweep::tidy(&dir)?;
    let suitable = probe::probe(&dir)?;
    let unit = suitable.unit;
    let journal_len = match share.for_staging() {
        // Without a bound, the journal stays as it is.
        u64::MAX => journal::found_len(&dir)?,
        capacity => journal_len(capacity),
    };
    let space = Space::new(share, unit, suitable.kind, Beside::Index);
    let (mut found, mut misplaced) = (Vec::new(), Vec::new());
    let mut on_disk = Vec::with_capacity(CLASSES);
    for class in 0..CLASSES {
        let files = OnDisk::open(&dir, class, unit)?;
        files.read(unit, &mut found, &mut misplaced)?;
        on_disk.push(files);
    }
    let newest = found.iter().map(|it| it.record.change).max().unwrap_or(0);
    let of_journal = space.charge(journal_len - JOURNAL_LEN);
    let dropped = decide(&mut found, &space, of_journal);
    for at in dropped.into_iter().chain(misplaced) {
        on_disk[at.class].clear(at.slot)?;
        reached(Step::DroppedAtStart);
    }
    let mut live: [Vec<(u32, u32)>; CLASSES] = Default::default();
    for Place { record, at } in &found {
        live[at.class].push((at.slot, record.len));
    }
    let mut classes = Vec::with_capacity(CLASSES);
    let (mut index_bytes, mut unfreed) = (0, Vec::new());
    for (files, mut live) in on_disk.into_iter().zip(live) {
        live.sort_unstable();
        let (class, index, lost) = files.sweep(&space, &live)?;
        classes.push(class);
        index_bytes += index;
        unfreed.extend(lost);
    }
    let journal = Journal::begin(&dir, newest, journal_len)?;
    // From here on, nothing fails.
    let lost_bytes = unfreed.iter().map(|lost| lost.charge).sum();
    space.take_over(index_bytes + of_journal, lost_bytes);
    let charges = found.iter().map(|it| space.charge(it.record.len.into()));
    space.share().take_what_is_there(charges.sum());
    let read_way = suitable.read_way;
    let volume = Volume::new(dir, space, read_way, classes, Some(journal), unfreed);
    if let Some(main) = &main {
        main.done();
    }
    let volume = Arc::new(volume.with_main(main));
    let earlier = Earlier {
        volume: (!found.is_empty()).then(|| volume.clone()),
        left: found,
    };
    Ok((volume, earlier))
}

/// Sorts the found records, youngest first, and removes those that do not stay. Returns where these are.
fn decide(found: &mut Vec<Place>, space: &Space, of_journal: u64) -> Vec<SlotAddress> {
    found.sort_unstable_by_key(|it| std::cmp::Reverse(it.record.change));
    let mut older = second_of_a_key(found).into_iter().peekable();
    // Before any block is charged. The units of the index are few: one for 32 records.
    let room = space.for_blocks().saturating_sub(of_journal);
    let mut units = std::collections::HashSet::<_, KeyHash>::default();
    let (mut taken, mut dropped, mut n) = (0, Vec::new(), 0);
    found.retain(|it| {
        let is_older = older.next_if_eq(&n).is_some();
        n += 1;
        let unit = (it.at.class, index::offset(it.at.slot) / space.unit());
        let of_index = match units.contains(&unit) {
            true => 0,
            false => space.unit(),
        };
        let takes = space.charge(u64::from(it.record.len)) + of_index;
        let stays = !is_older && taken + takes <= room;
        if stays {
            taken += takes;
            units.insert(unit);
        } else {
            dropped.push(it.at);
        }
        stays
    });
    dropped
}

/// The positions of the records whose block has a record before them, sorted.
fn second_of_a_key(found: &[Place]) -> Vec<u32> {
    let hasher = KeyHash::default();
    let hashes = found.iter().map(|it| hasher.hash_one(it.record.key));
    let mut by_hash: Vec<(u64, u32)> = hashes.zip(0..).collect();
    by_hash.sort_unstable();
    let mut second = Vec::new();
    for same in by_hash.chunk_by(|(one, _), (other, _)| one == other) {
        for (n, (_, at)) in same.iter().enumerate() {
            let key = |at: &u32| found[*at as usize].record.key;
            if same[..n].iter().any(|(_, before)| key(before) == key(at)) {
                second.push(*at);
            }
        }
    }
    second.sort_unstable();
    second
}

impl OnDisk {
    fn open(dir: &StagingDir, class: usize, unit: u64) -> Result<Self, StagingError> {
        let bytes = class_bytes(class);
        let open = |name: &str| -> Result<(Option<File>, u64), StagingError> {
            let failed = |operation| move |error| StagingError::of(operation, name, error);
            let Some(file) = files::open_existing(dir, name, Access::Write)? else {
                return Ok((None, 0));
            };
            if bytes < unit {
                // The file comes from a file system with smaller units: here, two slots would share a unit.
                file.set_len(0).map_err(failed("set_len"))?;
            }
            let len = file.metadata().map_err(failed("stat"))?.len();
            Ok((Some(file), len))
        };
        let (slots, slots_len) = open(&slots::name(bytes))?;
        let (index, index_len) = open(&index::name(bytes))?;
        Ok(Self {
            class,
            slots,
            slots_len,
            index,
            index_len,
        })
    }

    fn failed_index(&self, operation: &'static str) -> impl Fn(io::Error) -> StagingError + use<> {
        let name = index::name(class_bytes(self.class));
        move |error| StagingError::of(operation, &name, error)
    }

    /// Reads the records whose block can be in the slot that they name.
    fn read(
        &self,
        unit: u64,
        into: &mut Vec<Place>,
        misplaced: &mut Vec<SlotAddress>,
    ) -> Result<(), StagingError> {
        let Some(file) = &self.index else {
            return Ok(());
        };
        let class = self.class;
        let start = |slot: u32| u64::from(slot) * class_bytes(class);
        index::records(file, class, |slot, record| {
            let len = u64::from(record.len);
            let at = SlotAddress { class, slot };
            match class_of(len, unit) == class && start(slot) + len <= self.slots_len {
                true => into.push(Place { record, at }),
                false => misplaced.push(at),
            }
        })
        .map_err(self.failed_index("read"))
    }

    fn clear(&self, slot: u32) -> Result<(), StagingError> {
        match &self.index {
            Some(file) => file
                .write_all_at(&[0; RECORD_LEN], index::offset(slot))
                .map_err(self.failed_index("write")),
            None => Ok(()),
        }
    }

    /// Sweeps both files. `live` has the slots that hold a block, each with the block's length, and is sorted. Returns
    /// the class, the bytes that its index takes, and the slots that could not be freed.
    fn sweep(
        self,
        space: &Space,
        live: &[(u32, u32)],
    ) -> Result<(ClassFile, u64, Vec<Unfreed>), StagingError> {
        let (class, unit) = (self.class, space.unit());
        let index = IndexFile::new(class, unit);
        let mut index_bytes = 0;
        let failed = self.failed_index("sweep");
        if let Some(file) = self.index {
            sweep::index(&file, unit, live).map_err(failed)?;
            reached(Step::IndexSwept);
            index_bytes = index.restore(file, self.index_len, live);
        }
        let Some(file) = self.slots else {
            return Ok((
                ClassFile::new(class_bytes(class), Some(index)),
                index_bytes,
                vec![],
            ));
        };
        let name = slots::name(class_bytes(class));
        let lost = sweep::slots(&file, class_bytes(class), unit, live, &index)
            .map_err(|error| StagingError::of("sweep", &name, error))?;
        reached(Step::SlotsSwept);
        let charges = live.iter().map(|(_, len)| space.charge((*len).into()));
        let data_bytes = charges.sum::<u64>() + lost.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let swept = ClassFile::new(class_bytes(class), Some(index));
        swept.restore(Restored {
            file,
            logical_len: self.slots_len,
            live,
            lost: &lost,
            data_bytes,
        });
        let lost = lost.into_iter().map(|(slot, charge)| Unfreed {
            at: SlotAddress { class, slot },
            charge,
        });
        Ok((swept, index_bytes, lost.collect()))
    }
}
