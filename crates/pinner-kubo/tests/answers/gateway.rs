//! A gateway that answers wrongly: the node is asked instead, and the gateway is not used for a while.

use std::time::{Duration, Instant};

use pinner_api::{BlockRequest, MAX_BLOCK, Pinner, PinnerError, Verdict};
use pinner_kubo::{Auth, GatewayChoice};
use toy_http::{Reply, Step, ToyServer};

use crate::{BLOCK, builder, cid, command, failure, version};

const RAW: &str = "application/vnd.ipld.raw";

/// A node that has one block.
async fn node() -> ToyServer {
    let node = ToyServer::start(|asked| match command(asked).as_str() {
        "version" => version("0.43.0"),
        "block/get" => Reply::ok("application/octet-stream", "a block"),
        _ => failure("nobody needs it"),
    });
    node.await.expect("a server")
}

#[tokio::test]
async fn whatever_a_gateway_answers_the_block_comes() {
    let absent = Reply::with(404, &[("X-Ipfs-Path", "/ipfs/x")], "not found");
    let cases = [
        // A working gateway of a node that may not fetch: it is asked for the next block too.
        (absent, 2),
        (Reply::with(504, &[], "not found in time"), 2),
        // A gateway that works is used.
        (Reply::ok(RAW, "a block"), 2),
        // A server that is not a gateway, or a gateway that fails, is not used again.
        (Reply::with(404, &[], "no such page"), 1),
        (Reply::with(500, &[], ""), 1),
        (Reply::with(429, &[("Retry-After", "1")], ""), 1),
        (Reply::with(403, &[], "go away"), 1),
        (Reply::ok("text/html", "<html>a block</html>"), 1),
        (Reply::ok(RAW, ""), 1),
        // The RPC shows whether the block is too large.
        (Reply::ok(RAW, vec![0; MAX_BLOCK + 1]), 2),
        (
            Reply::announcing(100, 200, &[("Content-Type", RAW)], "a").then(Step::Close),
            1,
        ),
        (
            Reply::with(302, &[("Location", "http://127.0.0.1:1/")], ""),
            1,
        ),
        (Reply::of([Step::Reset]), 1),
        (Reply::of([Step::Hang]), 1),
    ];
    for (reply, asked) in cases {
        let said = format!("{reply:?}");
        let node = node().await;
        let gateway = ToyServer::start(move |_| reply.clone())
            .await
            .expect("a server");
        let address = gateway.url().parse().expect("an address");
        let pinner = builder(&node)
            .gateway(GatewayChoice::At(address))
            .auth(Auth::bearer("a-token"))
            .connect()
            .await
            .expect("a node");
        let mut begun = Instant::now();
        for _ in 0..2 {
            begun = Instant::now();
            let got = pinner.block(&BlockRequest::new(cid())).await;
            let got = got.expect("the node has it");
            assert_eq!(got.bytes, "a block", "{said}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{said}");
        }
        let requests = gateway.requests();
        // On a very slow machine, the pause is over by now.
        if begun.elapsed() < Duration::from_millis(900) {
            assert_eq!(requests.len(), asked, "{said}");
        }
        assert!(requests[0].target.starts_with(&format!("/ipfs/{BLOCK}?")));
        assert_eq!(
            requests[0].header("authorization"),
            None,
            "the node's alone"
        );
    }
}

#[tokio::test]
async fn a_block_that_is_too_large_is_corrupt_if_the_node_says_so_too() {
    let node = ToyServer::start(|asked| match command(asked).as_str() {
        "version" => version("0.43.0"),
        _ => Reply::ok("application/octet-stream", vec![0; MAX_BLOCK + 1]),
    });
    let node = node.await.expect("a server");
    let gateway = ToyServer::start(|_| Reply::ok(RAW, vec![0; MAX_BLOCK + 1]));
    let gateway = gateway.await.expect("a server");
    let address = gateway.url().parse().expect("an address");
    let pinner = builder(&node).gateway(GatewayChoice::At(address));
    let pinner = pinner.connect().await.expect("a node");
    let error = pinner.block(&BlockRequest::new(cid())).await;
    let error = error.expect_err("it is too large");
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_gateway_that_lies_is_left_alone() {
    let node = node().await;
    let gateway = ToyServer::start(|_| Reply::ok(RAW, "a lie"));
    let gateway = gateway.await.expect("a server");
    let address = gateway.url().parse().expect("an address");
    let pinner = builder(&node).gateway(GatewayChoice::At(address));
    let pinner = pinner.connect().await.expect("a node");
    let request = BlockRequest::new(cid());
    // Two calls at once: the answer to the second comes after the verdict on the first, and changes nothing.
    let calls = [pinner.block(&request), pinner.block(&request)];
    for answer in futures_util::future::join_all(calls).await {
        let answer = answer.expect("an answer");
        assert_eq!(answer.bytes, "a lie");
        pinner.verdict(&request, answer.source.as_ref(), Verdict::Wrong);
    }
    for _ in 0..3 {
        let answer = pinner.block(&request).await.expect("the node has it");
        assert_eq!(answer.bytes, "a block");
        pinner.verdict(&request, answer.source.as_ref(), Verdict::Right);
    }
    assert_eq!(gateway.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_names_its_source_and_a_gateway_to_avoid_is_not_asked() {
    let node = node().await;
    let gateway = ToyServer::start(|_| Reply::ok(RAW, "a block"));
    let gateway = gateway.await.expect("a server");
    let address = gateway.url().parse().expect("an address");
    let pinner = builder(&node).gateway(GatewayChoice::At(address));
    let pinner = pinner.connect().await.expect("a node");
    let mut request = BlockRequest::new(cid());
    let mut sources = Vec::new();
    for _ in 0..3 {
        let answer = pinner.block(&request).await.expect("a block");
        let source = answer.source.expect("a source");
        sources.push(source.to_string());
        request = request.avoiding([source]);
    }
    // The RPC is the last source: it is asked even if it is to be avoided.
    assert_eq!(sources, [gateway.url(), node.url(), node.url()]);
    assert_eq!(gateway.requests().len(), 1);
}
