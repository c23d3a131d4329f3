//! The guest's numbers, and what is behind them.
//!
//! Invariants: each native number is behind exactly one slot, and each slot's native number is open in wasmtime-wasi. So
//! a change of the table and the call that opens or closes the native number happen without an await between them. The
//! table grows by one slot when something is opened, and never to a number that the guest chose.

use std::collections::BTreeSet;

use wasmtime_wasi::p1::types::Fd;

use super::{Error, Result, dir::OpenDir, file::OpenFile, native_listing::Snapshot};
use crate::errno::Refusal;

/// The guest's numbers.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Option<Slot>>,
    /// The numbers below the table's length under which nothing is open.
    free: BTreeSet<u32>,
}

/// The thing behind a number.
pub(super) enum Slot {
    /// A descriptor of wasmtime-wasi's.
    Native(Native),
    /// A file of ours.
    File(OpenFile),
    /// A directory of ours.
    Dir(Box<OpenDir>),
}

/// A descriptor of wasmtime-wasi's.
pub(super) struct Native {
    /// Its number there.
    pub(super) fd: Fd,
    /// Its listing under way, if it is a directory.
    pub(super) listing: Option<Box<Snapshot>>,
}

impl Slot {
    /// The slot of a native number.
    pub(super) fn native(fd: Fd) -> Self {
        Self::Native(Native { fd, listing: None })
    }
}

impl Table {
    /// Returns what is behind a number.
    #[inline]
    pub(super) fn get(&mut self, fd: Fd) -> Result<&mut Slot> {
        let slot = self.slots.get_mut(u32::from(fd) as usize);
        Ok(slot.and_then(Option::as_mut).ok_or(Refusal::NotOpen)?)
    }

    /// Returns the native number behind a number of any kind, or `refused` if it is ours.
    pub(super) fn native(&mut self, fd: Fd, refused: impl Into<Error>) -> Result<Fd> {
        match self.get(fd)? {
            Slot::Native(native) => Ok(native.fd),
            Slot::File(_) | Slot::Dir(_) => Err(refused.into()),
        }
    }

    /// Returns the native number for a call on files, or `refused` for a file of ours.
    pub(super) fn native_file(&mut self, fd: Fd, refused: Refusal) -> Result<Fd> {
        match self.get(fd)? {
            Slot::Native(native) => Ok(native.fd),
            Slot::File(_) => Err(refused.into()),
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    /// Returns the native number for a call on directories, or `refused` for a directory of ours.
    pub(super) fn native_dir(&mut self, fd: Fd, refused: Refusal) -> Result<Fd> {
        match self.get(fd)? {
            Slot::Native(native) => Ok(native.fd),
            Slot::Dir(_) => Err(refused.into()),
            Slot::File(_) => Err(Refusal::NotOpen.into()),
        }
    }

    /// Returns the native numbers for a link or rename from one directory to another, or the refusal.
    pub(super) fn two_native_dirs(&mut self, from: Fd, to: Fd) -> Result<(Fd, Fd)> {
        let from = self.dir(from)?;
        match (from, self.dir(to)?) {
            (Some(from), Some(to)) => Ok((from, to)),
            (None, None) => Err(Refusal::ReadOnly.into()),
            _ => Err(Refusal::CrossDevice.into()),
        }
    }

    /// Returns the native number of what may be a directory, or `None` for a directory of ours.
    fn dir(&mut self, fd: Fd) -> Result<Option<Fd>> {
        match self.get(fd)? {
            Slot::Native(native) => Ok(Some(native.fd)),
            Slot::Dir(_) => Ok(None),
            Slot::File(_) => Err(Refusal::NotOpen.into()),
        }
    }

    /// Puts something under the lowest number that is free.
    pub(super) fn push(&mut self, slot: Slot) -> Fd {
        let fd = self.free.pop_first().unwrap_or_else(|| {
            self.slots.push(None);
            // Each slot holds something of more than one byte, so the numbers suffice for all memory there is.
            (self.slots.len() - 1) as u32
        });
        self.slots[fd as usize] = Some(slot);
        fd.into()
    }

    /// Takes out what is behind a number, and frees the number.
    pub(super) fn take(&mut self, fd: Fd) -> Result<Slot> {
        let number = u32::from(fd);
        let slot = self.slots.get_mut(number as usize);
        let taken = slot.and_then(Option::take).ok_or(Refusal::NotOpen)?;
        self.free.insert(number);
        Ok(taken)
    }

    /// Moves whatever is behind `from` to the number `to`. Returns what was behind `to`, unless the numbers are the same.
    pub(super) fn renumber(&mut self, from: Fd, to: Fd) -> Result<Option<Slot>> {
        self.get(to)?;
        self.get(from)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.take(from)?;
        Ok(self.slots[u32::from(to) as usize].replace(moved))
    }
}

#[cfg(test)]
impl Table {
    /// The numbers under which something is open.
    pub(super) fn open(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(fd, slot)| Some((fd, slot.as_ref()?)))
    }

    /// Whether `free` has exactly the numbers of the slots that are empty.
    pub(super) fn is_sound(&self) -> bool {
        let slots = (0..).zip(&self.slots);
        let empty = slots.filter_map(|(fd, slot)| slot.is_none().then_some(fd));
        empty.eq(self.free.iter().copied())
    }

    /// The number of slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
