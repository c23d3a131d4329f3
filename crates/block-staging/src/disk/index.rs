//! The index file of one class: the record of each slot, at `slot * RECORD_LEN`.
//!
//! It owns the records and the space that they take: a unit of the file is reserved before the first record in it
//! is written, and given back once the last is cleared and the unit is punched (I2). It also owns the claims: a
//! follower in another process leases a slot by a shared lock on its record's byte range, and the writer locks the
//! range exclusively before it frees the slot.
//!
//! Invariant: a unit without a record is punched, or still charged.

use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt, sync::OnceLock};

use super::{
    files::{self, Access},
    record::{RECORD_LEN, Record},
};
use crate::{
    class::class_bytes,
    error::StagingError,
    key::KeyHash,
    lock_dir::StagingDir,
    platform::{self, RangeLock},
    space::Space,
    sync::{Mutex, MutexGuard, lock},
};

/// How much of an index file is read at once, in bytes.
pub(crate) const AT_ONCE: u64 = 1024 * 1024;

/// The step by which a file's logical length grows, in bytes. The file is lengthened before a write, since XFS
/// preallocates beyond the end.
const GROWTH: u64 = 1024 * 1024;

/// The name of the index file of a class, by the length of its slots in bytes.
pub(crate) fn name(class_bytes: u64) -> String {
    format!("index-{class_bytes}")
}

/// The offset of a slot's record, in bytes.
pub(crate) fn offset(slot: u32) -> u64 {
    u64::from(slot) * RECORD_LEN as u64
}

/// The index file of one class, for the writer.
#[derive(Debug)]
pub(crate) struct IndexFile {
    /// The class's number.
    class: usize,
    /// The allocation unit of the file system, in bytes.
    unit: u64,
    file: OnceLock<File>,
    units: Mutex<Units>,
}

#[derive(Debug, Default)]
struct Units {
    /// The units that have a record or are charged, by number. Not a list: the numbers in a damaged directory can be
    /// large.
    by_number: HashMap<usize, Unit, KeyHash>,
    /// The slots that have a record: one bit for each, in words that are not zero.
    recorded: HashMap<u32, u64, KeyHash>,
    logical_len: u64,
    charged: u64,
}

impl Units {
    /// Sets or clears a slot's bit. Returns whether that changed it.
    fn mark(&mut self, slot: u32, recorded: bool) -> bool {
        let (at, bit) = (slot / 64, 1 << (slot % 64));
        let before = self.recorded.get(&at).copied().unwrap_or(0);
        let after = match recorded {
            true => before | bit,
            false => before & !bit,
        };
        match after {
            0 => self.recorded.remove(&at),
            _ => self.recorded.insert(at, after),
        };
        before != after
    }

    fn unit(&mut self, n: usize) -> &mut Unit {
        self.by_number.entry(n).or_default()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    /// The number of records in it.
    live: u32,
    /// Whether its space is reserved.
    charged: bool,
}

impl IndexFile {
    pub(crate) fn new(class: usize, unit: u64) -> Self {
        Self {
            class,
            unit,
            file: OnceLock::new(),
            units: Mutex::default(),
        }
    }

    /// The file, if it has been opened.
    pub(crate) fn opened(&self) -> Option<&File> {
        self.file.get()
    }

    /// The space reserved for the file, in bytes.
    pub(crate) fn charged(&self) -> u64 {
        self.lock().charged
    }

    fn name(&self) -> String {
        name(class_bytes(self.class))
    }

    /// Takes over an existing file, in which these slots have a record (each comes with its block's length) and every
    /// allocated unit has at least one. Returns the space of its units, in bytes.
    pub(crate) fn restore(&self, file: File, logical_len: u64, recorded: &[(u32, u32)]) -> u64 {
        let mut units = self.lock();
        if self.file.set(file).is_err() {
            return 0;
        }
        units.logical_len = logical_len;
        for (slot, _) in recorded {
            units.mark(*slot, true);
            let unit = units.unit(self.unit_of(*slot));
            unit.live += 1;
            if !std::mem::replace(&mut unit.charged, true) {
                units.charged += self.unit;
            }
        }
        units.charged
    }

    /// Writes a slot's record.
    ///
    /// # Errors
    /// [`StagingError::NoRoomForRecord`] where there is no room for another unit of the file; errors of the system.
    pub(crate) fn put(
        &self,
        dir: &StagingDir,
        space: &Space,
        slot: u32,
        record: &Record,
    ) -> Result<(), StagingError> {
        let failed = |operation| move |error| StagingError::of(operation, &self.name(), error);
        let mut units = self.lock();
        let file = self.file(dir)?;
        let end = offset(slot) + RECORD_LEN as u64;
        if end > units.logical_len {
            let longer = end.next_multiple_of(GROWTH);
            file.set_len(longer).map_err(failed("set_len"))?;
            units.logical_len = longer;
        }
        let n = self.unit_of(slot);
        if !units.by_number.get(&n).is_some_and(|unit| unit.charged) {
            if !space.take_index(self.unit) {
                return Err(StagingError::NoRoomForRecord);
            }
            units.unit(n).charged = true;
            units.charged += self.unit;
        }
        let written = file.write_all_at(&record.encode(self.class, slot), offset(slot));
        if written.is_ok() && units.mark(slot, true) {
            units.unit(n).live += 1;
        }
        self.give_back_if_empty(&mut units, space, n);
        written.map_err(failed("write"))
    }

    /// Clears a slot's record. Returns whether there was one.
    pub(crate) fn clear(&self, slot: u32) -> io::Result<bool> {
        let mut units = self.lock();
        let Some(file) = self.file.get() else {
            // The record could not be written, since the file could not be created.
            return Ok(false);
        };
        if !units.mark(slot, false) {
            return Ok(false);
        }
        if let Err(error) = file.write_all_at(&[0; RECORD_LEN], offset(slot)) {
            units.mark(slot, true);
            return Err(error);
        }
        let n = self.unit_of(slot);
        let unit = units.unit(n);
        unit.live = unit.live.saturating_sub(1);
        Ok(true)
    }

    /// Punches the unit of a slot's record and gives its space back, if no record is in it. Returns whether it did.
    pub(crate) fn give_back_unit(&self, space: &Space, slot: u32) -> bool {
        self.give_back_if_empty(&mut self.lock(), space, self.unit_of(slot))
    }

    /// Punches a unit without records. If that fails, the unit stays charged until the next try.
    fn give_back_if_empty(&self, units: &mut Units, space: &Space, n: usize) -> bool {
        let (Some(file), Some(unit)) = (self.file.get(), units.by_number.get(&n)) else {
            return false;
        };
        if unit.live > 0 || !unit.charged {
            return false;
        }
        if platform::punch(file, n as u64 * self.unit, self.unit).is_err() {
            return false;
        }
        units.by_number.remove(&n);
        units.charged -= self.unit;
        space.give_back_index(self.unit);
        true
    }

    /// Claims a slot, so that nobody can lease it. Returns `false` if somebody leases it already.
    ///
    /// A slot may be claimed again through the same file; the claim ends with [`release`](Self::release).
    pub(crate) fn claim(&self, slot: u32) -> io::Result<bool> {
        match self.file.get() {
            Some(file) => {
                platform::lock_range(file, RangeLock::Exclusive, offset(slot), RECORD_LEN)
            }
            None => Ok(true),
        }
    }

    /// Claims all slots. Returns `false` if somebody leases one.
    pub(crate) fn claim_all(file: &File) -> io::Result<bool> {
        // A length of zero reaches to the end of the file, wherever that will be.
        platform::lock_range(file, RangeLock::Exclusive, 0, 0)
    }

    /// Ends a claim.
    pub(crate) fn release(&self, slot: u32) {
        if let Some(file) = self.file.get() {
            // Unlocking does not fail; and a claim that stayed would only prevent leases.
            let _ = platform::lock_range(file, RangeLock::Unlocked, offset(slot), RECORD_LEN);
        }
    }

    /// The file, created if it does not exist. Called under the units' lock, so that no other thread creates it.
    fn file(&self, dir: &StagingDir) -> Result<&File, StagingError> {
        match self.file.get() {
            Some(file) => Ok(file),
            None => {
                let made = files::open(dir, &self.name(), Access::Make)?;
                Ok(self.file.get_or_init(|| made))
            }
        }
    }

    fn unit_of(&self, slot: u32) -> usize {
        (offset(slot) / self.unit) as usize
    }

    fn lock(&self) -> MutexGuard<'_, Units> {
        lock(&self.units)
    }
}

/// Calls `give` with every record of an index file that is valid in its place.
pub(crate) fn records(
    file: &File,
    class: usize,
    mut give: impl FnMut(u32, Record),
) -> io::Result<()> {
    let mut at = Some(0);
    while let Some(from) = at {
        at = records_from(file, class, from, |slot, record| {
            if let Some(record) = record {
                give(slot, record);
            }
        })?;
    }
    Ok(())
}

/// Reads a piece of an index file, from the byte `from` on, or from where there is data behind it. Calls `give` with
/// every slot in it, and its record if one is valid in that place. Returns where the next piece begins; `None` at the
/// end.
pub(crate) fn records_from(
    file: &File,
    class: usize,
    from: u64,
    mut give: impl FnMut(u32, Option<Record>),
) -> io::Result<Option<u64>> {
    let record_len = RECORD_LEN as u64;
    let Some(data) = platform::data_from(file, from)? else {
        return Ok(None);
    };
    let at = data.start / record_len * record_len;
    let len = (data.end - at).next_multiple_of(record_len);
    let mut buffer = vec![0; len.min(AT_ONCE) as usize];
    let read = files::read_at_most(file, &mut buffer, at)?;
    let (whole, _) = buffer[..read].as_chunks::<RECORD_LEN>();
    for (slot, bytes) in (at / record_len..).zip(whole) {
        let Ok(slot) = u32::try_from(slot) else {
            return Ok(None);
        };
        give(slot, Record::decode(bytes, class, slot));
    }
    // Somebody may be cutting the file short.
    Ok((read == buffer.len()).then_some(at + read as u64))
}
