//! Hostile answers of routers, of gateways that were found, and of sources of records: each ends its own call, in time
//! and as an error.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use pinner_api::{BlockRequest, Pinner};
use pinner_conformance::Block;
use pinner_routing::IpnsResolver;
use tokio::time::Instant;
use toy_http::{Reply, ToyServer, hostile};

use crate::{found_by, naming, over, owner::Owner, serve};

/// The deadline of a call, and the time within which it has ended on a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);
const ENDED: Duration = Duration::from_secs(10);

/// The most that a connection takes of an endless answer, with the buffers of both sides.
const MOST_TAKEN: usize = 16 << 20;

fn took_little(name: &str, server: &ToyServer) {
    // Interim answers are skipped one by one, and none is kept.
    if name != "endless interim answers" {
        let taken = server.endless_bytes() / server.connections().max(1);
        assert!(taken < MOST_TAKEN, "{name}: {taken} bytes were taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_a_router_does_harm() {
    let elsewhere = Arc::new(serve(|_| Reply::ok("text/plain", "elsewhere")).await);
    let calls = hostile(&elsewhere.url())
        .into_iter()
        .map(|(name, reply)| async move {
            let router = serve(move |_| reply.clone()).await;
            let routing = over(&[&router]).build().unwrap();
            let began = Instant::now();
            let found = routing
                .providers(&Block::unique(10).cid, began + DEADLINE)
                .await;
            // A 404 is an answer without gateways.
            let empty = found.as_ref().is_ok_and(|it| it.is_empty());
            assert!(found.is_err() || empty, "{name}: {found:?}");
            let names = IpnsResolver::builder().routing(routing);
            let record = names.build().unwrap();
            let record = record
                .record(&Owner::new(1).name(), Instant::now() + DEADLINE)
                .await;
            assert!(record.is_err(), "{name}: {record:?}");
            assert!(began.elapsed() < 2 * ENDED, "{name}: {:?}", began.elapsed());
            took_little(name, &router);
        });
    join_all(calls).await;
    assert_eq!(elsewhere.connections(), 0, "a redirect led there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_a_gateway_that_was_found_does_harm() {
    let elsewhere = Arc::new(serve(|_| Reply::ok("text/plain", "elsewhere")).await);
    let calls = hostile(&elsewhere.url())
        .into_iter()
        .map(|(name, reply)| async move {
            let gateway = serve(move |_| reply.clone()).await;
            let address = gateway.address();
            let router = serve(move |_| naming(&[address])).await;
            let pinner = found_by(&router).build();
            let began = Instant::now();
            let request = BlockRequest::new(Block::unique(10).cid);
            let request = request.with_deadline((began + DEADLINE).into_std());
            let answer = pinner.block(&request).await;
            assert!(answer.is_err(), "{name}: {answer:?}");
            assert!(began.elapsed() < ENDED, "{name}: {:?}", began.elapsed());
            took_little(name, &gateway);
        });
    join_all(calls).await;
    assert_eq!(elsewhere.connections(), 0, "a redirect led there");
}
