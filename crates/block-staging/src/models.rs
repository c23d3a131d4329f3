//! Tests of the shares of a budget, and of the commits, evictions and leases of one directory, under a scheduler that
//! tries one interleaving after another ([`shuttle`]). They need `--cfg shuttle`, which `cargo xtask test` sets.
//!
//! The directory is a real one. After each step the test asks the file system how much is allocated. A read from a
//! punched hole returns zeros, and no block here contains a zero.

mod blocks;
mod following;
mod members;
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

/// A capacity larger than that of any model's directory, in bytes.
const LARGE: u64 = 1 << 20;

fn key(n: u64) -> Key {
    Key::wrap(0x12, &[n as u8; 32]).unwrap()
}

/// Returns block number `n`. It contains no zero, and differs from every other block.
fn block(n: u64) -> Vec<u8> {
    vec![n as u8 + 1; BLOCK]
}

/// Reads a block twice. Its bytes must stay the same while other threads go on.
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

/// Opens a follower. It behaves like one in another process, because its locks belong to its own files.
fn follower(path: &Path) -> Follower {
    let dir = private_dir::open_or_make(path).unwrap();
    Follower::open(StagingDir::from_dir(dir, path)).unwrap()
}

/// A persistent directory and its blocks, oldest first. After each step the allocated space is within the capacity.
struct Directory {
    path: PathBuf,
    staging: Staging,
    blocks: Mutex<Vec<(u64, Arc<Extent>)>>,
}

impl Directory {
    /// Returns a directory with room for `blocks` blocks.
    fn new(own: &Path, blocks: u64) -> Arc<Self> {
        let path = own.join("staging");
        let capacity = {
            let staging = writer(&own.join("other"), LARGE);
            // The records take one more unit.
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

    /// Returns block number `n`, if it is staged.
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

    /// Discards a block, even if it is being read.
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

    /// Evicts all blocks, and asserts that all space is free again.
    fn empty(&self) {
        while self.evict_oldest() {}
        assert!(lock(&self.blocks).is_empty(), "some are still leased");
        // Space that could not be freed under a lease is freed when room is needed.
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
