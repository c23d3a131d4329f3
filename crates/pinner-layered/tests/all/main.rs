//! Sources joined into one backend: the conformance suite, and tests of the order in which they are asked.

mod conformance;
mod order;
mod wrong;

use std::sync::Arc;

use pinner_api::{BlockRequest, Bytes, Cid, Holder, Pinner, PinnerError};
use pinner_layered::{Layered, LayeredBuilder};
use pinner_mock::MockNode;

fn holder(n: u8) -> Holder {
    Holder::new([n; 8], [n; 16])
}

/// These nodes as sources, in this order.
fn sources(nodes: &[&MockNode]) -> LayeredBuilder {
    let nodes = nodes.iter().map(|node| Arc::new((*node).clone()));
    nodes.fold(Layered::builder(), |builder, node| builder.source(node))
}

async fn get(layered: &Layered, cid: &Cid) -> Result<Bytes, PinnerError> {
    let answer = layered.block(&BlockRequest::new(*cid)).await?;
    Ok(answer.bytes)
}
