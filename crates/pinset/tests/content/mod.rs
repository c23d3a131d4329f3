//! What these tests read: local files imported into a mock node, and pinsets over it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part"
)]

pub mod balanced;

use std::{ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use cid::Cid;
use pinner_car::{ImportOptions, Profile, import};
use pinner_mock::MockNode;
use pinset::{CacheMode, File, Node, Pinset};
use tempfile::TempDir;

pub const MIB: usize = 1 << 20;

/// `n` bytes that no two blocks share.
pub fn stream(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ n as u64;
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(n);
    bytes
}

/// Imports what lies at `path` into `node`, with Kubo's parameters.
pub fn add(node: &MockNode, path: &Path, profile: Profile) -> Cid {
    let options = ImportOptions {
        profile,
        hidden: true,
        ..ImportOptions::default()
    };
    let sink = |cid, block| {
        node.put_unchecked(cid, block);
        Ok(())
    };
    import(path, &options, sink, |_| ControlFlow::Continue(()))
        .unwrap()
        .root
}

/// Imports a file of these bytes.
pub fn add_file(node: &MockNode, bytes: &[u8], profile: Profile) -> Cid {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    add(node, file.path(), profile)
}

/// A pinset over `node` with staging of its own.
pub struct Host {
    pub node: MockNode,
    pub mode: CacheMode,
    pub dir: TempDir,
}

impl Host {
    pub fn new(node: &MockNode, budget: u64) -> Self {
        Self::with(node, |pinset| pinset, budget)
    }

    pub fn with(node: &MockNode, set: impl FnOnce(Pinset) -> Pinset, budget: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pinset = Pinset::new(Arc::new(node.clone()), budget).lock_dir(dir.path().join("lock"));
        Self {
            node: node.clone(),
            mode: set(pinset).shared().unwrap().into(),
            dir,
        }
    }

    pub async fn file(&self, path: &str) -> File {
        match self.mode.open(path).await.unwrap() {
            Node::File(file) => file,
            other => panic!("{path} is no file: {other:?}"),
        }
    }

    pub async fn read(&self, path: &str) -> Vec<u8> {
        read_all(&self.file(path).await).await.unwrap()
    }
}

/// All of a file, in reads of 64 KiB.
pub async fn read_all(file: &File) -> Result<Vec<u8>, pinset::Error> {
    let mut all = Vec::new();
    loop {
        let bytes = file.read_at(all.len() as u64, 64 << 10).await?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&bytes);
    }
}

/// Waits for what happens beside the reads.
pub async fn until(what: &str, mut there: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come");
}
