//! Gateways that fail, and the gateways that are asked instead. Some of these tests measure how long that takes, while
//! the nodes of `conformance` take much of a machine, so these are two binaries.

mod answers;
mod failover;

use std::{sync::Arc, time::Duration};

use pinner_api::{BlockRequest, Bytes, Cid, Pinner, PinnerError};
use pinner_conformance::Block;
use pinner_gateway::{GatewayPinner, GatewayPinnerBuilder};
use toy_http::{Asked, Reply, ToyServer};

/// Answers any request with the block.
fn raw(block: &Block) -> Reply {
    Reply::ok("application/vnd.ipld.raw", &block.bytes)
}

/// A gateway's statement that it has no such block.
fn absent(asked: &Asked) -> Reply {
    Reply::with(
        404,
        &[("X-Ipfs-Path", asked.path())],
        "block was not found locally",
    )
}

async fn serve(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> ToyServer {
    ToyServer::start(script).await.expect("a free port")
}

/// A server that always sends this answer.
async fn always(reply: Reply) -> ToyServer {
    serve(move |_| reply.clone()).await
}

fn over(servers: &[&ToyServer]) -> GatewayPinnerBuilder {
    let endpoints = servers
        .iter()
        .map(|server| server.url().parse().expect("a URL"));
    GatewayPinner::builder().gateways(endpoints)
}

async fn get(pinner: &GatewayPinner, cid: &Cid) -> Result<Bytes, PinnerError> {
    let answer = pinner.block(&BlockRequest::new(*cid)).await?;
    Ok(answer.bytes)
}

/// A deadline that is short enough for a test.
const SHORT: Duration = Duration::from_millis(600);

fn block() -> Arc<Block> {
    Arc::new(Block::unique(1000))
}
