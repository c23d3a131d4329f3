//! The shares of a budget, and the commits, evictions and leases of one directory, under a scheduler that tries one
//! order of things after the other ([`shuttle`]): `--cfg shuttle`, which `cargo xtask test` sets.
//!
//! The directory is a real one. After each step the file system is asked what is allocated, and a reader above a hole
//! reads zeros, which are in no block here.

mod blocks;
mod following;
mod shares;

use std::{
    path::{Path, PathBuf},
    slice,
    sync::Arc,
};

use shuttle::thread;
use test_support::schedules::allocated;

use crate::{
    Budget, Extent, Follower, Key, Opened, Staging, at_each_step,
    lock_dir::{StagingDir, private_dir},
    open,
    sync::{Mutex, lock},
};

/// The length of a block, in bytes.
const BLOCK: usize = 16 << 10;

/// More than any directory of a model has, in bytes.
const LARGE: u64 = 1 << 20;

fn key(n: u64) -> Key {
    Key::wrap(0x12, &[n as u8; 32]).unwrap()
}

/// The block of that number: nowhere zero, and unlike others.
fn block(n: u64) -> Vec<u8> {
    vec![n as u8 + 1; BLOCK]
}

/// Reads a block, whose bytes have to stand while others go on.
fn read(extent: &Extent, n: u64) {
    for _ in 0..2 {
        thread::yield_now();
        let bytes = extent.read_blocking(0, extent.len()).unwrap();
        assert!(bytes == block(n), "a hole, or another block's bytes");
    }
}

fn writer(path: &Path, capacity: u64) -> Staging {
    match open(path, Budget::alone(capacity)).unwrap() {
        Opened::Writer(staging, _) => staging,
        Opened::Follower(_) => panic!("nobody else writes"),
    }
}

/// As good as one of another process: its locks are those of its own files.
fn follower(path: &Path) -> Follower {
    let dir = private_dir::open_or_make(path).unwrap();
    Follower::open(StagingDir::from_dir(dir, path)).unwrap()
}

/// A persistent directory and what is in it, oldest first. After each step what is allocated is within the capacity.
struct Directory {
    path: PathBuf,
    staging: Staging,
    blocks: Mutex<Vec<(u64, Arc<Extent>)>>,
}

impl Directory {
    /// With room for so many blocks.
    fn new(own: &Path, blocks: u64) -> Arc<Self> {
        let path = own.join("staging");
        let capacity = {
            let staging = writer(&own.join("other"), LARGE);
            // And a unit for the records.
            LARGE - staging.usable() + blocks * BLOCK as u64 + staging.charge(1)
        };
        let looked_at = path.clone();
        at_each_step(move || {
            let now = allocated(slice::from_ref(&looked_at));
            assert!(now <= capacity, "{now} of {capacity} bytes are allocated");
        });
        Arc::new(Self {
            staging: writer(&path, capacity),
            path,
            blocks: Mutex::default(),
        })
    }

    /// Stages a block, if room can be made for it.
    fn stage(&self, n: u64) -> bool {
        let room = loop {
            match self.staging.reserve(BLOCK) {
                Some(room) => break room,
                None if self.evict_oldest() => {}
                None => return false,
            }
        };
        let extent = self.staging.write_as(room, &key(n), &block(n)).unwrap();
        lock(&self.blocks).push((n, Arc::new(extent)));
        true
    }

    /// A block that is there.
    fn find(&self, n: u64) -> Option<Arc<Extent>> {
        let blocks = lock(&self.blocks);
        let found = blocks.iter().find(|(there, _)| *there == n);
        found.map(|(_, extent)| extent.clone())
    }

    /// Evicts the oldest block that nobody reads.
    fn evict_oldest(&self) -> bool {
        let oldest = {
            let mut blocks = lock(&self.blocks);
            let is_free =
                |(_, extent): &(u64, Arc<Extent>)| Arc::strong_count(extent) == 1 && extent.claim();
            let free = blocks.iter().position(is_free);
            free.map(|at| blocks.remove(at))
        };
        oldest.map(|(_, extent)| extent.discard()).is_some()
    }

    /// Takes a block out, whoever reads it.
    fn forget(&self, n: u64) {
        let gone = {
            let mut blocks = lock(&self.blocks);
            let at = blocks.iter().position(|(there, _)| *there == n);
            at.map(|at| blocks.remove(at))
        };
        if let Some((_, extent)) = gone {
            extent.discard();
        }
    }

    /// Evicts all: nothing of them stays.
    fn empty(&self) {
        while self.evict_oldest() {}
        assert!(lock(&self.blocks).is_empty(), "some are still leased");
        // What could not be freed under a lease is freed when room is wanted.
        let all = self.staging.usable();
        let most: Vec<_> = (0..all / BLOCK as u64)
            .map(|_| self.staging.reserve(BLOCK))
            .collect();
        assert!(self.staging.reserve(BLOCK).is_none());
        drop(most);
        let usage = self.staging.usage();
        assert_eq!((usage.reserved, usage.leaked_bytes, usage.slots), (0, 0, 0));
    }
}
