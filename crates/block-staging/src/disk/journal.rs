//! The journal of the index: its last changes, in a ring, from which followers learn what is new without reading the
//! index again.
//!
//! The file `changes` is a header and a ring of 16-byte entries, as many as its length has room for. Change number `n`
//! is at entry `1 + n % entries`. A reader waits for the entry with the next number; a later number in its place means
//! that the ring has wrapped around. One `pwrite` publishes a change, and one `pread` finds that there is none.
//!
//! The journal is only a hint: a follower that misses a change misses a block, or finds a changed record when it reads
//! the record again under its lease. A lost or torn entry costs a fetch.
//!
//! Invariant: a number that was taken is published, or the process ends. Readers wait for each number in turn, so a
//! gap would hide all later changes from them until the ring wraps around. An entry that could not be written is
//! written again with the next one.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::files::{self, Access};
use crate::{
    class::{CLASSES, JOURNAL_LEN, MAX_CHANGE, MAX_JOURNAL_LEN, SlotAddress},
    error::StagingError,
    lock_dir::StagingDir,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock},
};

/// The file's name.
pub(crate) const CHANGES: &str = "changes";

const ENTRY_LEN: u64 = 16;

/// The number of a change takes the low 56 bits of a word; its class takes the others.
const NUMBER_BITS: u32 = 56;

/// The journal, for its writer.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    len: u64,
    next: AtomicU64,
    /// The changes that could not be published so far, and whether there are any.
    unpublished: Mutex<Vec<(u64, SlotAddress)>>,
    any_unpublished: AtomicBool,
}

impl Journal {
    /// Opens the journal for its writer, with a length of `len` bytes. Its numbers continue after all that were published
    /// before, of which `known` is one. Readers find that they have missed everything.
    pub(crate) fn begin(dir: &StagingDir, known: u64, len: u64) -> Result<Self, StagingError> {
        let failed = |operation| move |error| StagingError::of(operation, CHANGES, error);
        let file = files::open(dir, CHANGES, Access::Make)?;
        let found = file.metadata().map_err(failed("stat"))?.len();
        let newest = newest(&file).map_err(failed("read"))?.max(known);
        // The whole ring is written: no later write allocates space, and a reader finds a greater number than it waits
        // for wherever it looks, whatever length it takes the ring to have.
        let mut all = Vec::with_capacity(len as usize);
        all.extend_from_slice(&u64::from(std::process::id()).to_le_bytes());
        all.resize(ENTRY_LEN as usize, 0);
        let entries = entries(len);
        let first = newest + 2;
        for place in 0..entries {
            // The one number from `first` to `first + entries - 1` that belongs there.
            let number = first + (entries + place - first % entries) % entries;
            all.extend_from_slice(&encode(number, SlotAddress { class: 0, slot: 0 }));
        }
        file.write_all_at(&all, 0).map_err(failed("write"))?;
        if found > len {
            file.set_len(len).map_err(failed("set_len"))?;
        }
        Ok(Self {
            file,
            len,
            next: AtomicU64::new(first + entries),
            unpublished: Mutex::default(),
            any_unpublished: AtomicBool::new(false),
        })
    }

    /// Takes the number of the next change. The caller must [publish](Self::publish) it, even if the change fails.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Publishes that the record of this slot has changed. Call it after the change.
    pub(crate) fn publish(&self, number: u64, at: SlotAddress) {
        let written = self.write(number, at);
        if written && !self.any_unpublished.load(Ordering::Relaxed) {
            return;
        }
        let mut unpublished = lock(&self.unpublished);
        match written {
            true => unpublished.retain(|(number, at)| !self.write(*number, *at)),
            false => unpublished.push((number, at)),
        }
        self.any_unpublished
            .store(!unpublished.is_empty(), Ordering::Relaxed);
    }

    fn write(&self, number: u64, at: SlotAddress) -> bool {
        let place = place(number, entries(self.len));
        self.file.write_all_at(&encode(number, at), place).is_ok()
    }
}

/// The changes that a reader has not seen before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    /// The records of these slots have changed, in this order.
    Of(Vec<SlotAddress>),
    /// More records have changed than the ring holds: read the whole index.
    TooMany,
}

/// The journal, for a reader.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    entries: u64,
    seen: u64,
}

impl Reader {
    /// Opens the journal, if it exists. Its present entries are not reported as updates: read the index after this.
    pub(crate) fn open(dir: &StagingDir) -> Result<Option<Self>, StagingError> {
        let Some(file) = files::open_existing(dir, CHANGES, Access::Read)? else {
            return Ok(None);
        };
        let failed = |error| StagingError::of("read", CHANGES, error);
        let entries = entries_of(&file).map_err(failed)?;
        let seen = newest(&file).map_err(failed)?;
        Ok(Some(Self {
            file,
            entries,
            seen,
        }))
    }

    /// Returns the changes since the last call.
    pub(crate) fn updates(&mut self) -> io::Result<Updates> {
        let mut changed = Vec::new();
        loop {
            match read(&self.file, place(self.seen + 1, self.entries))? {
                Found::Entry(number, at) if number == self.seen + 1 => {
                    self.seen = number;
                    changed.push(at);
                }
                Found::Entry(number, _) if number > self.seen => return self.missed(),
                // A new writer has made the ring shorter.
                Found::End if entries_of(&self.file)? != self.entries => return self.missed(),
                Found::Entry(..) | Found::Nothing | Found::End => return Ok(Updates::Of(changed)),
            }
        }
    }

    fn missed(&mut self) -> io::Result<Updates> {
        self.entries = entries_of(&self.file)?;
        self.seen = newest(&self.file)?;
        Ok(Updates::TooMany)
    }

    /// The id of the process that writes the journal, or that wrote it last.
    pub(crate) fn writer(&self) -> Option<u32> {
        let mut id = [0; 4];
        self.file.read_exact_at(&mut id, 0).ok()?;
        Some(u32::from_le_bytes(id)).filter(|id| *id != 0)
    }
}

/// The length of a directory's journal as it is, in bytes: one that [`Journal::begin`] takes.
pub(crate) fn found_len(dir: &StagingDir) -> Result<u64, StagingError> {
    let len = match files::open_existing(dir, CHANGES, Access::Read)? {
        Some(file) => file
            .metadata()
            .map_err(|error| StagingError::of("stat", CHANGES, error))?
            .len(),
        None => 0,
    };
    Ok(len.clamp(JOURNAL_LEN, MAX_JOURNAL_LEN) / ENTRY_LEN * ENTRY_LEN)
}

/// The greatest number in the ring.
fn newest(file: &File) -> io::Result<u64> {
    let mut newest = 0;
    let len = file.metadata()?.len().min(MAX_JOURNAL_LEN);
    let mut all = vec![0; len as usize];
    let read = files::read_at_most(file, &mut all, 0)?;
    for entry in all[..read].chunks_exact(ENTRY_LEN as usize).skip(1) {
        if let Some((number, _)) = entry.try_into().ok().and_then(decode) {
            newest = newest.max(number);
        }
    }
    Ok(newest)
}

/// The number of changes in a ring of this length. The header takes the place of one more.
fn entries(len: u64) -> u64 {
    len.clamp(JOURNAL_LEN, MAX_JOURNAL_LEN) / ENTRY_LEN - 1
}

fn entries_of(file: &File) -> io::Result<u64> {
    Ok(entries(file.metadata()?.len()))
}

fn place(number: u64, entries: u64) -> u64 {
    (1 + number % entries) * ENTRY_LEN
}

/// The content of a place in the ring.
enum Found {
    Entry(u64, SlotAddress),
    /// A torn entry, or none.
    Nothing,
    /// The file ends before it.
    End,
}

fn read(file: &File, at: u64) -> io::Result<Found> {
    let mut entry = [0; ENTRY_LEN as usize];
    Ok(match files::read_at_most(file, &mut entry, at)? {
        len if len < entry.len() => Found::End,
        _ => decode(entry).map_or(Found::Nothing, |(number, at)| Found::Entry(number, at)),
    })
}

fn encode(number: u64, at: SlotAddress) -> [u8; ENTRY_LEN as usize] {
    let word = number & ((1 << NUMBER_BITS) - 1) | (at.class as u64) << NUMBER_BITS;
    let mut entry = [0; ENTRY_LEN as usize];
    entry[..8].copy_from_slice(&word.to_le_bytes());
    entry[8..12].copy_from_slice(&at.slot.to_le_bytes());
    let checksum = crc32fast::hash(&entry[..12]);
    entry[12..].copy_from_slice(&checksum.to_le_bytes());
    entry
}

fn decode(entry: [u8; ENTRY_LEN as usize]) -> Option<(u64, SlotAddress)> {
    let [a, b, c, d, e, f, g, class, h, i, j, k, checksum @ ..] = entry;
    if u32::from_le_bytes(checksum) != crc32fast::hash(&entry[..12]) {
        return None;
    }
    let number = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
    let at = SlotAddress {
        class: usize::from(class),
        slot: u32::from_le_bytes([h, i, j, k]),
    };
    (at.class < CLASSES && (1..=MAX_CHANGE).contains(&number)).then_some((number, at))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::tests::private_dir_of;

    /// The number of changes in the shortest ring.
    const ENTRIES: u64 = JOURNAL_LEN / ENTRY_LEN - 1;

    fn change(slot: u32) -> SlotAddress {
        SlotAddress { class: 9, slot }
    }

    #[test]
    fn a_reader_learns_what_was_published_since_and_of_too_much() {
        let dir = tempfile::tempdir().unwrap();
        let dir = private_dir_of(dir.path());
        assert!(Reader::open(&dir).unwrap().is_none());
        let journal = Journal::begin(&dir, 0, JOURNAL_LEN).unwrap();
        let mut reader = Reader::open(&dir).unwrap().unwrap();
        assert_eq!(reader.writer(), Some(std::process::id()));
        let publish = |slot| journal.publish(journal.number(), change(slot));
        assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]));
        (0..3).for_each(publish);
        let all = (0..3).map(change).collect();
        assert_eq!(reader.updates().unwrap(), Updates::Of(all));
        (0..ENTRIES as u32).for_each(publish);
        let all = (0..ENTRIES as u32).map(change).collect();
        assert_eq!(reader.updates().unwrap(), Updates::Of(all));
        (0..=ENTRIES as u32).for_each(publish);
        assert_eq!(reader.updates().unwrap(), Updates::TooMany);
        assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]));
        // Two threads may publish out of order. The later change is not reported before the earlier one.
        let (first, second) = (journal.number(), journal.number());
        journal.publish(second, change(2));
        assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]));
        journal.publish(first, change(1));
        let both = vec![change(1), change(2)];
        assert_eq!(reader.updates().unwrap(), Updates::Of(both));
    }

    #[test]
    fn a_new_writer_is_noticed_wherever_the_reader_was() {
        for behind in [0, 1, 5] {
            let dir = tempfile::tempdir().unwrap();
            let dir = private_dir_of(dir.path());
            let first = Journal::begin(&dir, 40, JOURNAL_LEN).unwrap();
            let mut reader = Reader::open(&dir).unwrap().unwrap();
            (0..behind).for_each(|slot| first.publish(first.number(), change(slot)));
            let known = first.number() - 1;
            drop(first);
            let second = Journal::begin(&dir, 0, JOURNAL_LEN).unwrap();
            assert_eq!(
                reader.updates().unwrap(),
                Updates::TooMany,
                "{behind} behind"
            );
            assert!(second.number() > known);
            assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]));
        }
    }

    #[test]
    fn what_is_torn_or_strange_is_not_an_update() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging").join(CHANGES);
        let dir = private_dir_of(dir.path());
        let journal = Journal::begin(&dir, 0, JOURNAL_LEN).unwrap();
        let mut reader = Reader::open(&dir).unwrap().unwrap();
        let number = journal.number();
        for bit in 0..128 {
            let mut entry = encode(number, change(4));
            entry[bit / 8] ^= 1 << (bit % 8);
            let place = place(number, ENTRIES);
            journal.file.write_all_at(&entry, place).unwrap();
            assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]), "bit {bit}");
        }
        std::fs::write(path, b"short").unwrap();
        assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]));
        assert!(Journal::begin(&dir, 3, JOURNAL_LEN).unwrap().number() > 3);
    }

    #[test]
    fn a_ring_of_another_length_is_noticed_wherever_the_reader_was() {
        for (before, after) in [
            (JOURNAL_LEN, MAX_JOURNAL_LEN),
            (MAX_JOURNAL_LEN, JOURNAL_LEN),
            (4 * JOURNAL_LEN, 2 * JOURNAL_LEN),
        ] {
            for behind in [0, 1, 1022, 1023, 2000, 70_000] {
                let dir = tempfile::tempdir().unwrap();
                let dir = private_dir_of(dir.path());
                let first = Journal::begin(&dir, 40, before).unwrap();
                let mut reader = Reader::open(&dir).unwrap().unwrap();
                (0..behind).for_each(|slot| first.publish(first.number(), change(slot)));
                drop(first);
                let second = Journal::begin(&dir, 0, after).unwrap();
                assert_eq!(found_len(&dir).unwrap(), after);
                let what = format!("{behind} behind, from {before} to {after}");
                assert_eq!(reader.updates().unwrap(), Updates::TooMany, "{what}");
                assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]), "{what}");
                second.publish(second.number(), change(7));
                assert_eq!(
                    reader.updates().unwrap(),
                    Updates::Of(vec![change(7)]),
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn what_could_not_be_published_is_published_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let dir = private_dir_of(dir.path());
        let mut journal = Journal::begin(&dir, 0, JOURNAL_LEN).unwrap();
        let mut reader = Reader::open(&dir).unwrap().unwrap();
        // Writes to a file that was opened for reading fail.
        let unwritable = files::open(&dir, CHANGES, Access::Read).unwrap();
        let file = std::mem::replace(&mut journal.file, unwritable);
        journal.publish(journal.number(), change(1));
        journal.publish(journal.number(), change(2));
        journal.file = file;
        assert_eq!(reader.updates().unwrap(), Updates::Of(vec![]));
        journal.publish(journal.number(), change(3));
        let all = (1..4).map(change).collect();
        assert_eq!(reader.updates().unwrap(), Updates::Of(all));
    }
}
