//! The file `shares`: how the processes on one directory divide its budget.
//!
//! It has 64 rows of 64 bytes, each inside one sector. The first is the head: the total, and the part of it that the
//! directory's own files may take. Each other row is a seat: a process holds a lock on the row's bytes for as long as
//! it has the seat, and the row says how much its [part](part_name) of the directory may take. The lock ends with the
//! process, however that ends.
//!
//! Invariant: rows are read and written under the lock of the head's bytes.

use std::{fs::File, io, os::unix::fs::FileExt, time::Duration};

use super::files::{self, Access};
use crate::{
    error::StagingError,
    lock_dir::StagingDir,
    platform::{self, RangeLock},
    sync::sleep,
};

/// The file's name.
pub(crate) const SHARES: &str = "shares";

/// The number of seats.
pub(crate) const SEATS: usize = ROWS - 1;

const ROWS: usize = 64;
const ROW_LEN: usize = 64;

/// The first bytes of a row: three letters, and the version of the layout.
const MAGIC: [u8; 4] = *b"PSS\x02";

/// Where the bytes covered by a row's checksum begin.
const CHECKED_FROM: usize = 8;

/// How often the lock of the head is tried, and the pause in between. It is held for a moment.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// The name of the directory with the blocks that the holder of a seat stages apart from the directory's writer.
pub(crate) fn part_name(seat: usize) -> String {
    format!("part-{seat}")
}

/// The file, opened by one process. Its locks belong to this open file.
#[derive(Debug)]
pub(crate) struct Shares {
    file: File,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// `None` until a writer has set it, or if it is damaged.
    pub(crate) head: Option<Head>,
    /// The seats, by number minus one; `None` for one that is free, or damaged.
    seats: [Option<Seat>; SEATS],
}

/// The first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The bytes that the directory may take in all.
    pub(crate) total: u64,
    /// The bytes that its own files may take. They stay when the writer ends, since the files do.
    pub(crate) main: u64,
}

/// A seat that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The bytes that the part may take.
    pub(crate) part: u64,
    /// The process that has the seat, for people.
    pub(crate) process: u32,
}

impl Table {
    /// The seat with this number, if it is taken.
    pub(crate) fn seat(&self, seat: usize) -> Option<Seat> {
        seat.checked_sub(1).and_then(|at| *self.seats.get(at)?)
    }

    /// The numbers of the seats that are taken.
    pub(crate) fn taken(&self) -> impl Iterator<Item = usize> {
        (1..ROWS).filter(|seat| self.seat(*seat).is_some())
    }

    /// The bytes that all parts may take.
    pub(crate) fn parts(&self) -> u64 {
        let parts = self.seats.iter().flatten().map(|seat| seat.part);
        parts.fold(0, u64::saturating_add)
    }
}

impl Shares {
    /// Opens the file. Creates it if it does not exist.
    pub(crate) fn open(dir: &StagingDir) -> Result<Self, StagingError> {
        let file = files::open(dir, SHARES, Access::Make)?;
        Ok(Self { file })
    }

    /// Takes the lock of the head. Returns `None` if another process keeps it: it was stopped at this very moment.
    pub(crate) fn lock(&self) -> io::Result<Option<Locked<'_>>> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(PAUSE);
            }
            if platform::lock_range(&self.file, RangeLock::Exclusive, 0, ROW_LEN)? {
                return Ok(Some(Locked { file: &self.file }));
            }
        }
        Ok(None)
    }
}

/// The file, while this process has the lock of the head.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    file: &'a File,
}

impl Locked<'_> {
    /// Allocates the whole file, so that no later write needs space.
    pub(crate) fn allocate(&self) -> io::Result<()> {
        let len = (ROWS * ROW_LEN) as u64;
        match self.file.metadata()?.len() {
            there if there == len => Ok(()),
            there if there > len => self.file.set_len(len),
            there => {
                let missing = vec![0; (len - there) as usize];
                self.file.write_all_at(&missing, there)
            }
        }
    }

    pub(crate) fn read(&self) -> io::Result<Table> {
        let mut bytes = [0; ROWS * ROW_LEN];
        files::read_at_most(self.file, &mut bytes, 0)?;
        let (rows, _) = bytes.as_chunks::<ROW_LEN>();
        let mut table = Table {
            head: None,
            seats: [None; SEATS],
        };
        for (n, row) in rows.iter().enumerate() {
            let Some((first, second)) = decode(row, n) else {
                continue;
            };
            match n.checked_sub(1) {
                None => {
                    table.head = Some(Head {
                        total: first,
                        main: second,
                    });
                }
                Some(at) => {
                    table.seats[at] = Some(Seat {
                        part: first,
                        process: second as u32,
                    });
                }
            }
        }
        Ok(table)
    }

    pub(crate) fn set_head(&self, head: Head) -> io::Result<()> {
        self.write(0, &encode(0, head.total, head.main))
    }

    pub(crate) fn set_seat(&self, number: usize, seat: Option<Seat>) -> io::Result<()> {
        let row = seat.map(|seat| encode(number, seat.part, u64::from(seat.process)));
        self.write(number, &row.unwrap_or([0; ROW_LEN]))
    }

    /// Takes the lock of a seat, if no process has it. Returns whether it did.
    pub(crate) fn take(&self, seat: usize) -> io::Result<bool> {
        platform::lock_range(self.file, RangeLock::Exclusive, offset(seat), ROW_LEN)
    }

    /// Releases the lock of a seat.
    pub(crate) fn release(&self, seat: usize) {
        // Unlocking does not fail.
        let _ = platform::lock_range(self.file, RangeLock::Unlocked, offset(seat), ROW_LEN);
    }

    fn write(&self, row: usize, bytes: &[u8; ROW_LEN]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset(row))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Unlocking does not fail.
        let _ = platform::lock_range(self.file, RangeLock::Unlocked, 0, ROW_LEN);
    }
}

fn offset(row: usize) -> u64 {
    (row * ROW_LEN) as u64
}

fn encode(row: usize, first: u64, second: u64) -> [u8; ROW_LEN] {
    let mut bytes = [0; ROW_LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&first.to_le_bytes());
    bytes[16..24].copy_from_slice(&second.to_le_bytes());
    bytes[24] = row as u8;
    let checksum = crc32fast::hash(&bytes[CHECKED_FROM..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The two numbers in a row; `None` if any of its bytes differs from what was written.
fn decode(bytes: &[u8; ROW_LEN], row: usize) -> Option<(u64, u64)> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let (first, second) = (number(8)?, number(16)?);
    (*bytes == encode(row, first, second)).then_some((first, second))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::tests::private_dir_of;

    #[test]
    fn what_is_written_is_read_and_nothing_that_differs_by_a_bit() {
        let dir = tempfile::tempdir().unwrap();
        let dir = private_dir_of(dir.path());
        let shares = Shares::open(&dir).unwrap();
        let locked = shares.lock().unwrap().unwrap();
        locked.allocate().unwrap();
        let empty = locked.read().unwrap();
        assert_eq!((empty.head, empty.taken().count()), (None, 0));
        let head = Head {
            total: 1 << 40,
            main: 1 << 30,
        };
        let seat = |part| Seat { part, process: 77 };
        locked.set_head(head).unwrap();
        locked.set_seat(1, Some(seat(5))).unwrap();
        locked.set_seat(SEATS, Some(seat(6))).unwrap();
        let table = locked.read().unwrap();
        assert_eq!((table.head, table.parts()), (Some(head), 11));
        assert_eq!(table.taken().collect::<Vec<_>>(), [1, SEATS]);
        assert_eq!(table.seat(SEATS), Some(seat(6)));
        assert_eq!((table.seat(0), table.seat(SEATS + 1)), (None, None));
        let row = encode(7, 8, 9);
        for bit in 0..ROW_LEN * 8 {
            let mut flipped = row;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, 7), None, "bit {bit}");
        }
        assert_eq!(decode(&row, 8), None);
        locked.set_seat(1, None).unwrap();
        assert_eq!(locked.read().unwrap().seat(1), None);
    }

    #[test]
    fn a_seat_and_the_head_are_one_open_files_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let dir = private_dir_of(dir.path());
        let [one, other] = [(); 2].map(|()| Shares::open(&dir).unwrap());
        let locked = one.lock().unwrap().unwrap();
        assert!(locked.take(3).unwrap());
        assert!(other.lock().unwrap().is_none());
        drop(locked);
        let locked = other.lock().unwrap().unwrap();
        assert!(!locked.take(3).unwrap());
        drop(one);
        assert!(locked.take(3).unwrap());
    }
}
