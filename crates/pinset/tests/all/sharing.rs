//! A block is fetched once for all who wait for it, and cancelling one of them does not affect the others (I6).

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use test_support::content::{MIB, add_file, stream};

use crate::{host::Host, pinsets::ipfs};

const BUDGET: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_readers_share_each_fetch_though_half_of_them_are_cancelled() {
    let node = MockNode::new();
    let bytes = stream(5 * MIB + 3);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Arc::new(Host::new(&node, BUDGET).await);
    let gate = Gate::new();
    node.script(When::any_block(), Fault::HangUntil(gate.clone()));
    let path = format!("/ipfs/{cid}");
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let (host, path) = (host.clone(), path.clone());
            tokio::spawn(async move { host.read(&path).await })
        })
        .collect();
    // All readers wait for one block.
    gate.reached(1).await;
    let mut kept = Vec::new();
    for (n, reader) in readers.into_iter().enumerate() {
        if n % 2 == 0 {
            reader.abort();
            assert!(reader.await.is_err_and(|error| error.is_cancelled()));
        } else {
            kept.push(reader);
        }
    }
    gate.open();
    for reader in kept {
        assert_eq!(reader.await.unwrap(), bytes);
    }
    for block in node.blocks() {
        assert_eq!(node.blocks_asked(&block), 1, "{block}");
    }
}

#[tokio::test]
async fn a_fetch_that_nobody_waits_for_is_dropped() {
    let node = MockNode::new();
    let cid = add_file(&node, b"nobody", Profile::default());
    let host = Arc::new(Host::new(&node, BUDGET).await);
    let gate = Gate::new();
    node.script(When::any_block(), Fault::HangUntil(gate.clone()));
    let path = format!("/ipfs/{cid}");
    let opening = {
        let (host, path) = (host.clone(), path.clone());
        tokio::spawn(async move { host.mode.open(&ipfs(&path)).await.map(|_| ()) })
    };
    gate.reached(1).await;
    opening.abort();
    gate.deserted().await;
    gate.open();
    assert_eq!(host.read(&path).await, b"nobody");
}

#[tokio::test]
async fn memory_for_blocks_on_their_way_is_bounded() {
    let node = MockNode::new();
    let files: Vec<_> = (0..40)
        .map(|n| add_file(&node, &stream(1000 + n), Profile::default()))
        .collect();
    // There is room for two of the largest blocks.
    let host = Host::with(&node, |pinset| pinset.in_flight_bytes(4 << 20), BUDGET).await;
    let mut reads: FuturesUnordered<_> = files
        .iter()
        .map(|cid| {
            let path = format!("/ipfs/{cid}");
            let host = &host;
            async move { host.read(&path).await.len() }
        })
        .collect();
    while reads.next().await.is_some() {}
    assert!(node.stats().in_flight_max <= 2, "{:?}", node.stats());
}
