//! The file of one class: its slots, which of them are free, and the holes; and, in a persistent directory, its index.
//!
//! It owns the single operations on a slot. `commit` and `evict` decide their order.
//!
//! Invariant: a free slot has no page allocated and no record. A slot that could not be freed is not used until it has
//! been.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, OnceLock},
};

use super::{
    files::{self, Access},
    index::IndexFile,
};
use crate::{
    error::StagingError,
    lock_dir::StagingDir,
    platform,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering, lock},
};

/// The step by which a file's logical length grows, in bytes. It is large since each growth writes to the file system's
/// journal.
const GROWTH: u64 = 16 * 1024 * 1024;

/// The name of the file of a class, by the length of its slots in bytes.
pub(crate) fn name(class_bytes: u64) -> String {
    format!("slots-{class_bytes}")
}

/// The file of one size class. It is created for its first block.
#[derive(Debug)]
pub(crate) struct ClassFile {
    /// The length of a slot, in bytes.
    class: u64,
    /// `None` in a temporary directory.
    index: Option<IndexFile>,
    file: OnceLock<Arc<File>>,
    /// Bytes of data in whole units: raised before a write, lowered after the punch.
    data: AtomicU64,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// Free slots below `end`, the lowest first. Taking the lowest bounds `end` by the most slots that were ever in
    /// use at once.
    free: BinaryHeap<Reverse<u32>>,
    /// Free slots below `end` as they were found at the start, in ranges, the lowest last. Not one by one: in a damaged
    /// directory they can be billions.
    gaps: Vec<Range<u32>>,
    /// The first slot that was never used.
    end: u32,
    /// The number of slots that could not be freed so far.
    lost: u64,
    /// The file's logical length, in bytes.
    logical_len: u64,
}

/// The slots of one class, as found in a directory.
#[derive(Debug)]
pub(crate) struct Restored<'a> {
    pub(crate) file: File,
    pub(crate) logical_len: u64,
    /// The slots that hold a block, each with the block's length in bytes, by number.
    pub(crate) live: &'a [(u32, u32)],
    /// The slots that hold no block and could not be freed, each with the bytes that it takes, by number.
    pub(crate) lost: &'a [(u32, u64)],
    /// Bytes of data in whole units, in both kinds of slots.
    pub(crate) data_bytes: u64,
}

impl Slots {
    /// Takes the lowest slot that is free below `end`, if one is.
    fn lowest_free(&mut self) -> Option<u32> {
        let freed = self.free.peek().map(|Reverse(slot)| *slot);
        match self.gaps.last_mut() {
            Some(gap) if freed.is_none_or(|freed| gap.start < freed) => {
                let slot = gap.start;
                gap.start += 1;
                if gap.start == gap.end {
                    self.gaps.pop();
                }
                Some(slot)
            }
            _ => self.free.pop().map(|Reverse(slot)| slot),
        }
    }
}

impl Drop for ClassFile {
    /// Frees all slots of a temporary directory at once. None is read any more, and its caller may keep the directory.
    fn drop(&mut self) {
        if self.index.is_none()
            && let Some(file) = self.file.get()
        {
            // If this fails, the space is free once the file is removed.
            let _ = file.set_len(0);
        }
    }
}

impl ClassFile {
    pub(crate) fn new(class: u64, index: Option<IndexFile>) -> Self {
        Self {
            class,
            index,
            file: OnceLock::new(),
            data: AtomicU64::new(0),
            slots: Mutex::default(),
        }
    }

    /// The file, if it has been opened.
    #[inline]
    pub(crate) fn opened(&self) -> Option<&Arc<File>> {
        self.file.get()
    }

    /// The index; `None` in a temporary directory.
    pub(crate) fn index(&self) -> Option<&IndexFile> {
        self.index.as_ref()
    }

    fn name(&self) -> String {
        name(self.class)
    }

    /// Bytes of data in whole units: at least what is allocated for data at this instant.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.data.load(Ordering::SeqCst)
    }

    pub(crate) fn live_slots(&self) -> u64 {
        let slots = self.lock();
        let gaps: u64 = slots.gaps.iter().map(|gap| gap.len() as u64).sum();
        u64::from(slots.end) - slots.free.len() as u64 - gaps - slots.lost
    }

    pub(crate) fn logical_len(&self) -> u64 {
        self.lock().logical_len
    }

    /// The offset of a slot, in bytes.
    #[inline]
    pub(crate) fn offset(&self, slot: u32) -> u64 {
        u64::from(slot) * self.class
    }

    /// Takes over the slots that were found.
    pub(crate) fn restore(&self, found: Restored<'_>) {
        let mut live = found.live.iter().map(|(slot, _)| *slot).peekable();
        let mut lost = found.lost.iter().map(|(slot, _)| *slot).peekable();
        // Both are sorted, and no slot is in both.
        let taken = std::iter::from_fn(|| match (live.peek(), lost.peek()) {
            (Some(a), Some(b)) if b < a => lost.next(),
            (Some(_), _) => live.next(),
            (None, _) => lost.next(),
        });
        let (mut end, mut gaps) = (0, Vec::new());
        for slot in taken {
            if slot > end {
                gaps.push(end..slot);
            }
            end = slot + 1;
        }
        gaps.reverse();
        let mut slots = self.lock();
        if self.file.set(Arc::new(found.file)).is_ok() {
            self.data.store(found.data_bytes, Ordering::SeqCst);
            *slots = Slots {
                free: BinaryHeap::new(),
                gaps,
                end,
                lost: found.lost.len() as u64,
                logical_len: found.logical_len,
            };
        }
    }

    /// Writes `bytes`, for which `charge` is reserved, into a slot that was [taken](Self::take).
    pub(crate) fn write(&self, slot: u32, bytes: &[u8], charge: u64) -> Result<(), StagingError> {
        // Counted before the write, so that the allocated bytes never exceed the count.
        self.data.fetch_add(charge, Ordering::SeqCst);
        let written = match self.opened() {
            Some(file) => file.write_all_at(bytes, self.offset(slot)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        written.map_err(|error| StagingError::of("write", &self.name(), error))
    }

    /// Punches a slot, for which `charge` was counted. The slot is not used again before it is [freed](Self::free).
    pub(crate) fn punch(&self, slot: u32, charge: u64) -> io::Result<()> {
        let punch = |file: &Arc<File>| platform::punch(file, self.offset(slot), self.class);
        self.opened().map_or(Ok(()), punch)?;
        self.data.fetch_sub(charge, Ordering::SeqCst);
        Ok(())
    }

    /// Makes a punched slot available for the next block.
    pub(crate) fn free(&self, slot: u32) {
        self.lock().free.push(Reverse(slot));
    }

    /// Counts a slot that could not be punched, and so stays out of use.
    pub(crate) fn lose(&self) {
        self.lock().lost += 1;
    }

    /// Makes a slot that was lost, and is punched now, available for the next block.
    pub(crate) fn free_lost(&self, slot: u32) {
        let mut slots = self.lock();
        slots.lost -= 1;
        slots.free.push(Reverse(slot));
    }

    /// Takes the lowest free slot. Creates the file and lengthens it where necessary.
    pub(crate) fn take(&self, dir: &StagingDir) -> Result<u32, StagingError> {
        let failed =
            |operation: &'static str| move |e| StagingError::of(operation, &self.name(), e);
        let mut slots = self.lock();
        if let Some(slot) = slots.lowest_free() {
            return Ok(slot);
        }
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let made = Arc::new(files::open(dir, &self.name(), Access::Make)?);
                // Under the lock, so that no other thread creates it.
                self.file.get_or_init(|| made)
            }
        };
        let slot = slots.end;
        let end = self.offset(slot) + self.class;
        if end > slots.logical_len {
            // Lengthened before the write, since a file system that preallocates does so only beyond the end.
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
        lock(&self.slots)
    }
}
