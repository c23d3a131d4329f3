//! The last changes of the index, in a ring: by it those that read along learn what is new without reading the
//! index again.
//!
//! The file `changes` is a header and [`ENTRIES`] entries of 16 bytes; change number `n` stands at entry
//! `n % ENTRIES`. An entry of the number that comes next is news; one of a later number says that the ring has gone
//! round. One `pwrite` tells of a change, one `pread` finds that there is none.
//!
//! It is a hint and nothing else: who misses a change misses a block, or finds a record that has changed when it
//! reads it again under its lease. Whatever is lost or torn of it costs a fetch.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    StagingError,
    files::{self, Access},
};
use crate::lock_dir::StagingDir;

/// The file's name.
pub(crate) const CHANGES: &str = "changes";

/// The file's length, in bytes: all of it is written when it is made, so that it takes what it takes.
pub(crate) const CHANGES_LEN: u64 = 16 * 1024;

const ENTRY_LEN: u64 = 16;

/// How many changes are remembered; the header has the place of one.
const ENTRIES: u64 = CHANGES_LEN / ENTRY_LEN - 1;

/// A change's number takes the low 56 bits of a word, its class the others.
const NUMBER_BITS: u32 = 56;

/// A slot whose record has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) class: usize,
    pub(crate) slot: u32,
}

/// The ring, of the one that writes it.
#[derive(Debug)]
pub(crate) struct Changes {
    file: File,
    next: AtomicU64,
}

impl Changes {
    /// Opens the ring for its writer, after whatever was told before, of which `known` is a number. Readers find
    /// that they have missed everything.
    pub(crate) fn begin(dir: &StagingDir, known: u64) -> Result<Self, StagingError> {
        let failed = |operation| move |error| StagingError::of(operation, CHANGES, error);
        let file = files::open(dir, CHANGES, Access::Make)?;
        let len = file.metadata().map_err(failed("stat"))?.len();
        if len > CHANGES_LEN {
            file.set_len(CHANGES_LEN).map_err(failed("set_len"))?;
        }
        let newest = newest(&file).map_err(failed("read"))?.max(known);
        // Written as it is read, so that no hole is in it and no write takes space later.
        let mut all = vec![0; CHANGES_LEN as usize];
        files::read_at_most(&file, &mut all, 0).map_err(failed("read"))?;
        all[..4].copy_from_slice(&std::process::id().to_le_bytes());
        file.write_all_at(&all, 0).map_err(failed("write"))?;
        let changes = Self {
            file,
            next: AtomicU64::new(newest + 1 + ENTRIES),
        };
        let first = changes.number();
        changes.tell(first, Change { class: 0, slot: 0 });
        Ok(changes)
    }

    /// The number for the next change.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells of a change, after it was made.
    pub(crate) fn tell(&self, number: u64, change: Change) {
        let entry = encode(number, change);
        // A change that is not told of is found when the block is looked for in vain, or leased in vain.
        let _ = self.file.write_all_at(&entry, place(number));
    }
}

/// What a reader learns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// These have changed, in this order.
    Changed(Vec<Change>),
    /// More than is remembered: the whole index is to be read, up to which this number is known then.
    TooMany,
}

/// The ring, of one that reads it.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    seen: u64,
}

impl Reader {
    /// Opens the ring, if there is one. What is there now is not news: read the index after this.
    pub(crate) fn open(dir: &StagingDir) -> Result<Option<Self>, StagingError> {
        let Some(file) = files::open_existing(dir, CHANGES, Access::Read)? else {
            return Ok(None);
        };
        let seen = newest(&file).map_err(|error| StagingError::of("read", CHANGES, error))?;
        Ok(Some(Self { file, seen }))
    }

    /// What has changed since the last time.
    pub(crate) fn news(&mut self) -> io::Result<News> {
        let mut changed = Vec::new();
        loop {
            match read(&self.file, place(self.seen + 1))? {
                Some((number, change)) if number == self.seen + 1 => {
                    self.seen = number;
                    changed.push(change);
                }
                Some((number, _)) if number > self.seen => {
                    self.seen = newest(&self.file)?;
                    return Ok(News::TooMany);
                }
                Some(_) | None => return Ok(News::Changed(changed)),
            }
        }
    }

    /// The process that writes the ring, or wrote it last.
    pub(crate) fn writer(&self) -> Option<u32> {
        let mut id = [0; 4];
        self.file.read_exact_at(&mut id, 0).ok()?;
        Some(u32::from_le_bytes(id)).filter(|id| *id != 0)
    }
}

/// The greatest number in the ring.
fn newest(file: &File) -> io::Result<u64> {
    let mut newest = 0;
    let mut all = vec![0; CHANGES_LEN as usize];
    let read = files::read_at_most(file, &mut all, 0)?;
    for entry in all[..read].chunks_exact(ENTRY_LEN as usize).skip(1) {
        if let Some((number, _)) = entry.try_into().ok().and_then(decode) {
            newest = newest.max(number);
        }
    }
    Ok(newest)
}

fn place(number: u64) -> u64 {
    (1 + number % ENTRIES) * ENTRY_LEN
}

fn read(file: &File, at: u64) -> io::Result<Option<(u64, Change)>> {
    let mut entry = [0; ENTRY_LEN as usize];
    let read = files::read_at_most(file, &mut entry, at)?;
    Ok((read == entry.len()).then(|| decode(entry)).flatten())
}

fn encode(number: u64, change: Change) -> [u8; ENTRY_LEN as usize] {
    let word = number & ((1 << NUMBER_BITS) - 1) | (change.class as u64) << NUMBER_BITS;
    let mut entry = [0; ENTRY_LEN as usize];
    entry[..8].copy_from_slice(&word.to_le_bytes());
    entry[8..12].copy_from_slice(&change.slot.to_le_bytes());
    let checksum = crc32fast::hash(&entry[..12]);
    entry[12..].copy_from_slice(&checksum.to_le_bytes());
    entry
}

fn decode(entry: [u8; ENTRY_LEN as usize]) -> Option<(u64, Change)> {
    let [a, b, c, d, e, f, g, class, h, i, j, k, checksum @ ..] = entry;
    if u32::from_le_bytes(checksum) != crc32fast::hash(&entry[..12]) {
        return None;
    }
    let number = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
    let change = Change {
        class: usize::from(class),
        slot: u32::from_le_bytes([h, i, j, k]),
    };
    (change.class < super::CLASSES && number > 0).then_some((number, change))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::private_dir_of, *};

    fn change(slot: u32) -> Change {
        Change { class: 9, slot }
    }

    #[test]
    fn a_reader_learns_of_what_was_told_since_and_of_too_much() {
        let dir = tempfile::tempdir().unwrap();
        let dir = private_dir_of(dir.path());
        assert!(Reader::open(&dir).unwrap().is_none());
        let changes = Changes::begin(&dir, 0).unwrap();
        let mut reader = Reader::open(&dir).unwrap().unwrap();
        assert_eq!(reader.writer(), Some(std::process::id()));
        let tell = |slot| changes.tell(changes.number(), change(slot));
        assert_eq!(reader.news().unwrap(), News::Changed(vec![]));
        (0..3).for_each(tell);
        let all = (0..3).map(change).collect();
        assert_eq!(reader.news().unwrap(), News::Changed(all));
        (0..ENTRIES as u32).for_each(tell);
        let all = (0..ENTRIES as u32).map(change).collect();
        assert_eq!(reader.news().unwrap(), News::Changed(all));
        (0..=ENTRIES as u32).for_each(tell);
        assert_eq!(reader.news().unwrap(), News::TooMany);
        assert_eq!(reader.news().unwrap(), News::Changed(vec![]));
        // Out of order, as two threads may be: not before it is its turn.
        let (first, second) = (changes.number(), changes.number());
        changes.tell(second, change(2));
        assert_eq!(reader.news().unwrap(), News::Changed(vec![]));
        changes.tell(first, change(1));
        let both = vec![change(1), change(2)];
        assert_eq!(reader.news().unwrap(), News::Changed(both));
    }

    #[test]
    fn a_new_writer_is_noticed_wherever_the_reader_was() {
        for behind in [0, 1, 5] {
            let dir = tempfile::tempdir().unwrap();
            let dir = private_dir_of(dir.path());
            let first = Changes::begin(&dir, 40).unwrap();
            let mut reader = Reader::open(&dir).unwrap().unwrap();
            (0..behind).for_each(|slot| first.tell(first.number(), change(slot)));
            let known = first.number() - 1;
            drop(first);
            let second = Changes::begin(&dir, 0).unwrap();
            assert_eq!(reader.news().unwrap(), News::TooMany, "{behind} behind");
            assert!(second.number() > known);
            assert_eq!(reader.news().unwrap(), News::Changed(vec![]));
        }
    }

    #[test]
    fn what_is_torn_or_strange_is_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staging").join(CHANGES);
        let dir = private_dir_of(dir.path());
        let changes = Changes::begin(&dir, 0).unwrap();
        let mut reader = Reader::open(&dir).unwrap().unwrap();
        let number = changes.number();
        for bit in 0..128 {
            let mut entry = encode(number, change(4));
            entry[bit / 8] ^= 1 << (bit % 8);
            changes.file.write_all_at(&entry, place(number)).unwrap();
            assert_eq!(reader.news().unwrap(), News::Changed(vec![]), "bit {bit}");
        }
        std::fs::write(path, b"short").unwrap();
        assert_eq!(reader.news().unwrap(), News::Changed(vec![]));
        assert!(Changes::begin(&dir, 3).unwrap().number() > 3);
    }
}
