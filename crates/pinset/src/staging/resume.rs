//! A warm start: what a persistent directory holds is found again, and what does not belong there is swept.
//!
//! Reads the index files and no block. What it hands out is unverified: bytes are hashed before their first use
//! (I3). For the process that holds the directory's lock.
//!
//! In this order: read the records; decide which stay (of two of one block the younger; of all, the youngest that
//! the budget has room for); clear the others' records; punch the units of the index that hold no record; punch what
//! is allocated in slot files and no record covers, but for slots that another process leases; only then is anything
//! admitted. Killed anywhere in it, the next start does the rest.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::{
    CLASSES, Extent, Reservation, Staging, StagingError,
    changes::Changes,
    class_bytes,
    files::{self, Access},
    index::{self, IndexFile},
    layout, platform,
    probe::{self, Suitable},
    record::{RECORD_LEN, Record},
    slots::{self, ClassFile, Found},
    space::{Beside, Space},
    steps::{Step, reached},
};
use crate::{
    block::{Key, KeyHash},
    budget::Share,
    lock_dir::StagingDir,
};

/// How much of an index file is read at once, in bytes.
const AT_ONCE: usize = 1024 * 1024;

/// A block that an earlier run left. Nobody has verified it in this one.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) key: Key,
    pub(crate) extent: Extent,
}

/// Where a record was found.
struct Place {
    record: Record,
    class: usize,
    slot: u32,
}

/// The files of one class, as they are found.
struct OnDisk {
    class: usize,
    slots: Option<File>,
    slots_len: u64,
    index: Option<File>,
    index_len: u64,
}

/// Opens the directory, whose lock this process holds, and says what is in it: the blocks that were admitted first
/// come first.
pub(super) fn resume(
    dir: StagingDir,
    share: Arc<Share>,
) -> Result<(Staging, Vec<Warm>), StagingError> {
    layout::check_or_make(&dir)?;
    files::tidy(&dir)?;
    let suitable = probe::probe(&dir)?;
    let unit = suitable.unit;
    let space = Space::new(share, unit, suitable.kind, Beside::Index);
    let mut found = Vec::new();
    let mut on_disk = Vec::with_capacity(CLASSES);
    for class in 0..CLASSES {
        let files = OnDisk::open(&dir, class, unit)?;
        files.read(unit, &mut found)?;
        on_disk.push(files);
    }
    let newest = found.iter().map(|at| at.record.change).max().unwrap_or(0);
    let (kept, dropped) = decide(found, &space);
    for at in &dropped {
        on_disk[at.class].clear(at.slot)?;
        reached(Step::DroppedAtStart);
    }
    let mut classes = Vec::with_capacity(CLASSES);
    let (mut index_bytes, mut unfreed) = (0, Vec::new());
    for files in on_disk {
        let of_class = kept.iter().filter(|at| at.class == files.class);
        let live: Vec<_> = of_class.map(|at| (at.slot, at.record.len)).collect();
        let (class, index, lost) = files.sweep(&space, live)?;
        classes.push(class);
        index_bytes += index;
        unfreed.extend(lost);
    }
    let lost_bytes = unfreed.iter().map(|lost| lost.charge).sum();
    space.take_over(index_bytes, lost_bytes);
    let changes = Changes::begin(&dir, newest)?;
    let Suitable { read_way, .. } = suitable;
    let staging = Staging::over(dir, space, read_way, classes, Some(changes), unfreed);
    let mut warm = Vec::with_capacity(kept.len());
    // The youngest came first.
    for at in kept.into_iter().rev() {
        let len = at.record.len as usize;
        let file = &staging.inner.classes[at.class];
        let place = file
            .opened()
            .map(|opened| (opened.clone(), file.offset(at.slot)));
        let reservation = Reservation::of_what_is_there(&staging.inner, len);
        warm.push(Warm {
            key: at.record.key,
            extent: Extent::own(reservation, place, at.slot),
        });
    }
    Ok((staging, warm))
}

/// Which of what was found stays, youngest first, and which does not.
fn decide(mut found: Vec<Place>, space: &Space) -> (Vec<Place>, Vec<Place>) {
    found.sort_unstable_by_key(|at| std::cmp::Reverse(at.record.change));
    let mut seen: HashSet<Key, KeyHash> = HashSet::default();
    let mut units = HashSet::new();
    let room = space.for_blocks();
    let mut taken = 0;
    found.into_iter().partition(|at| {
        let unit = (at.class, index::offset(at.slot) / space.unit());
        let of_index = match units.contains(&unit) {
            true => 0,
            false => space.unit(),
        };
        let takes = space.charge(u64::from(at.record.len)) + of_index;
        let stays = taken + takes <= room && seen.insert(at.record.key);
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
                // Of a file system with smaller units: here, two slots would share one.
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

    /// The records of blocks that can lie where they say.
    fn read(&self, unit: u64, into: &mut Vec<Place>) -> Result<(), StagingError> {
        let Some(file) = &self.index else {
            return Ok(());
        };
        let class = self.class;
        let start = |slot: u32| u64::from(slot) * class_bytes(class);
        records(file, class, |slot, record| {
            let len = u64::from(record.len);
            if super::class_of(len, unit) == class && start(slot) + len <= self.slots_len {
                into.push(Place {
                    record,
                    class,
                    slot,
                });
            }
        })
        .map_err(self.failed_index("read"))
    }

    fn clear(&self, slot: u32) -> Result<(), StagingError> {
        match &self.index {
            Some(file) => file
                .write_all_at(&[0; RECORD_LEN], index::offset(slot))
                .map_err(self.failed_index("write")),
            // coverage: what is to be cleared was read out of that file.
            None => Ok(()),
        }
    }

    /// Sweeps both files, in which these slots hold blocks of such lengths. What the index takes, and what could
    /// not be freed, go with the class.
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
            sweep_index(&file, unit, &slots).map_err(failed)?;
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
        let lost = sweep_slots(&file, class_bytes(class), &covered, &index)
            .map_err(|error| StagingError::of("sweep", &name, error))?;
        reached(Step::SlotsSwept);
        let data_bytes = covered.values().sum::<u64>() + lost.values().sum::<u64>();
        let swept = ClassFile::new(class_bytes(class), Some(index));
        swept.restore(Found {
            file,
            logical_len: self.slots_len,
            live: slots,
            lost: lost.keys().copied().collect(),
            data_bytes,
        });
        let lost = lost.into_iter().map(|(slot, charge)| Unfreed {
            class,
            slot,
            charge,
        });
        Ok((swept, index_bytes, lost.collect()))
    }
}

/// A slot that could not be freed so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfreed {
    pub(crate) class: usize,
    pub(crate) slot: u32,
    /// What it takes, in bytes.
    pub(crate) charge: u64,
}

/// Gives every record of an index file that is good in its place.
pub(super) fn records(
    file: &File,
    class: usize,
    mut give: impl FnMut(u32, Record),
) -> io::Result<()> {
    let mut buffer = Vec::new();
    for range in platform::data_ranges(file)? {
        let mut at = range.start / RECORD_LEN as u64 * RECORD_LEN as u64;
        while at < range.end {
            buffer.resize(
                AT_ONCE.min((range.end - at).next_multiple_of(RECORD_LEN as u64) as usize),
                0,
            );
            let read = files::read_at_most(file, &mut buffer, at)?;
            let Some(first) = u32::try_from(at / RECORD_LEN as u64).ok() else {
                // coverage: needs 2^32 records, in a file of 512 GiB.
                return Ok(());
            };
            let (whole, _) = buffer[..read].as_chunks::<RECORD_LEN>();
            for (slot, bytes) in (first..).zip(whole) {
                if let Some(record) = Record::decode(bytes, class, slot) {
                    give(slot, record);
                }
            }
            if read < buffer.len() {
                break;
            }
            at += read as u64;
        }
    }
    Ok(())
}

/// Punches the units of an index file in which none of these slots has its record.
fn sweep_index(file: &File, unit: u64, live: &[u32]) -> io::Result<()> {
    let units: HashSet<u64> = live
        .iter()
        .map(|slot| index::offset(*slot) / unit)
        .collect();
    for range in platform::data_ranges(file)? {
        for n in range.start / unit..range.end.div_ceil(unit) {
            if !units.contains(&n) {
                platform::punch(file, n * unit, unit)?;
            }
        }
    }
    Ok(())
}

/// Punches what is allocated in a slot file beyond what is `covered`, from a slot's beginning on. What it could not,
/// since the slot is leased: the slot, and how much of it is allocated.
fn sweep_slots(
    file: &File,
    class_bytes: u64,
    covered: &HashMap<u32, u64>,
    index: &IndexFile,
) -> io::Result<HashMap<u32, u64>> {
    let mut lost = HashMap::new();
    for range in platform::data_ranges(file)? {
        for n in range.start / class_bytes..range.end.div_ceil(class_bytes) {
            let start = n * class_bytes;
            let slot = u32::try_from(n).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let kept = covered.get(&slot).copied();
            let from = range.start.max(start + kept.unwrap_or(0));
            let stray: Range<u64> = from..range.end.min(start + class_bytes);
            if stray.is_empty() {
                continue;
            }
            // Behind a block there is nothing that anybody could lease.
            let free = kept.is_some() || index.claim(slot)?;
            if free {
                platform::punch(file, stray.start, stray.end - stray.start)?;
            } else {
                *lost.entry(slot).or_insert(0) += stray.end - stray.start;
            }
            if kept.is_none() {
                index.release(slot);
            }
        }
    }
    Ok(lost)
}
