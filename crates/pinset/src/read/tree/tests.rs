//! A read visits each level of its tree once, even if blocks have to be fetched.

use std::cell::Cell;

use cid::Cid;
use pinner_mock::MockNode;

use crate::{Advice, CacheMode, File, Node, PinsetBuilder};

thread_local! {
    static LOOKED: Cell<usize> = const { Cell::new(0) };
}

/// Counts a visit to a level by a descent.
pub(super) fn looked() {
    LOOKED.set(LOOKED.get() + 1);
}

/// Returns the number of visits since the last call.
fn looks() -> usize {
    LOOKED.replace(0)
}

const LEAF: usize = 20;

/// Builds a file of four raw leaves below two inner nodes below a root.
fn file_of_three_levels(node: &MockNode) -> Cid {
    let inner: Vec<_> = (0..2_u8)
        .map(|half| {
            let leaves = [2 * half, 2 * half + 1].map(|n| (node.put(0x55, vec![n; LEAF]), LEAF));
            (node.put(0x70, inner_node(&leaves)), 2 * LEAF)
        })
        .collect();
    node.put(0x70, inner_node(&inner))
}

/// Encodes an inner node above these children, each with its number of the file's bytes. All numbers are below 128.
fn inner_node(children: &[(Cid, usize)]) -> Vec<u8> {
    let total: usize = children.iter().map(|(_, len)| len).sum();
    let (mut block, mut data) = (Vec::new(), vec![0x08, 0x02, 0x18, total as u8]);
    for (cid, len) in children {
        data.extend([0x20, *len as u8]);
        let cid = cid.to_bytes();
        block.extend([0x12, cid.len() as u8 + 4, 0x0a, cid.len() as u8]);
        block.extend(cid);
        block.extend([0x12, 0x00]);
    }
    block.extend([0x0a, data.len() as u8]);
    block.extend(data);
    block
}

async fn open(node: &MockNode, dir: &std::path::Path) -> (CacheMode, File) {
    let cid = file_of_three_levels(node);
    let pinset =
        PinsetBuilder::new(std::sync::Arc::new(node.clone()), 8 << 20).lock_dir(dir.join("lock"));
    let cache = pinset.shared().await.unwrap();
    match cache.open(&cid.into()).await.unwrap() {
        Node::File(file) => (cache, file),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cold_read_looks_at_each_level_once() {
    let (node, dir) = (MockNode::new(), tempfile::tempdir().unwrap());
    let (_cache, file) = open(&node, dir.path()).await;
    file.advise(0, 0, Advice::Random);
    looks();
    for (leaf, levels) in [
        (0, 3),
        // This leaf is below the same inner node, so the descent starts there.
        (1, 1),
        (2, 3),
    ] {
        let asked = node.stats().blocks;
        let bytes = file.read_at((leaf * LEAF) as u64, LEAF).await.unwrap();
        assert_eq!(bytes, vec![leaf as u8; LEAF]);
        assert_eq!(looks(), levels, "leaf {leaf}");
        assert!(node.stats().blocks > asked, "leaf {leaf} was cold");
    }
}

#[tokio::test]
async fn what_is_read_ahead_is_looked_for_once() {
    let (node, dir) = (MockNode::new(), tempfile::tempdir().unwrap());
    let (cache, file) = open(&node, dir.path()).await;
    looks();
    file.advise(0, 1, Advice::WillNeed);
    while cache.stats().blocks_staged < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    // The root, an inner node, and both leaves below it.
    assert_eq!(looks(), 4);
    let ready = file.try_read_at(0, LEAF).unwrap().unwrap();
    assert_eq!((ready, looks()), (vec![0; LEAF].into(), 3));
}
