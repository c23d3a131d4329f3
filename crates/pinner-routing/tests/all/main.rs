//! Routing, gateways that were found, and IPNS records: over scripted servers, a real Kubo node, and other projects'
//! records.

mod blocks;
mod conformance;
mod hostile;
mod kubo;
mod names;
mod owner;
mod records;
mod routing;

use std::{net::SocketAddr, time::Duration};

use pinner_routing::{Addresses, RoutedPinner, RoutedPinnerBuilder, Routing, RoutingBuilder};
use tokio::time::Instant;
use toy_http::{Asked, Reply, ToyServer};

/// The media types of answers.
const DOCUMENT: &str = "application/json";
const LINES: &str = "application/x-ndjson";

async fn serve(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> ToyServer {
    ToyServer::start(script).await.expect("a free port")
}

/// Routers on this machine.
fn over(servers: &[&ToyServer]) -> RoutingBuilder {
    let builder = Routing::builder().allow_loopback();
    servers.iter().fold(builder, |builder, server| {
        builder.router(server.url().parse().expect("a URL"))
    })
}

/// Gateways on this machine, found by one router.
fn found_by(router: &ToyServer) -> RoutedPinnerBuilder {
    let routing = over(&[router]).build().expect("a router");
    RoutedPinner::builder(routing).addresses(loopback())
}

fn loopback() -> Addresses {
    Addresses::InternetAnd(|address| address.is_loopback())
}

/// A provider at these multiaddrs, as JSON.
fn provider(addresses: &[String]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|it| format!("\"{it}\"")).collect();
    format!(
        r#"{{"Schema":"peer","ID":"12D3KooWx","Addrs":[{}],"Protocols":["transport-ipfs-gateway-http"]}}"#,
        quoted.join(",")
    )
}

/// The multiaddr of a gateway on this machine.
fn at(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}/http", address.ip(), address.port())
}

/// The answer that names these gateways.
fn naming(servers: &[SocketAddr]) -> Reply {
    let providers: Vec<_> = servers.iter().map(|it| provider(&[at(*it)])).collect();
    Reply::ok(
        DOCUMENT,
        format!(r#"{{"Providers":[{}]}}"#, providers.join(",")),
    )
}

/// A deadline that no call over loopback comes near.
fn late() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
