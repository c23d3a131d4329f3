//! Leases: how a follower keeps the writer from evicting a block that it reads.
//!
//! A lease is a shared lock on the range of the slot's record in the index file. The open file holds it, not the
//! process. The writer claims the same range exclusively before it frees the slot.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io,
    sync::{Arc, OnceLock},
};

use crate::{
    class::{CLASSES, SlotAddress, class_bytes},
    disk::{
        files::{self, Access},
        index,
        record::{RECORD_LEN, Record},
    },
    error::StagingError,
    lock_dir::StagingDir,
    platform::{self, RangeLock},
    sync::{Mutex, lock},
};

/// The index files of a directory, opened for reading, and the slots that are leased.
pub(crate) struct Leases {
    dir: StagingDir,
    /// The index file of each class, opened at its first use.
    index: [OnceLock<File>; CLASSES],
    /// How often each slot is leased here. All extents of a slot in this process share one lock.
    held: Mutex<HashMap<SlotAddress, usize>>,
}

impl Leases {
    pub(crate) fn new(dir: StagingDir) -> Self {
        Self {
            dir,
            index: Default::default(),
            held: Mutex::default(),
        }
    }

    pub(crate) fn dir(&self) -> &StagingDir {
        &self.dir
    }

    /// The index file of a class, if it exists.
    pub(crate) fn index(&self, class: usize) -> Result<Option<&File>, StagingError> {
        let opened = &self.index[class];
        if opened.get().is_none() {
            let name = index::name(class_bytes(class));
            let Some(file) = files::open_existing(&self.dir, &name, Access::Read)? else {
                return Ok(None);
            };
            let _ = opened.set(file);
        }
        Ok(opened.get())
    }

    /// The record of a slot, as it is now.
    pub(crate) fn record(&self, at: SlotAddress) -> Result<Option<Record>, StagingError> {
        let Some(file) = self.index(at.class)? else {
            // coverage: the index file exists before the journal names one of its records.
            return Ok(None);
        };
        let mut bytes = [0; RECORD_LEN];
        let read = files::read_at_most(file, &mut bytes, index::offset(at.slot));
        let read = read.map_err(|error| failed("read", at, error))?;
        let whole = read == RECORD_LEN;
        Ok(whole
            .then(|| Record::decode(&bytes, at.class, at.slot))
            .flatten())
    }

    /// Leases a slot. Returns `None` if the writer has claimed it.
    pub(crate) fn lease(self: &Arc<Self>, at: SlotAddress) -> Result<Option<Lease>, StagingError> {
        let Some(file) = self.index(at.class)? else {
            // coverage: the address was read from that file.
            return Ok(None);
        };
        let mut held = lock(&self.held);
        let count = held.get(&at).copied().unwrap_or(0);
        let leased = count > 0
            || platform::lock_range(file, RangeLock::Shared, index::offset(at.slot), RECORD_LEN)
                .map_err(|error| failed("lock", at, error))?;
        if !leased {
            return Ok(None);
        }
        held.insert(at, count + 1);
        drop(held);
        Ok(Some(Lease {
            leases: self.clone(),
            at,
        }))
    }
}

// coverage: needs a disk that fails.
fn failed(operation: &'static str, at: SlotAddress, error: io::Error) -> StagingError {
    StagingError::of(operation, &index::name(class_bytes(at.class)), error)
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A lease of a slot. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    at: SlotAddress,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = lock(&self.leases.held);
        let left = held.get(&self.at).map_or(0, |count| count - 1);
        if left > 0 {
            held.insert(self.at, left);
            return;
        }
        held.remove(&self.at);
        if let Some(file) = self.leases.index[self.at.class].get() {
            let start = index::offset(self.at.slot);
            // Unlocking does not fail.
            let _ = platform::lock_range(file, RangeLock::Unlocked, start, RECORD_LEN);
        }
    }
}
