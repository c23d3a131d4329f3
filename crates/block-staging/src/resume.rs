//! A warm start: the blocks of a persistent directory are found again, and all other data is swept.
//!
//! It reads the index files, but no block. The blocks that it returns are unverified: their bytes are hashed before
//! their first use (I3). Only the process that holds the directory's lock may call it.
//!
//! The order: read the records; decide which stay (of two records of one block the younger; of all records, the
//! youngest that the budget has room for); clear the other records; punch the units of the index that hold no record;
//! punch the data in slot files that no record covers, except for slots that another process leases. Only then is
//! anything admitted. If the process is killed at any point, the next start does the rest.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::Arc,
};

use crate::{
    class::{CLASSES, SlotAddress, class_bytes, class_of},
    disk::{
        files::{self, Access},
        index::{self, IndexFile},
        journal::Journal,
        layout,
        record::{RECORD_LEN, Record},
        slots::{self, ClassFile, Restored},
        sweep,
    },
    error::StagingError,
    extent::Extent,
    key::{Key, KeyHash},
    lock_dir::StagingDir,
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
) -> Result<(Arc<Volume>, Vec<Warm>), StagingError> {
    layout::check_or_make(&dir)?;
    sweep::tidy(&dir)?;
    let suitable = probe::probe(&dir)?;
    let unit = suitable.unit;
    let space = Space::new(share, unit, suitable.kind, Beside::Index);
    let (mut found, mut misplaced) = (Vec::new(), Vec::new());
    let mut on_disk = Vec::with_capacity(CLASSES);
    for class in 0..CLASSES {
        let files = OnDisk::open(&dir, class, unit)?;
        files.read(unit, &mut found, &mut misplaced)?;
        on_disk.push(files);
    }
    let newest = found.iter().map(|it| it.record.change).max().unwrap_or(0);
    let (kept, dropped) = decide(found, &space);
    for at in dropped.iter().map(|it| it.at).chain(misplaced) {
        on_disk[at.class].clear(at.slot)?;
        reached(Step::DroppedAtStart);
    }
    let mut classes = Vec::with_capacity(CLASSES);
    let (mut index_bytes, mut unfreed) = (0, Vec::new());
    for files in on_disk {
        let of_class = kept.iter().filter(|it| it.at.class == files.class);
        let live: Vec<_> = of_class.map(|it| (it.at.slot, it.record.len)).collect();
        let (class, index, lost) = files.sweep(&space, live)?;
        classes.push(class);
        index_bytes += index;
        unfreed.extend(lost);
    }
    let lost_bytes = unfreed.iter().map(|lost| lost.charge).sum();
    space.take_over(index_bytes, lost_bytes);
    let journal = Journal::begin(&dir, newest)?;
    let read_way = suitable.read_way;
    let volume = Volume::new(dir, space, read_way, classes, Some(journal), unfreed);
    let volume = Arc::new(volume);
    // `decide` sorted the youngest first.
    let oldest_first = kept.into_iter().rev();
    let warm = oldest_first.map(|Place { record, at }| {
        let file = &volume.classes[at.class];
        let place = file
            .opened()
            .map(|opened| (opened.clone(), file.offset(at.slot)));
        let reservation = Reservation::of_what_is_there(&volume, record.len as usize);
        Warm {
            key: record.key,
            extent: Extent::own(reservation, place, at.slot),
        }
    });
    let warm = warm.collect();
    Ok((volume, warm))
}

/// Divides the found records into those that stay, youngest first, and those that do not.
fn decide(mut found: Vec<Place>, space: &Space) -> (Vec<Place>, Vec<Place>) {
    found.sort_unstable_by_key(|it| std::cmp::Reverse(it.record.change));
    let mut seen: HashSet<Key, KeyHash> = HashSet::default();
    let mut units = HashSet::new();
    let room = space.for_blocks();
    let mut taken = 0;
    found.into_iter().partition(|it| {
        let unit = (it.at.class, index::offset(it.at.slot) / space.unit());
        let of_index = match units.contains(&unit) {
            true => 0,
            false => space.unit(),
        };
        let takes = space.charge(u64::from(it.record.len)) + of_index;
        let stays = taken + takes <= room && seen.insert(it.record.key);
        if stays {
            taken += takes;
            units.insert(unit);
        }
        stays
    })
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
                // coverage: needs a file system that allocates more than 4096 bytes at once.
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
        // coverage: needs a disk that fails.
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
            // coverage: the record was read from that file.
            None => Ok(()),
        }
    }

    /// Sweeps both files. `live` has the slots that hold a block, each with the block's length. Returns the class, the
    /// bytes that its index takes, and the slots that could not be freed.
    fn sweep(
        self,
        space: &Space,
        live: Vec<(u32, u32)>,
    ) -> Result<(ClassFile, u64, Vec<Unfreed>), StagingError> {
        let (class, unit) = (self.class, space.unit());
        let index = IndexFile::new(class, unit);
        let slots: Vec<u32> = live.iter().map(|(slot, _)| *slot).collect();
        let mut index_bytes = 0;
        let failed = self.failed_index("sweep");
        if let Some(file) = self.index {
            sweep::index(&file, unit, &slots).map_err(failed)?;
            reached(Step::IndexSwept);
            index_bytes = index.restore(file, self.index_len, &slots);
        }
        let Some(file) = self.slots else {
            return Ok((
                ClassFile::new(class_bytes(class), Some(index)),
                index_bytes,
                vec![],
            ));
        };
        let covered: HashMap<u32, u64> = live
            .into_iter()
            .map(|(slot, len)| (slot, space.charge(u64::from(len))))
            .collect();
        let name = slots::name(class_bytes(class));
        let lost = sweep::slots(&file, class_bytes(class), unit, &covered, &index)
            .map_err(|error| StagingError::of("sweep", &name, error))?;
        reached(Step::SlotsSwept);
        let data_bytes = covered.values().sum::<u64>() + lost.values().sum::<u64>();
        let swept = ClassFile::new(class_bytes(class), Some(index));
        swept.restore(Restored {
            file,
            logical_len: self.slots_len,
            live: slots,
            lost: lost.keys().copied().collect(),
            data_bytes,
        });
        let lost = lost.into_iter().map(|(slot, charge)| Unfreed {
            at: SlotAddress { class, slot },
            charge,
        });
        Ok((swept, index_bytes, lost.collect()))
    }
}
