//! Behavior of the collector that matches a real node's and that the conformance suite does not test.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use ipld_dagpb::{PbLink, PbNode};
use pinner_api::{BlockRequest, Capabilities, Cid, PinDepth, Pinner, PinnerError};
use pinner_mock::{MockError, MockNode};

use crate::holder;

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

fn node_over(links: &[Cid]) -> Vec<u8> {
    let links = links.iter().map(|cid| PbLink {
        cid: *cid,
        name: None,
        size: None,
    });
    let node = PbNode {
        links: links.collect(),
        data: None,
    };
    node.into_bytes()
}

/// A CID with this hash function and this digest.
fn cid_of(codec: u64, code: u64, digest: &[u8]) -> Cid {
    let hash = cid::multihash::Multihash::wrap(code, digest).expect("at most 64 bytes");
    Cid::new_v1(codec, hash)
}

/// Asserts that a lazily pinned root over `child` makes every collection fail until it is unpinned. Returns the
/// error.
async fn poisons(node: &MockNode, child: Cid) -> MockError {
    let garbage = node.put(RAW, "garbage");
    let root = node.put(DAG_PB, node_over(&[child]));
    node.pin(&holder(), &root, PinDepth::Lazy)
        .await
        .expect("pin");
    let error = node.collect_garbage().expect_err("a poisoned collection");
    assert!(
        node.contains(&garbage),
        "a failed collection removes nothing"
    );
    assert_eq!(node.collect_garbage(), Err(error.clone()), "it stays so");
    node.unpin(&holder(), &root).await.expect("unpin");
    let collected = node.collect_garbage().expect("healed");
    assert!(collected.removed.contains(&garbage));
    error
}

#[tokio::test]
async fn an_undecodable_block_below_a_lazy_pin_stops_the_collector() {
    let node = MockNode::new();
    let child = node.put(DAG_PB, &b"\xff\xff\xff no dag-pb"[..]);
    let error = poisons(&node, child).await;
    assert!(matches!(error, MockError::Poisoned { block, .. } if block == child));
}

#[tokio::test]
async fn a_link_that_no_node_takes_stops_the_collector() {
    // sha2-256 cut to 10 bytes; md5; murmur3. None of them is on the node.
    for (code, len) in [(0x12, 10), (0xd5, 16), (0x22, 8)] {
        let child = cid_of(RAW, code, &vec![7; len]);
        let error = poisons(&MockNode::new(), child).await;
        assert!(matches!(error, MockError::Poisoned { block, .. } if block == child));
    }
}

#[tokio::test]
async fn what_is_unusual_and_harmless_is_kept() {
    let node = MockNode::new();
    let sha1 = cid_of(RAW, 0x11, &[1; 20]);
    let sha2_512 = cid_of(RAW, 0x13, &[2; 64]);
    let identity = cid_of(RAW, 0x00, b"in the CID");
    let unknown_codec = node.put(0x9999, "who knows");
    let missing = cid_of(DAG_PB, 0x12, &[3; 32]);
    let dag_cbor = node.put(0x71, &b"\xff no dag-cbor, and nobody looks"[..]);
    for cid in [sha1, sha2_512] {
        node.put_unchecked(cid, "present");
    }
    let links = [sha1, sha2_512, identity, unknown_codec, missing, dag_cbor];
    let root = node.put(DAG_PB, node_over(&links));
    node.pin(&holder(), &root, PinDepth::Lazy)
        .await
        .expect("pin");
    assert!(node.collect_garbage().expect("harmless").removed.is_empty());
    assert_eq!(node.len(), 5);
}

#[tokio::test]
async fn a_hole_in_a_recursive_pin_stops_the_collector() {
    let node = MockNode::new();
    let leaf = node.put(RAW, "leaf");
    let root = node.put(DAG_PB, node_over(&[leaf]));
    node.pin(&holder(), &root, PinDepth::Recursive)
        .await
        .expect("pin");
    assert!(node.remove(&leaf));
    let hole = MockError::Incomplete {
        root,
        missing: leaf,
    };
    assert_eq!(node.collect_garbage(), Err(hole));
    node.put_block(leaf, "leaf").expect("its bytes");
    assert!(
        node.collect_garbage()
            .expect("whole again")
            .removed
            .is_empty()
    );
}

#[tokio::test]
async fn a_recursive_pin_of_what_does_not_decode_is_refused() {
    let node = MockNode::new();
    let bad = node.put(DAG_PB, &b"\xff\xff"[..]);
    let root = node.put(DAG_PB, node_over(&[bad]));
    let refused = node.pin(&holder(), &root, PinDepth::Recursive).await;
    assert!(matches!(refused, Err(PinnerError::Corrupt { .. })));
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn without_a_collector_nothing_is_collected() {
    let can = Capabilities::blocks_only().with_recursive_pins();
    let node = MockNode::builder().capabilities(can).build();
    node.put(RAW, "stays");
    assert_eq!(node.collect_garbage(), Err(MockError::NoCollector));
    assert_eq!(node.len(), 1);
}

#[tokio::test]
async fn one_block_under_two_codecs_is_kept_with_its_links() {
    let node = MockNode::new();
    let leaf = node.put(RAW, "leaf");
    let inner = node.put(DAG_PB, node_over(&[leaf]));
    // The raw link to the same bytes is met first, and does not hide the dag-pb link.
    let raw = Cid::new_v1(RAW, *inner.hash());
    for links in [[raw, inner], [inner, raw]] {
        let root = node.put(DAG_PB, node_over(&links));
        node.pin(&holder(), &root, PinDepth::Recursive)
            .await
            .expect("pin");
        node.collect_garbage().expect("a collection");
        assert!(node.contains(&leaf));
        node.unpin(&holder(), &root).await.expect("unpin");
    }
}

#[tokio::test]
async fn a_foreign_pin_is_released_by_its_owner_alone() {
    let node = MockNode::new();
    let leaf = node.put(RAW, "leaf");
    node.foreign_pin(&leaf).expect("complete");
    assert_eq!(node.foreign_pins(), [leaf]);
    assert!(node.pinned().is_empty());
    node.collect_garbage().expect("a collection");
    assert!(node.contains(&leaf));
    assert!(node.foreign_unpin(&leaf));
    node.collect_garbage().expect("a collection");
    assert!(node.is_empty() && node.blocks().is_empty());
}

/// Generated leaves need no memory, and a pin or a collection does not generate them.
#[tokio::test]
async fn generated_leaves_are_made_when_they_are_read() {
    const LEAF: usize = 1 << 20;
    let (node, made) = (MockNode::new(), Arc::new(AtomicUsize::new(0)));
    let leaves: Vec<_> = (0..200_u8)
        .map(|n| {
            let bytes = move || Bytes::from(vec![n; LEAF]);
            let cid = MockNode::new().put(RAW, bytes());
            let made = made.clone();
            let make = Arc::new(move || {
                made.fetch_add(1, Ordering::Relaxed);
                bytes()
            });
            match n % 2 {
                0 => node.put_generated(cid, make),
                _ => node.put_remote_generated(cid, make),
            }
            cid
        })
        .collect();
    let root = node.put(DAG_PB, node_over(&leaves));
    node.pin(&holder(), &root, PinDepth::Recursive)
        .await
        .expect("pin");
    node.collect_garbage().expect("a collection");
    assert_eq!((node.len(), node.stats().fetched), (201, 100));
    assert_eq!(made.load(Ordering::Relaxed), 0);
    let answer = node.block(&BlockRequest::new(leaves[7])).await;
    assert_eq!(answer.expect("a leaf").bytes, vec![7; LEAF]);
    assert_eq!(made.load(Ordering::Relaxed), 1);
}
