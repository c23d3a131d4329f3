//! Content: a local file or tree, imported block by block into a mock node.

use std::{collections::HashSet, ops::ControlFlow, path::Path};

use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use pinner_car::{ImportOptions, Imported, import};
use pinner_mock::MockNode;

/// A tree on a [`MockNode`] of its own.
#[derive(Clone, Debug)]
pub struct Content {
    /// The node. Its log records the requests, and its script sets the faults.
    pub node: MockNode,
    /// The root of the first import.
    pub root: Cid,
    /// The result of that import.
    pub imported: Imported,
    /// The hashes of the blocks below `root`, including `root`.
    pub blocks: HashSet<Multihash<64>>,
}

impl Content {
    /// Imports `path` with Kubo's profile `unixfs-v1-2025`: raw leaves of 1 MiB.
    pub fn import(path: impl AsRef<Path>) -> Self {
        Self::import_with(path, &ImportOptions::default())
    }

    /// Imports `path` with `options`.
    pub fn import_with(path: impl AsRef<Path>, options: &ImportOptions) -> Self {
        let (imported, blocks) = blocks_of(path.as_ref(), options);
        Self::of(imported, &blocks)
    }

    /// Puts an earlier import on a node of its own.
    pub(crate) fn of(imported: Imported, blocks: &[(Cid, Bytes)]) -> Self {
        let node = MockNode::new();
        put(&node, blocks);
        Self {
            node,
            root: imported.root,
            imported,
            blocks: blocks.iter().map(|(cid, _)| *cid.hash()).collect(),
        }
    }

    /// Imports another tree into the same node. Returns its CID.
    pub fn add(&self, path: impl AsRef<Path>) -> Cid {
        let (imported, blocks) = blocks_of(path.as_ref(), &ImportOptions::default());
        put(&self.node, &blocks);
        imported.root
    }

    /// `/ipfs/<root>/below`, or the root itself for "".
    pub fn path(&self, below: &str) -> String {
        match below {
            "" => format!("/ipfs/{}", self.root),
            below => format!("/ipfs/{}/{below}", self.root),
        }
    }
}

/// Imports `path` and returns every distinct block.
pub(crate) fn blocks_of(path: &Path, options: &ImportOptions) -> (Imported, Vec<(Cid, Bytes)>) {
    let mut blocks = Vec::new();
    let sink = |cid, bytes| {
        blocks.push((cid, bytes));
        Ok(())
    };
    let imported = import(path, options, sink, |_| ControlFlow::Continue(()))
        .unwrap_or_else(|error| panic!("importing {}: {error}", path.display()));
    (imported, blocks)
}

fn put(node: &MockNode, blocks: &[(Cid, Bytes)]) {
    for (cid, bytes) in blocks {
        node.put_unchecked(*cid, bytes.clone());
    }
}
