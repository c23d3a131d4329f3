//! Space that is reserved for one block, until it is given back.

use std::{fmt, sync::Arc};

use crate::{class::MAX_STAGED, volume::Volume};

/// Space that is set aside for one block. Dropping it gives the space back.
pub struct Reservation {
    volume: Arc<Volume>,
    len: usize,
    charge: u64,
}

impl Reservation {
    pub(crate) fn new(volume: &Arc<Volume>, len: usize) -> Option<Self> {
        if len > MAX_STAGED {
            return None;
        }
        let charge = volume.space.charge(len as u64);
        volume.space.share().take(charge).then(|| Self {
            volume: Arc::clone(volume),
            len,
            charge,
        })
    }

    /// The space of a block that is there already, whether there is room for it or not.
    pub(crate) fn of_what_is_there(volume: &Arc<Volume>, len: usize) -> Self {
        let charge = volume.space.charge(len as u64);
        volume.space.share().take_what_is_there(charge);
        Self {
            volume: Arc::clone(volume),
            len,
            charge,
        }
    }

    /// The block's length, in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a reservation of no bytes is as good as any"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What the block takes of the space, in bytes: its length in whole units of the file system.
    pub fn charge(&self) -> u64 {
        self.charge
    }

    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    pub(crate) fn is_of(&self, volume: &Arc<Volume>) -> bool {
        Arc::ptr_eq(&self.volume, volume)
    }

    /// Keeps the space taken: what it was for could not be freed. How much that is.
    pub(crate) fn leak(&mut self) -> u64 {
        self.volume.space.leak(self.charge);
        std::mem::take(&mut self.charge)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.volume.space.share().give_back(self.charge);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("len", &self.len)
            .field("charge", &self.charge)
            .finish_non_exhaustive()
    }
}
