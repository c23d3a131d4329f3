//! Pinsets over one persistent staging directory, and what the file system says of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::result_large_err,
    reason = "each test binary uses its own part; errors are not what has to be fast"
)]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::Pinner;
use pinner_mock::MockNode;
use pinset::{CacheMode, Error, Node, Pinset};
use rustix::fs::{FlockOperation, flock};

use crate::content::{read_all, stream};

/// Where the directories of the pinsets are.
pub struct Place(pub PathBuf);

impl Place {
    pub fn staging(&self) -> PathBuf {
        self.0.join("staging")
    }

    pub fn try_open(&self, node: Arc<dyn Pinner>, budget: u64) -> Result<CacheMode, Error> {
        let pinset = Pinset::new(node, budget)
            .lock_dir(self.0.join("locks"))
            .staging(self.staging());
        Ok(pinset.shared()?.into())
    }

    pub fn open(&self, node: &MockNode, budget: u64) -> CacheMode {
        self.try_open(Arc::new(node.clone()), budget).unwrap()
    }

    /// Drops a pinset, and waits until it is gone: until what was cancelled of it is.
    pub async fn end(&self, mode: CacheMode) {
        drop(mode);
        let dir = fs::File::open(self.staging()).unwrap();
        for _ in 0..2000 {
            if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the staging directory stays locked");
    }

    /// What the file system reports for the staging directory.
    pub fn disk_usage(&self) -> u64 {
        let mut blocks = fs::metadata(self.staging()).unwrap().blocks();
        for file in fs::read_dir(self.staging()).unwrap() {
            // A file that is tried out at a start may be gone again.
            let metadata = fs::symlink_metadata(file.unwrap().path());
            blocks += metadata.map_or(0, |metadata| metadata.blocks());
        }
        blocks * 512
    }

    /// The files in the staging directory, by name.
    pub fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.staging()).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Puts a block of `len` bytes, that no other number has, into `node`.
pub fn put(node: &MockNode, number: usize, len: usize) -> Cid {
    let bytes = block(number, len);
    let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(&bytes));
    node.put_unchecked(cid, bytes::Bytes::from(bytes));
    cid
}

/// The block that [`put`] puts.
pub fn block(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = stream(len);
    for (byte, of_number) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *byte ^= of_number;
    }
    bytes
}

/// All of a file.
pub async fn read(mode: &CacheMode, cid: &Cid) -> Result<Vec<u8>, Error> {
    match mode.open(&format!("/ipfs/{cid}")).await? {
        Node::File(file) => read_all(&file).await,
        other => panic!("{other:?}"),
    }
}

/// Copies the files of a directory, holes as holes.
pub fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .args(["-a", "--sparse=always", "--"])
        .args([from, to])
        .status();
    assert!(status.unwrap().success());
}
