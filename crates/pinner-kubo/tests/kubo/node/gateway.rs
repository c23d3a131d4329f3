//! The node's gateway is used if it belongs to the node, and is never required. Connections, through it and through the
//! RPC, are kept.

use std::{fs, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use kubo_daemon::kubo_or_not_run;
use pinner_api::{BlockRequest, PinDepth, Pinner};
use pinner_conformance::Dag;
use pinner_kubo::{GatewayChoice, KuboPinner};

use super::{builder, connected, endpoint, forwarder::Forwarder, reads, start, unique_blocks};
use crate::{holder, put};
use test_support::turns::turn;

/// Hundreds of calls must need far fewer connections than calls: at most this many.
const FEW: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn another_nodes_gateway_is_not_used() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("another node's gateway");
    let [daemon, other] = [(); 2].map(|()| start(kubo.node()));
    daemon.connect(&other).expect("connected");
    let gateway = async |gateway: &str| {
        // A repository whose files came from two different daemons.
        let repo = tempfile::tempdir().expect("a directory");
        fs::write(repo.path().join("api"), daemon.api_tcp()).expect("written");
        fs::write(repo.path().join("gateway"), gateway).expect("written");
        let pinner = connected(KuboPinner::builder().repo(repo.path())).await;
        pinner.gateway().map(ToString::to_string)
    };
    let its = daemon.gateway_url().expect("it has one");
    assert_eq!(gateway(&its).await, Some(its.clone()));
    // The other gateway could fetch whatever this node has, and would store it on the other node.
    assert_eq!(
        gateway(&other.gateway_url().expect("it has one")).await,
        None
    );
    // The RPC, an unused port, and nonsense.
    assert_eq!(gateway(&daemon.api_url()).await, None);
    assert_eq!(gateway("http://127.0.0.1:1").await, None);
    assert_eq!(gateway("nonsense").await, None);
    // The block by which the gateway was recognised is gone, and is put again.
    daemon.gc().expect("a collection");
    assert_eq!(gateway(&its).await, Some(its));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_goes_away_is_missed_by_nobody_and_comes_back() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("a gateway that goes away");
    let daemon = start(kubo.node());
    let blocks = unique_blocks::<40>();
    put(&daemon, &blocks);
    let its = daemon.gateway_url().expect("it has one");
    let forwarder = Forwarder::start(&its).await;
    let (address, url) = (forwarder.address(), forwarder.url());
    let pinner = connected(builder(&daemon).gateway(GatewayChoice::At(endpoint(&url)))).await;
    reads(&pinner, &blocks[0]).await;
    assert_eq!(forwarder.connections(), 1, "it is used");
    forwarder.stop().await;
    for block in &blocks[1..20] {
        reads(&pinner, block).await;
    }
    let forwarder = Forwarder::start_at(address, &its).await;
    // After its pause, the gateway is tried again.
    let mut rounds = 0;
    while forwarder.connections() == 0 {
        reads(&pinner, &blocks[20]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        rounds += 1;
        assert!(rounds < 400, "it is not asked any more");
    }
    for block in &blocks[21..] {
        reads(&pinner, block).await;
    }
    assert!(forwarder.connections() <= FEW);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("kept connections");
    let daemon = start(kubo.node());
    let dag = Dag::file(200);
    put(&daemon, dag.blocks());
    let rpc = Forwarder::start(&daemon.api_url()).await;
    let gateway = Forwarder::start(&daemon.gateway_url().expect("it has one")).await;
    for through in [
        GatewayChoice::Off,
        GatewayChoice::At(endpoint(&gateway.url())),
    ] {
        let before = rpc.connections();
        let pinner = builder(&daemon).address(endpoint(&rpc.url()));
        let pinner = connected(pinner.gateway(through.clone())).await;
        // First one at a time, then eight at a time.
        for block in dag.blocks() {
            reads(&pinner, block).await;
        }
        let one_by_one = rpc.connections() - before;
        // A connection is free again a moment after its answer, so another one is opened now and then.
        assert!(one_by_one <= FEW, "{through:?}: {one_by_one} connections");
        let requests = dag
            .blocks()
            .iter()
            .map(|block| BlockRequest::new(block.cid));
        let requests: Vec<_> = requests.collect();
        futures_util::stream::iter(&requests)
            .map(|request| pinner.block(request))
            .buffer_unordered(8)
            .try_collect::<Vec<_>>()
            .await
            .expect("all are there");
        for depth in [PinDepth::Recursive, PinDepth::Lazy] {
            for n in 0..20 {
                let pinned = pinner.pin(&holder(n), &dag.root(), depth).await;
                pinned.expect("all of it is there");
            }
            let listed: Vec<_> = pinner.pins().try_collect().await.expect("a listing");
            assert_eq!(listed.len(), 20, "{listed:?}");
            for n in 0..20 {
                pinner
                    .unpin(&holder(n), &dag.root())
                    .await
                    .expect("released");
            }
        }
        let made = rpc.connections() - before;
        let wanted = match through {
            GatewayChoice::Off => 8 + FEW,
            _ => FEW,
        };
        assert!(made <= wanted, "{through:?}: {made} connections to the RPC");
    }
    let made = gateway.connections();
    assert!(
        (1..=8 + FEW).contains(&made),
        "{made} connections to the gateway"
    );
}
