//! Answers that a real node cannot be made to send: they fail late, are cut, come from another program, or are garbage.
//! A stub of the RPC sends them. Likewise repositories that a real node would not write.

mod blocks;
mod connecting;
mod gateway;
mod hostile;
mod listing;
mod names;
mod pins;
mod repository;

use std::time::Duration;

use pinner_api::{Cid, Holder};
use pinner_kubo::{GatewayChoice, KuboBuilder, KuboPinner};
use toy_http::{Asked, Reply, ToyServer};

const JSON: &str = "application/json";
/// The CID of "a block", with sha2-256.
const BLOCK: &str = "bafkreih7djlnrw5gl46xj2rcdzqdpitdxcs3vazwlzxtfdezrbsdgxcqiy";

fn cid() -> Cid {
    BLOCK.parse().expect("a CID")
}

fn holder() -> Holder {
    Holder::new([1; 8], [2; 16])
}

fn version(text: &str) -> Reply {
    Reply::ok(
        JSON,
        format!(r#"{{"Version":"{text}","Commit":"","Repo":"18"}}"#),
    )
}

fn failure(message: &str) -> Reply {
    let body = format!(r#"{{"Message":{message:?},"Code":0,"Type":"error"}}"#);
    Reply::with(500, &[("Content-Type", JSON)], body)
}

/// Lines, followed by a failure that the header before them could not report.
fn late_failure(lines: &[&str], message: &str) -> Reply {
    let headers = [("Content-Type", JSON), ("Trailer", "X-Stream-Error")];
    Reply::chunked(&headers, lines, &[("X-Stream-Error", message)])
}

fn lines(lines: &[&str]) -> Reply {
    Reply::chunked(&[("Content-Type", JSON)], lines, &[])
}

fn builder(server: &ToyServer) -> KuboBuilder {
    KuboPinner::builder()
        .address(server.url().parse().expect("an address"))
        .gateway(GatewayChoice::Off)
        .block_deadline(Duration::from_secs(2))
        .pin_stall_deadline(Duration::from_millis(700))
        .retries(0)
}

/// A node of this version that answers all other commands as scripted.
async fn node(
    kubo: &'static str,
    script: impl Fn(&str, &Asked) -> Reply + Send + Sync + 'static,
) -> (ToyServer, KuboPinner) {
    let server = ToyServer::start(move |asked| match command(asked).as_str() {
        "version" => version(kubo),
        // Asks whether this is IPFS Cluster's proxy.
        "pin/ls" if asked.target.contains("arg=bafkqaaa") => {
            failure("path 'bafkqaaa' is not pinned")
        }
        command => script(command, asked),
    })
    .await
    .expect("a server");
    let pinner = builder(&server).connect().await.expect("a node");
    (server, pinner)
}

fn command(asked: &Asked) -> String {
    assert_eq!(asked.method, "POST", "{}", asked.target);
    let path = asked.path().strip_prefix("/api/v0/");
    path.expect("a call of the RPC").to_owned()
}

fn commands(server: &ToyServer) -> Vec<String> {
    server.requests().iter().map(command).collect()
}

/// The error with its causes, as a user reads it.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
