//! Calls to a server that answers well or badly: their results, and how long they take.

mod addresses;
mod body;
mod connections;
mod errors;
mod hostile;
mod redirects;
mod retries;
mod streams;
mod tls;

use std::{net::SocketAddr, time::Duration};

use pinner_http::{Answer, Client, ClientBuilder, Endpoint, HttpError, RetryPolicy};
use tokio::time::Instant;
use toy_http::{Asked, Reply, ToyServer};

/// The limit on bodies in these tests, in bytes.
const LIMIT: usize = 1000;

/// A deadline that no call over loopback comes near.
fn late() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A deadline that a test can wait for.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

async fn serve(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> ToyServer {
    ToyServer::start(script).await.expect("a free port")
}

fn builder(server: &ToyServer) -> ClientBuilder {
    let endpoint: Endpoint = server.url().parse().expect("a URL");
    Client::builder(endpoint)
}

fn client(server: &ToyServer) -> Client {
    builder(server).build().expect("a client")
}

/// One attempt at `/x`.
async fn once(server: &ToyServer, deadline: Instant) -> Result<Answer, HttpError> {
    let request = client(server).get("x").retry(RetryPolicy::NEVER);
    request.whole(LIMIT, deadline).await
}

/// A loopback address on which nobody listens.
async fn nobody() -> SocketAddr {
    serve(|_| Reply::default()).await.address()
}

/// Whether this time is a deadline of [`soon`] plus at most what a busy machine adds.
fn in_time(elapsed: Duration) -> bool {
    elapsed < Duration::from_secs(5)
}
