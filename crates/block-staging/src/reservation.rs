//! The space that is reserved for one block until it is given back.

use std::{fmt, sync::Arc};

use crate::{class::MAX_STAGED, volume::Volume};

/// Space that is reserved for one block. Dropping it gives the space back.
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

    /// The space of a block that is on the disk already, and charged.
    pub(crate) fn of_what_is_there(volume: &Arc<Volume>, len: usize) -> Self {
        Self {
            volume: Arc::clone(volume),
            len,
            charge: volume.space.charge(len as u64),
        }
    }

    /// The block's length, in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a reservation of no bytes is an ordinary one"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The space that the block takes, in bytes: its length in whole units of the file system.
    pub fn charge(&self) -> u64 {
        self.charge
    }

    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    pub(crate) fn is_of(&self, volume: &Arc<Volume>) -> bool {
        Arc::ptr_eq(&self.volume, volume)
    }

    /// Leaves the space to the directory until the block is unparked.
    pub(crate) fn park(&mut self) {
        self.volume.space.park(std::mem::take(&mut self.charge));
    }

    /// Takes over the space of a block that was parked.
    pub(crate) fn unpark(volume: &Arc<Volume>, len: usize) -> Self {
        let charge = volume.space.charge(len as u64);
        volume.space.unpark(charge);
        Self {
            volume: Arc::clone(volume),
            len,
            charge,
        }
    }

    /// Keeps the space taken, because the block could not be freed. Returns its size in bytes.
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
