//! A pinset over a mock node, with its own staging.

use std::sync::Arc;

use pinner_mock::MockNode;
use pinset::{CacheMode, File, Node, PinsetBuilder};
use tempfile::TempDir;

use crate::pinsets::{ipfs, read_all};

/// A pinset over `node`. Its directories are removed with it.
pub(crate) struct Host {
    pub(crate) node: MockNode,
    pub(crate) mode: CacheMode,
    pub(crate) dir: TempDir,
}

impl Host {
    pub(crate) async fn new(node: &MockNode, budget: u64) -> Self {
        Self::with(node, |pinset| pinset, budget).await
    }

    pub(crate) async fn with(
        node: &MockNode,
        set: impl FnOnce(PinsetBuilder) -> PinsetBuilder,
        budget: u64,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pinset =
            PinsetBuilder::new(Arc::new(node.clone()), budget).lock_dir(dir.path().join("lock"));
        Self {
            node: node.clone(),
            mode: set(pinset).shared().await.unwrap(),
            dir,
        }
    }

    pub(crate) async fn file(&self, path: &str) -> File {
        match self.mode.open(&ipfs(path)).await.unwrap() {
            Node::File(file) => file,
            other => panic!("{path} is not a file: {other:?}"),
        }
    }

    pub(crate) async fn read(&self, path: &str) -> Vec<u8> {
        read_all(&self.file(path).await).await.unwrap()
    }
}
