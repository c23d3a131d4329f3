//! One class's file: its slots, which of them are free, and the holes.
//!
//! Invariant: a slot that is free has no page allocated. One that could not be freed is never used again.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::lock_dir::StagingDir;

use super::{StagingError, platform};

/// By how much a file's logical length grows, in bytes: once in so many, since each time is a journal entry.
const GROWTH: u64 = 16 * 1024 * 1024;

/// The file of one size class, made when its first block comes.
#[derive(Debug)]
pub(crate) struct ClassFile {
    /// The length of a slot, in bytes.
    class: u64,
    file: OnceLock<File>,
    /// Bytes of data in whole units: raised before a write, lowered after the punch.
    data: AtomicU64,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// Free slots below `end`, the lowest first: that is what bounds `end` by the most that were ever in use.
    free: BinaryHeap<Reverse<u32>>,
    /// The first slot that was never used.
    end: u32,
    /// Slots that could not be freed.
    lost: u64,
    /// The file's logical length, in bytes.
    logical_len: u64,
}

impl ClassFile {
    pub(crate) fn new(class: u64) -> Self {
        Self {
            class,
            file: OnceLock::new(),
            data: AtomicU64::new(0),
            slots: Mutex::default(),
        }
    }

    /// The file, where there is one.
    #[inline]
    pub(crate) fn opened(&self) -> Option<&File> {
        self.file.get()
    }

    pub(crate) fn name(&self) -> String {
        format!("slots-{}", self.class)
    }

    /// Bytes of data in whole units: at least what is allocated for data at this instant.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.data.load(Ordering::SeqCst)
    }

    pub(crate) fn live_slots(&self) -> u64 {
        let slots = self.lock();
        u64::from(slots.end) - slots.free.len() as u64 - slots.lost
    }

    pub(crate) fn logical_len(&self) -> u64 {
        self.lock().logical_len
    }

    /// Where a slot begins, in bytes.
    #[inline]
    pub(crate) fn offset(&self, slot: u32) -> u64 {
        u64::from(slot) * self.class
    }

    /// Writes `bytes`, for which `charge` is reserved, into a slot. After an error, no slot is taken and nothing
    /// is written, or the error says [`Unwritten::Lost`].
    pub(crate) fn write(
        &self,
        dir: &StagingDir,
        bytes: &[u8],
        charge: u64,
    ) -> Result<u32, Unwritten> {
        let slot = self.allocate(dir).map_err(Unwritten::Clean)?;
        self.data.fetch_add(charge, Ordering::SeqCst);
        let written = match self.opened() {
            Some(file) => file.write_all_at(bytes, self.offset(slot)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        match written {
            Ok(()) => Ok(slot),
            Err(error) => {
                let error = StagingError::of("write", &self.name(), error);
                Err(match self.free(slot, charge) {
                    Ok(()) => Unwritten::Clean(error),
                    Err(_) => Unwritten::Lost(error),
                })
            }
        }
    }

    /// Frees a slot: punches the hole, then lets the next block have it.
    ///
    /// # Errors
    /// The hole could not be punched: the slot is out of use from now on, and its bytes still count.
    pub(crate) fn free(&self, slot: u32, charge: u64) -> io::Result<()> {
        let punched = match self.opened() {
            Some(file) => platform::punch(file, self.offset(slot), self.class),
            None => Ok(()),
        };
        let mut slots = self.lock();
        match punched {
            Ok(()) => {
                slots.free.push(Reverse(slot));
                self.data.fetch_sub(charge, Ordering::SeqCst);
            }
            Err(_) => slots.lost += 1,
        }
        punched
    }

    /// The lowest free slot; makes the file, and makes it longer, where that is due.
    fn allocate(&self, dir: &StagingDir) -> Result<u32, StagingError> {
        let failed =
            |operation: &'static str| move |e| StagingError::of(operation, &self.name(), e);
        let mut slots = self.lock();
        if let Some(Reverse(slot)) = slots.free.pop() {
            return Ok(slot);
        }
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let made = dir.create_file(&self.name()).map_err(failed("creation"))?;
                // Under the lock, so that nobody else makes it.
                self.file.get_or_init(|| made)
            }
        };
        let slot = slots.end;
        let end = self.offset(slot) + self.class;
        if end > slots.logical_len {
            // Ahead of the write: a file system that allocates in advance does so beyond the end only.
            let longer = end.next_multiple_of(GROWTH.max(self.class));
            file.set_len(longer).map_err(failed("set_len"))?;
            slots.logical_len = longer;
        }
        slots.end = slot
            .checked_add(1)
            .ok_or_else(|| failed("allocation")(io::ErrorKind::FileTooLarge.into()))?;
        Ok(slot)
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a block was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// Nothing of it is left.
    Clean(StagingError),
    /// What was written of it could not be freed.
    Lost(StagingError),
}
