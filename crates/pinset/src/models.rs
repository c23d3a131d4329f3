//! Single flight, the staged blocks, and the shares of a budget, under a scheduler that tries one order of things after
//! the other ([`shuttle`]): `--cfg shuttle`, which `cargo xtask test` sets.
//!
//! The store works in a real directory. After each step of a commit the file system is asked what is allocated, and a
//! reader above a hole reads zeros, which are in no block here.

mod flight;
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

/// The least block of a model, in bytes. The least share of a budget has room for one.
const UNIT: u64 = 32 << 10;

/// More than any directory of a model has, in bytes.
const LARGE: u64 = 1 << 20;

/// The directories of a model, which share a total.
struct Disk {
    own: PathBuf,
    /// Not the scheduler's: a look at the disk is not a step of the model.
    dirs: Mutex<Vec<PathBuf>>,
}

impl Disk {
    /// An empty one. After each step what is allocated in it is at most `total` (I2).
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

    /// A store in a directory of its own.
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

/// What a directory takes beside its blocks, in bytes.
fn overhead(own: &Path) -> u64 {
    let staging = Staging::create_within(staging_dir(own), Budget::alone(LARGE)).unwrap();
    LARGE - staging.usable()
}

fn key(n: u64) -> Key {
    Key::wrap(0x12, &[n as u8; 32]).unwrap()
}

/// A block of so many units: nowhere zero, and unlike others.
fn block(n: u64, units: u64) -> Vec<u8> {
    vec![n as u8 + 1; (units * UNIT) as usize]
}
