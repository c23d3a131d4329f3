//! Tests of single flight, the queue of fetches, the pins, the staged blocks, and the shares of a budget under a
//! scheduler that tries one interleaving after another ([`shuttle`]). They need `--cfg shuttle`, which
//! `cargo xtask test` sets.
//!
//! The store works in a real directory. After each step of a commit the test asks the file system how much is
//! allocated. A read from a punched hole returns zeros, and no block here contains a zero.

mod flight;
mod pins;
mod queue;
mod shares;
mod store;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use block_staging::at_each_step;
use cap_std::{ambient_authority, fs::Dir};
use test_support::schedules::allocated;

use crate::{
    block::Key,
    budget::{Budget, Share},
    cache::store::Store,
    lock_dir::StagingDir,
    staging::Staging,
};

/// The length of the smallest block of a model, in bytes. The least share of a budget has room for one.
const UNIT: u64 = 32 << 10;

/// A capacity larger than that of any model's directory, in bytes.
const LARGE: u64 = 1 << 20;

/// The directories of a model, which share a total.
struct Disk {
    own: PathBuf,
    /// A mutex that the scheduler does not see: examining the disk is not a step of the model.
    dirs: Mutex<Vec<PathBuf>>,
}

impl Disk {
    /// Returns a disk without directories. After each step it asserts that at most `total` bytes are allocated (I2).
    fn new(own: &Path, total: u64) -> Arc<Self> {
        let disk = Arc::new(Self {
            own: own.to_owned(),
            dirs: Mutex::default(),
        });
        let weak = Arc::downgrade(&disk);
        at_each_step(move || {
            let now = weak.upgrade().map_or(0, |disk| disk.allocated());
            assert!(now <= total, "{now} of {total} bytes are allocated");
        });
        disk
    }

    fn allocated(&self) -> u64 {
        allocated(&self.dirs.lock().unwrap())
    }

    /// Returns a store in a directory of its own.
    fn store(&self, share: Arc<Share>) -> Arc<Store> {
        let dir = {
            let mut dirs = self.dirs.lock().unwrap();
            let dir = self.own.join(dirs.len().to_string());
            std::fs::create_dir(&dir).unwrap();
            dirs.push(dir.clone());
            dir
        };
        Store::new(Staging::create_within(staging_dir(&dir), share).unwrap())
    }
}

fn staging_dir(dir: &Path) -> StagingDir {
    let opened = Dir::open_ambient_dir(dir, ambient_authority()).unwrap();
    StagingDir::from_dir(opened, dir)
}

/// The space that a directory takes besides its blocks, in bytes.
fn overhead(own: &Path) -> u64 {
    let staging = Staging::create_within(staging_dir(own), Budget::alone(LARGE)).unwrap();
    LARGE - staging.usable()
}

fn key(n: u64) -> Key {
    Key::wrap(0x12, &[n as u8; 32]).unwrap()
}

/// Returns a block of `units` units. It contains no zero, and differs from every other block.
fn block(n: u64, units: u64) -> Vec<u8> {
    vec![n as u8 + 1; (units * UNIT) as usize]
}
