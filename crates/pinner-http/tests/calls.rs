//! Whole calls against a server that answers well or badly.

use std::time::Duration;

use pinner_http::{Client, Endpoint};
use tokio::time::Instant;
use toy_http::{Reply, ToyServer};

/// Far longer than anything on loopback takes.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn client(server: &ToyServer) -> Client {
    let endpoint: Endpoint = server.url().parse().unwrap();
    Client::builder(endpoint).build().unwrap()
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_headers() {
    let server = ToyServer::start(|_| Reply::ok("Text/Plain; charset=utf-8", "hello"))
        .await
        .unwrap();
    let request = client(&server)
        .get("a b/c")
        .query("arg", "x&y")
        .query("arg", "z");
    let answer = request.whole(5, soon()).await.unwrap();
    assert_eq!(answer.body, "hello");
    assert_eq!(answer.media_type(), "text/plain");
    let asked = &server.requests()[0];
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, "/a%20b/c?arg=x%26y&arg=z");
}
