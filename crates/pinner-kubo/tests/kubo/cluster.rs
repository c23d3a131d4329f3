//! IPFS Cluster in front of a real node: full pins belong to the cluster, and what it cannot do is refused.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use kubo_daemon::{PinKind, cluster_or_not_run, kubo_or_not_run};
use kubo_protocol::Wrapper;
use pinner_api::{Pin, PinDepth, Pinner, PinnerError};
use pinner_conformance::{Block, Dag};
use pinner_kubo::{GatewayChoice, KuboPinner};
use test_support::turns::turn;
use tokio::task::block_in_place;

use crate::{holder, put};

/// Waits for a condition: a node follows the cluster's pinset after a while.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !block_in_place(&mut is_so) {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_pins_are_the_clusters_and_lazy_ones_are_refused() {
    let _turn = turn("cluster");
    let kubo = kubo_or_not_run!("IPFS Cluster");
    let service = cluster_or_not_run!("IPFS Cluster");
    let (node, other) = block_in_place(|| {
        let node = kubo.node().start().expect("a node");
        let other = kubo.node().without_gateway().start().expect("a node");
        node.connect(&other).expect("connected");
        (node, other)
    });
    let cluster = block_in_place(|| service.start(&node)).expect("a cluster");
    let dag = Dag::file(20);
    put(&other, dag.blocks());
    let pinner = KuboPinner::builder()
        .address(cluster.proxy().parse().expect("an address"))
        .repo(node.repo_path())
        .pin_stall_deadline(Duration::from_secs(5))
        .connect()
        .await
        .expect("a node behind the proxy");
    assert!(pinner.is_cluster_proxy());
    let can = pinner.capabilities();
    assert!(can.recursive_pins && !can.lazy_pins);
    assert_eq!(
        pinner.gateway().map(ToString::to_string),
        node.gateway_url(),
        "the node's gateway is proven through the proxy too"
    );
    let lazy = pinner.pin(&holder(1), &dag.root(), PinDepth::Lazy).await;
    let error = lazy.expect_err("MFS is not the cluster's");
    assert!(
        matches!(error, PinnerError::Unsupported { .. }),
        "{error:?}"
    );

    // All blocks are there when the call returns, as with any backend.
    let pinned = pinner
        .pin(&holder(1), &dag.root(), PinDepth::Recursive)
        .await;
    pinned.expect("the other node has all of it");
    let held = |block: &Block| node.holds(&block.cid).expect("it answers");
    block_in_place(|| assert!(dag.blocks().iter().all(held)));
    let again = pinner
        .pin(&holder(1), &dag.root(), PinDepth::Recursive)
        .await;
    again.expect("it is there");
    let second = pinner
        .pin(&holder(2), &dag.root(), PinDepth::Recursive)
        .await;
    second.expect("starting from the first");

    let wrappers = [1, 2].map(|n| Wrapper::new(holder(n), dag.root()).to_string());
    let pinset = || {
        let mut pinset = cluster.pinset().expect("the cluster answers");
        pinset.sort();
        pinset
    };
    let mut wanted = wrappers.clone().to_vec();
    wanted.sort();
    until("both are in the pinset", || pinset() == wanted).await;
    let mut listed: Vec<Pin> = pinner.pins().try_collect().await.expect("a listing");
    listed.sort();
    let pin = |holder| Pin::new(holder, dag.root(), PinDepth::Recursive);
    assert_eq!(listed, [pin(holder(1)), pin(holder(2))]);
    let on_the_node = |wrapper: &String| {
        let pins = node.pin_ls(PinKind::Recursive).expect("it answers");
        pins.iter().any(|(cid, _)| cid == wrapper)
    };
    until("the node pins both", || wrappers.iter().all(on_the_node)).await;

    // Pins are counted.
    pinner
        .unpin(&holder(1), &dag.root())
        .await
        .expect("released");
    pinner
        .unpin(&holder(1), &dag.root())
        .await
        .expect("absent is fine");
    until("the node lets the first go", || !on_the_node(&wrappers[0])).await;
    block_in_place(|| {
        node.gc().expect("a collection");
        assert!(dag.blocks().iter().all(held), "the second still holds it");
    });
    pinner
        .unpin(&holder(2), &dag.root())
        .await
        .expect("released");
    until("the pinset is empty", || pinset().is_empty()).await;
    until("the node lets the second go", || !on_the_node(&wrappers[1])).await;
    block_in_place(|| {
        node.gc().expect("a collection");
        assert!(!dag.blocks().iter().any(held), "nobody holds it");
    });

    // A missing block gets no pin in the cluster, which would try to fetch it for ever.
    let incomplete = Dag::sample();
    let (missing, there) = incomplete.blocks().split_last().expect("blocks");
    put(&node, there);
    let pinned = pinner
        .pin(&holder(3), &incomplete.root(), PinDepth::Recursive)
        .await;
    let error = pinned.expect_err("a block is missing");
    assert!(error.may_pass(), "{} is missing: {error:?}", missing.cid);
    assert_eq!(pinset(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_no_cluster() {
    let _turn = turn("cluster");
    let kubo = kubo_or_not_run!("a node without IPFS Cluster");
    let node = block_in_place(|| kubo.node().offline().start()).expect("a node");
    let pinner = KuboPinner::builder()
        .address(node.api().parse().expect("an address"))
        .gateway(GatewayChoice::Off)
        .connect()
        .await
        .expect("a node");
    assert!(!pinner.is_cluster_proxy() && pinner.capabilities().lazy_pins);
}
