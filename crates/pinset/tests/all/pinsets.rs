//! Helpers for the tests of both binaries: they open pinsets and read from them.
#![allow(clippy::result_large_err, reason = "errors need not be fast in a test")]

use std::{path::Path, sync::Arc};

use cid::Cid;
use pinner_api::Pinner;
use pinner_mock::MockNode;
use pinset::{Budget, CacheMode, Error, File, IpfsPath, Node, PinsetBuilder};
use test_support::staged::Place;

/// Opens a pinset on the persistent staging directory of a place.
pub(crate) async fn try_open(
    place: &Place,
    node: Arc<dyn Pinner>,
    budget: u64,
) -> Result<CacheMode, Error> {
    let pinset = PinsetBuilder::new(node, budget)
        .lock_dir(place.locks())
        .staging(place.staging());
    pinset.shared().await
}

/// As [`try_open`], over a mock node. It must succeed.
pub(crate) async fn open(place: &Place, node: &MockNode, budget: u64) -> CacheMode {
    try_open(place, Arc::new(node.clone()), budget)
        .await
        .unwrap()
}

/// Opens an isolated pinset with a share of `budget`, whose lock directory is below `dir`.
pub(crate) async fn isolated(node: &MockNode, budget: &Budget, dir: &Path) -> CacheMode {
    let pinset = PinsetBuilder::new(Arc::new(node.clone()), budget.clone());
    pinset.lock_dir(dir.join("lock")).isolated().await.unwrap()
}

/// A path that is written as it should be.
pub(crate) fn ipfs(path: &str) -> IpfsPath {
    path.parse().unwrap()
}

/// Reads all of a file, by its CID.
pub(crate) async fn read(mode: &CacheMode, cid: &Cid) -> Result<Vec<u8>, Error> {
    match mode.open(&(*cid).into()).await? {
        Node::File(file) => read_all(&file).await,
        other => panic!("{other:?}"),
    }
}

/// Reads all of an open file, 64 KiB at a time.
pub(crate) async fn read_all(file: &File) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    loop {
        let bytes = file.read_at(all.len() as u64, 64 << 10).await?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&bytes);
    }
}
