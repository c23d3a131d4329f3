//! A disk in memory, with staging directories on it. A block of `n` bytes takes `n` units.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use shuttle::thread::yield_now;

use crate::{block::Key, budget::Share};

/// There are no followers here.
pub(crate) struct Follower;

impl Follower {
    pub(crate) fn mark_wrong(&self, _key: &Key) {}
}

/// The bytes of the budget that each byte of a block takes.
pub(crate) const UNIT: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Overhead {
    fixed: u64,
}

impl Overhead {
    pub(crate) fn unknown(bytes: u64) -> Self {
        Self { fixed: bytes }
    }

    pub(crate) fn usable(&self, capacity: u64) -> u64 {
        capacity.saturating_sub(self.fixed) / UNIT * UNIT
    }
}

/// The bytes that the file system reports. Its atomics are not the scheduler's, so that looking at it is not a step of
/// the model.
#[derive(Debug)]
pub(crate) struct Disk {
    budget: u64,
    allocated: AtomicU64,
}

impl Disk {
    pub(crate) fn new(budget: u64) -> Arc<Self> {
        Arc::new(Self {
            budget,
            allocated: AtomicU64::new(0),
        })
    }

    pub(crate) fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::SeqCst)
    }

    fn write(&self, bytes: u64) {
        let before = self.allocated.fetch_add(bytes, Ordering::SeqCst);
        let now = before + bytes;
        assert!(now <= self.budget, "{now} of {} allocated", self.budget);
    }

    fn punch(&self, bytes: u64) {
        self.allocated.fetch_sub(bytes, Ordering::SeqCst);
    }
}

#[derive(Clone)]
pub(crate) struct Staging {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<Disk>,
    share: Arc<Share>,
}

pub(crate) struct Usage {
    pub(crate) reserved: u64,
}

impl Staging {
    pub(crate) fn new(disk: Arc<Disk>, share: Arc<Share>) -> Self {
        share.set_overhead(Overhead { fixed: 0 });
        Self {
            inner: Arc::new(Inner { disk, share }),
        }
    }

    pub(crate) fn reserve(&self, len: usize) -> Option<Reservation> {
        let charge = self.charge(len);
        self.inner.share.take(charge).then(|| Reservation {
            inner: self.inner.clone(),
            charge,
        })
    }

    pub(crate) fn charge(&self, len: usize) -> u64 {
        len as u64 * UNIT
    }

    pub(crate) fn for_blocks(&self) -> u64 {
        self.inner.share.usable()
    }

    pub(crate) fn takes_writes(&self) -> bool {
        true
    }

    pub(crate) fn write_as(
        &self,
        reservation: Reservation,
        _key: &Key,
        bytes: &[u8],
    ) -> Result<Extent, io::Error> {
        self.inner.disk.write(reservation.charge);
        yield_now();
        Ok(Extent {
            bytes: bytes.to_vec(),
            punched: AtomicBool::new(false),
            reservation,
        })
    }

    pub(crate) fn usage(&self) -> Usage {
        let reserved = self.inner.share.used();
        Usage { reserved }
    }

    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.inner.share
    }

    pub(crate) fn lower(&self) {
        self.inner.share.lower();
    }

    pub(crate) fn dir(&self) -> Directory {
        Directory
    }
}

pub(crate) struct Directory;

impl Directory {
    pub(crate) fn path(&self) -> &'static Path {
        Path::new("/")
    }
}

pub(crate) struct Reservation {
    inner: Arc<Inner>,
    charge: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.inner.share.give_back(self.charge);
    }
}

pub(crate) struct Extent {
    bytes: Vec<u8>,
    punched: AtomicBool,
    reservation: Reservation,
}

impl Extent {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn try_read(&self, offset: usize, len: usize) -> io::Result<Option<Vec<u8>>> {
        yield_now();
        assert!(!self.punched.load(Ordering::SeqCst), "read above a hole");
        let end = (offset + len).min(self.len());
        Ok(Some(self.bytes[offset..end].to_vec()))
    }

    pub(crate) fn read_blocking(&self, offset: usize, len: usize) -> io::Result<Vec<u8>> {
        Ok(self.try_read(offset, len)?.unwrap_or_default())
    }

    /// Returns true, since no other process has a lease.
    pub(crate) fn claim(&self) -> bool {
        true
    }

    /// Does nothing: the slot is freed when the last holder drops it, as in a temporary directory.
    pub(crate) fn discard(&self) {}
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.punched.store(true, Ordering::SeqCst);
        self.reservation.inner.disk.punch(self.reservation.charge);
        yield_now();
    }
}
