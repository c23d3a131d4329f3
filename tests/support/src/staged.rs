//! A persistent staging directory as the file system sees it, and blocks to fill it with.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_mock::MockNode;
use rustix::fs::{FlockOperation, flock};

use crate::content::stream;

/// The unit in which a file has holes, in bytes.
const PAGE: usize = 4096;

/// The directory that holds the directories of pinsets.
#[derive(Clone, Debug)]
pub struct Place(pub PathBuf);

impl Place {
    /// The staging directory.
    pub fn staging(&self) -> PathBuf {
        self.0.join("staging")
    }

    /// The lock directory.
    pub fn locks(&self) -> PathBuf {
        self.0.join("locks")
    }

    /// Drops a pinset on the staging directory, and waits until it has ended, including its cancelled work.
    ///
    /// # Panics
    /// If the directory stays locked.
    pub async fn end(&self, pinset: impl Sized) {
        drop(pinset);
        let dir = fs::File::open(self.staging()).unwrap();
        for _ in 0..2000 {
            if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the staging directory stays locked");
    }

    /// The bytes that the file system reports for the staging directory.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn disk_usage(&self) -> u64 {
        let mut blocks = fs::metadata(self.staging()).unwrap().blocks();
        for file in fs::read_dir(self.staging()).unwrap() {
            // A probe file from a start may be gone already.
            let metadata = fs::symlink_metadata(file.unwrap().path());
            blocks += metadata.map_or(0, |metadata| metadata.blocks());
        }
        blocks * 512
    }

    /// The names of the files in the staging directory, in order.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.staging()).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Puts into `node` a block of `len` bytes, which differs for each number.
pub fn put(node: &MockNode, number: usize, len: usize) -> Cid {
    let bytes = block(number, len);
    let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(&bytes));
    node.put_unchecked(cid, bytes::Bytes::from(bytes));
    cid
}

/// The block that [`put()`] puts.
pub fn block(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = stream(len);
    for (byte, of_number) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *byte ^= of_number;
    }
    bytes
}

/// Copies the files of a directory, with their modes and holes. It starts no `cp`: until a child process runs its
/// program, it holds copies of its parent's locks, and other tests would find these taken.
///
/// # Panics
/// If a file cannot be read or written.
pub fn copy(from: &Path, to: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions();
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, mode(from)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (bytes, to) = (fs::read(entry.path()).unwrap(), to.join(entry.file_name()));
        let file = fs::File::create_new(&to).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (page, at) in bytes.chunks(PAGE).zip((0..).step_by(PAGE)) {
            if page.iter().any(|byte| *byte != 0) {
                file.write_all_at(page, at).unwrap();
            }
        }
        fs::set_permissions(&to, mode(&entry.path())).unwrap();
    }
}
