//! Connecting and its failures, names, and the number of concurrent calls.

use std::{
    error::Error,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use pinner_api::{BlockRequest, Capabilities, Holder, Names, PinDepth, Pinner, PinnerError};
use pinner_conformance::Block;
use pinner_ipfs_api::{ConnectError, IpfsApiPinner};

use crate::server::{Reply, Server, chunked, refusal, status};

async fn connected(reply: Reply) -> Result<Capabilities, ConnectError> {
    let server = Server::start(move |call| call.starts_with("version").then(|| reply.clone()));
    let server = server.await.expect("a server");
    let builder = server.builder().call_deadline(Duration::from_millis(300));
    Ok(builder.connect().await?.capabilities())
}

fn version(version: &str) -> Reply {
    chunked(
        format!("{{\"Version\":\"{version}\",\"Commit\":\"\"}}\n"),
        "",
    )
}

#[tokio::test]
async fn the_version_decides_about_lazy_pins() {
    let new = connected(version("0.43.0")).await.expect("a node");
    assert!(new.lazy_pins && new.recursive_pins && new.names && new.collects);
    let old = connected(version("0.42.0")).await.expect("a node");
    assert_eq!(old.with_lazy_pins(), new);
    assert!(!old.lazy_pins);
}

#[tokio::test]
async fn an_old_node_gets_no_lazy_pins() {
    let server = Server::start(|call| call.starts_with("version").then(|| version("0.42.0")));
    let server = server.await.expect("a server");
    let pinner = server.pinner().await;
    let root = Block::unique(100).cid;
    let holder = Holder::new([1; 8], [1; 16]);
    let got = pinner.pin(&holder, &root, PinDepth::Lazy).await;
    assert!(
        matches!(got, Err(PinnerError::Unsupported { .. })),
        "{got:?}"
    );
    pinner
        .unpin(&holder, &root)
        .await
        .expect("nothing is pinned");
    assert_eq!(server.calls("files/"), Vec::<String>::new());
    assert_eq!(server.calls("block/"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_node_is_said_to_be_none() {
    for reply in [
        status("404 Not Found", "404 page not found\n"),
        status("200 OK", "<html>hello</html>"),
        status("200 OK", ""),
        version("ours"),
        refusal("what?"),
        Reply::AndForEver(b"HTTP/1.1 200 OK\r\n\r\n".into(), vec![b'x'; 4096]),
    ] {
        let got = connected(reply).await;
        assert!(matches!(got, Err(ConnectError::NotKubo { .. })), "{got:?}");
    }
    let denied = "Kubo RPC Access Denied: Please provide a valid authorization token\n";
    let got = connected(status("403 Forbidden", denied)).await;
    assert!(
        matches!(&got, Err(ConnectError::Denied { reason }) if reason.contains("Access Denied")),
        "{got:?}"
    );
    let got = connected(Reply::AndSilence(Vec::new())).await;
    assert!(
        matches!(got, Err(ConnectError::Unreachable { .. })),
        "{got:?}"
    );
    // No server is there: the port was just freed.
    let server = Server::start(|_| None).await.expect("a server");
    let client = server.client();
    drop(server);
    let got = loop {
        match IpfsApiPinner::connect(client.clone()).await {
            // The task that listens has not ended yet.
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(got, ConnectError::Unreachable { .. }), "{got:?}");
    assert!(got.source().is_some(), "{got}");
}

#[tokio::test]
async fn names_are_the_node_s_word_and_no_more() {
    let cid = Block::unique(100).cid;
    let answers = move |call: &str| {
        let said = |path: &str| Some(chunked(format!("{{\"Path\":\"{path}\"}}\n"), ""));
        match call {
            "name/resolve?arg=%2Fipns%2Fplain.example&recursive=true" => {
                said(&format!("/ipfs/{cid}"))
            }
            "name/resolve?arg=%2Fipns%2Fbelow.example&recursive=true" => {
                said(&format!("/ipfs/{cid}/a/b"))
            }
            "name/resolve?arg=%2Fipns%2Fwrong.example&recursive=true" => said("/ipns/elsewhere"),
            "name/resolve?arg=%2Fipns%2Fabsent.example&recursive=true" => Some(refusal(
                "could not resolve name: DNSLink lookup could not find a TXT record (https://example)",
            )),
            "name/resolve?arg=%2Fipns%2Flost.example&recursive=true" => {
                Some(refusal("could not resolve name"))
            }
            _ => None,
        }
    };
    let server = Server::start(answers).await.expect("a server");
    let pinner = server.pinner().await;
    let plain = pinner.resolve("plain.example").await.expect("a path");
    assert_eq!((plain.root, plain.path.as_str()), (cid, ""));
    let below = pinner.resolve("below.example").await.expect("a path");
    assert_eq!((below.root, below.path.as_str()), (cid, "a/b"));
    let wrong = pinner.resolve("wrong.example").await;
    assert!(
        matches!(wrong, Err(PinnerError::Corrupt { .. })),
        "{wrong:?}"
    );
    let lost = pinner.resolve("lost.example").await;
    assert!(
        matches!(lost, Err(PinnerError::Unavailable { .. })),
        "{lost:?}"
    );
    // A name that the node would take for another is not asked for either.
    for name in ["absent.example", "", "plain.example/x", "/"] {
        let absent = pinner.resolve(name).await;
        assert!(
            matches!(absent, Err(PinnerError::NameNotFound { .. })),
            "{name}: {absent:?}"
        );
    }
    assert_eq!(server.calls("name/resolve").len(), 5);
}

#[tokio::test]
async fn there_are_never_more_calls_than_allowed() {
    const ALLOWED: usize = 3;
    let block = Block::unique(1000);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let bytes = block.bytes.clone();
    let server = Server::start(move |call| {
        call.starts_with("block/get").then(|| {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            chunked(&bytes, "")
        })
    });
    let server = server.await.expect("a server");
    let allowed = NonZeroUsize::new(ALLOWED).expect("three");
    let pinner = server
        .builder()
        .in_flight(allowed)
        .connect()
        .await
        .expect("a node");
    assert_eq!(pinner.concurrency(), ALLOWED);
    let request = BlockRequest::new(block.cid);
    let calls = (0..40).map(|_| async {
        let got = pinner.block(&request).await;
        now.fetch_sub(1, Ordering::SeqCst);
        got
    });
    for got in join_all(calls).await {
        assert_eq!(got.expect("the block").bytes, block.bytes);
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=ALLOWED).contains(&most), "{most} calls at once");
    assert_eq!(server.calls("block/get").len(), 40);
}
