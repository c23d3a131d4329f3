//! A real node, and failures of its gateway, its credentials, its content and its process.

mod content;
mod forwarder;
mod gateway;

use std::time::{Duration, Instant};

use kubo_daemon::{ApiListeners, Daemon, Kubo, kubo_or_not_run};
use pinner_api::{BlockRequest, Cid, Pinner, PinnerError};
use pinner_conformance::Block;
use pinner_kubo::{Auth, Endpoint, GatewayChoice, KuboBuilder, KuboError, KuboPinner};
use test_support::turns::turn;
use tokio::task::block_in_place;

use crate::{holder, put};

/// Starts a node. The test's other tasks continue meanwhile.
fn start(node: kubo_daemon::Node) -> Daemon {
    block_in_place(|| node.start()).expect("a node")
}

fn unique_blocks<const N: usize>() -> [Block; N] {
    std::array::from_fn(|_| Block::unique(10_000))
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an address")
}

/// A builder with the RPC only, and short deadlines.
fn builder(daemon: &Daemon) -> KuboBuilder {
    KuboPinner::builder()
        .address(endpoint(&daemon.api_url()))
        .gateway(GatewayChoice::Off)
        .block_deadline(Duration::from_secs(2))
        .pin_stall_deadline(Duration::from_secs(2))
}

async fn connected(builder: KuboBuilder) -> KuboPinner {
    builder.connect().await.expect("a node")
}

async fn read(pinner: &KuboPinner, cid: &Cid) -> Result<pinner_api::Bytes, PinnerError> {
    let answer = pinner.block(&BlockRequest::new(*cid)).await?;
    Ok(answer.bytes)
}

async fn reads(pinner: &KuboPinner, block: &Block) {
    let got = read(pinner, &block.cid).await;
    assert_eq!(got.expect("it is there"), block.bytes, "{}", block.cid);
}

fn secured(kubo: &Kubo) -> Daemon {
    let secret = "basic:user:a password";
    start(kubo.node().api_authorization("user", secret, &["/api/v0"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_and_right_ones_are_not() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("credentials");
    let daemon = secured(&kubo);
    let blocks = unique_blocks::<1>();
    put(&daemon, &blocks);
    for wrong in [
        Auth::None,
        Auth::bearer("wrong"),
        Auth::basic("user", "wrong"),
    ] {
        let error = builder(&daemon).auth(wrong).connect().await;
        let error = error.expect_err("these are not the node's");
        assert!(matches!(error, KuboError::Refused { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&daemon.api_url()) && text.contains("API.Authorizations"),
            "{text}"
        );
    }
    let auth = Auth::basic("user", "a password");
    reads(&connected(builder(&daemon).auth(auth)).await, &blocks[0]).await;

    // A secret that allows only some calls.
    let secret = "bearer:a-token";
    let paths = ["/api/v0/version", "/api/v0/block"];
    let daemon = start(kubo.node().api_authorization("reader", secret, &paths));
    put_nothing_but_read(&daemon).await;
}

/// A secret that may read blocks, and nothing else.
async fn put_nothing_but_read(daemon: &Daemon) {
    let block = Block::unique(1000);
    put(daemon, std::slice::from_ref(&block));
    let pinner = connected(builder(daemon).auth(Auth::bearer("a-token"))).await;
    reads(&pinner, &block).await;
    for depth in [pinner_api::PinDepth::Recursive, pinner_api::PinDepth::Lazy] {
        let error = pinner.pin(&holder(1), &block.cid, depth).await;
        let error = error.expect_err("no call for pins is among them");
        assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains("AllowedPaths"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_address_is_no_nodes() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("a gateway taken for an RPC");
    let daemon = start(kubo.node());
    let gateway = daemon.gateway_url().expect("it has one");
    let error = KuboPinner::builder()
        .address(endpoint(&gateway))
        .connect()
        .await;
    let error = error.expect_err("it is the gateway's");
    assert!(matches!(error, KuboError::NotANode { .. }), "{error:?}");
    assert!(error.to_string().contains(&gateway), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_found_by_its_repository_or_by_either_address() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("finding a node");
    let daemon = start(kubo.node().api_listeners(ApiListeners::TcpThenUnix));
    let block = Block::unique(1000);
    put(&daemon, std::slice::from_ref(&block));
    let unix = daemon.api_unix().expect("it has a socket");
    for builder in [
        KuboPinner::builder().repo(daemon.repo_path()),
        KuboPinner::builder().address(endpoint(&daemon.api_tcp())),
        KuboPinner::builder().address(endpoint(&unix)),
    ] {
        reads(&connected(builder).await, &block).await;
    }
    let nowhere = tempfile::tempdir().expect("a directory");
    let error = KuboPinner::builder().repo(nowhere.path()).connect().await;
    let error = error.expect_err("no daemon");
    assert!(matches!(error, KuboError::NoAddress { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_is_late_and_a_restarted_one_is_back() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("a frozen node");
    let mut daemon = start(kubo.node());
    let blocks = unique_blocks::<4>();
    put(&daemon, &blocks);
    for choice in [GatewayChoice::Off, GatewayChoice::Auto] {
        let pinner = builder(&daemon).repo(daemon.repo_path()).gateway(choice);
        let pinner = connected(pinner).await;
        reads(&pinner, &blocks[0]).await;

        daemon.stop_signal().expect("it runs");
        let begun = Instant::now();
        let error = read(&pinner, &blocks[1].cid)
            .await
            .expect_err("it is frozen");
        assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
        assert!(begun.elapsed() >= Duration::from_secs(2));
        daemon.cont_signal().expect("it runs");
        reads(&pinner, &blocks[2]).await;

        block_in_place(|| daemon.stop());
        let error = read(&pinner, &blocks[1].cid).await.expect_err("it is gone");
        assert!(
            matches!(error, PinnerError::Unavailable { .. }),
            "{error:?}"
        );
        block_in_place(|| daemon.restart()).expect("it starts again");
        reads(&pinner, &blocks[3]).await;
    }
}
