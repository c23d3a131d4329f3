//! Hostile answers of a node or of its gateway: each harms its own call alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use pinner_api::{BlockRequest, Names, Pinner};
use pinner_kubo::GatewayChoice;
use toy_http::{Reply, ToyServer, hostile};

use crate::{builder, cid, command, failure, holder, version};

/// The time for a call that ends by its deadline, which is two seconds, on a busy machine.
const IN_TIME: Duration = Duration::from_secs(10);

/// A server that answers the version, and everything else with `reply` until it turns good.
async fn turning(reply: Reply, good: Arc<AtomicBool>) -> ToyServer {
    let server = ToyServer::start(move |asked| {
        let good = good.load(Ordering::SeqCst);
        match command(asked).as_str() {
            "version" => version("0.43.0"),
            _ if !good => reply.clone(),
            "block/get" => Reply::ok("application/octet-stream", "a block"),
            _ => failure("nobody needs it"),
        }
    });
    server.await.expect("a server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_node_harms_one_call_at_a_time() {
    let elsewhere = ToyServer::start(|_| Reply::ok("text/plain", "elsewhere"));
    let elsewhere = elsewhere.await.expect("a server");
    let calls = hostile(&elsewhere.url())
        .into_iter()
        .map(|(name, reply)| async move {
            let good = Arc::new(AtomicBool::new(true));
            let node = turning(reply, good.clone()).await;
            let pinner = builder(&node).connect().await.expect("a node");
            good.store(false, Ordering::SeqCst);
            let (request, started) = (BlockRequest::new(cid()), Instant::now());
            let answer = pinner.block(&request).await;
            assert!(answer.is_err(), "{name}: {answer:?}");
            let took = started.elapsed();
            assert!(took < IN_TIME, "{name}: a block took {took:?}");
            // The calls for pins and names have the same client below them.
            let listed = async {
                pinner
                    .pins()
                    .collect::<Vec<_>>()
                    .await
                    .iter()
                    .any(Result::is_err)
            };
            let unpinned = async { pinner.unpin(&holder(), &cid()).await.is_err() };
            let resolved = async { pinner.resolve("example.org").await.is_err() };
            let started = Instant::now();
            let failed = futures_util::future::join3(listed, unpinned, resolved).await;
            assert_eq!(failed, (true, true, true), "{name}");
            let took = started.elapsed();
            assert!(took < 2 * IN_TIME, "{name}: the others took {took:?}");
            good.store(true, Ordering::SeqCst);
            let answer = pinner.block(&request).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(answer.bytes, "a block", "{name}");
        });
    join_all(calls).await;
    assert_eq!(elsewhere.connections(), 0, "a redirect led there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_gateway_does_not_keep_the_nodes_block_from_coming() {
    let elsewhere = ToyServer::start(|_| Reply::ok("text/plain", "elsewhere"));
    let elsewhere = elsewhere.await.expect("a server");
    let calls = hostile(&elsewhere.url())
        .into_iter()
        .map(|(name, reply)| async move {
            let node = turning(Reply::default(), Arc::new(AtomicBool::new(true))).await;
            let gateway = ToyServer::start(move |_| reply.clone())
                .await
                .expect("a server");
            let address = gateway.url().parse().expect("an address");
            let pinner = builder(&node).gateway(GatewayChoice::At(address));
            let pinner = pinner.connect().await.expect("a node");
            let (request, started) = (BlockRequest::new(cid()), Instant::now());
            let answer = pinner.block(&request).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(answer.bytes, "a block", "{name}");
            let took = started.elapsed();
            assert!(took < IN_TIME, "{name}: a block took {took:?}");
        });
    join_all(calls).await;
    assert_eq!(elsewhere.connections(), 0, "a redirect led there");
}
