//! Answers that must not pass as a block, and answers that do.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use pinner_api::{BlockRequest, Cid, MAX_BLOCK, Pinner, PinnerError};
use pinner_conformance::Block;

use crate::server::{BROKE_OFF, CHUNKED, Reply, Server, chunked, refusal, status};

const RAW: u64 = 0x55;

/// The result of asking for a block when the node answers `block/get` like this.
async fn asked(cid: Cid, reply: Reply) -> Result<usize, PinnerError> {
    let server = Server::start(move |call| call.starts_with("block/get").then(|| reply.clone()));
    let server = server.await.expect("a server");
    let block = server.pinner().await.block(&BlockRequest::new(cid)).await;
    block.map(|answer| answer.bytes.len())
}

#[track_caller]
fn is_corrupt(what: &str, got: &Result<usize, PinnerError>) {
    assert!(
        matches!(got, Err(PinnerError::Corrupt { .. })),
        "{what}: {got:?}"
    );
}

#[tokio::test]
async fn a_whole_block_comes_back() {
    for len in [1, 1000, 64 * 1024, 64 * 1024 + 1, MAX_BLOCK] {
        let block = Block::new(RAW, vec![7; len]);
        let got = asked(block.cid, chunked(&block.bytes, "")).await;
        assert_eq!(got.ok(), Some(len));
    }
    let empty = Block::new(RAW, Vec::new());
    assert_eq!(asked(empty.cid, chunked("", "")).await.ok(), Some(0));
}

#[tokio::test]
async fn the_beginning_of_a_block_is_no_block() {
    for len in [100, 200_000] {
        let block = Block::unique(len);
        let half = &block.bytes[..len / 2];
        // The node broke off: status 200, chunks with an end, and the error in a place that the client does not read.
        let got = asked(block.cid, chunked(half, BROKE_OFF)).await;
        is_corrupt("broke off", &got);
        // The connection broke in the middle of a chunk.
        let mut cut = format!("{CHUNKED}{len:x}\r\n").into_bytes();
        cut.extend(half);
        let got = asked(block.cid, Reply::Bytes(cut)).await;
        assert!(
            matches!(got, Err(PinnerError::Unavailable { .. })),
            "{got:?}"
        );
        // A proxy marks the end of an answer by closing the connection, and closed it too early.
        let mut closed = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        closed.extend(half);
        is_corrupt("closed", &asked(block.cid, Reply::Bytes(closed)).await);
    }
}

#[tokio::test]
async fn nothing_is_no_block() {
    let block = Block::unique(100);
    is_corrupt("empty", &asked(block.cid, chunked("", "")).await);
    is_corrupt("empty", &asked(block.cid, chunked("", BROKE_OFF)).await);
    is_corrupt("empty", &asked(block.cid, status("200 OK", "")).await);
}

#[tokio::test]
async fn something_else_is_no_block() {
    let block = Block::unique(100);
    let other = Block::unique(100);
    is_corrupt(
        "another",
        &asked(block.cid, chunked(&other.bytes, "")).await,
    );
    let page = "<html>please log in</html>";
    is_corrupt("a page", &asked(block.cid, status("200 OK", page)).await);
    let garbage = Reply::Bytes(b"\x16\x03\x01 no HTTP at all\r\n\r\n".to_vec());
    let got = asked(block.cid, garbage).await;
    assert!(
        matches!(got, Err(PinnerError::Unavailable { .. })),
        "{got:?}"
    );
}

#[tokio::test]
async fn too_much_is_no_block() {
    let block = Block::new(RAW, vec![7; MAX_BLOCK + 1]);
    is_corrupt(
        "too large",
        &asked(block.cid, chunked(&block.bytes, "")).await,
    );
    // Such an answer is not read to its end.
    let mib = format!("100000\r\n{}\r\n", "x".repeat(1 << 20)).into_bytes();
    let endless = Reply::AndForEver(CHUNKED.into(), mib);
    is_corrupt("endless", &asked(block.cid, endless).await);
}

#[tokio::test]
async fn a_drip_is_out_of_time() {
    let block = Block::unique(100);
    let drip = [CHUNKED.as_bytes(), b"1\r\nx\r\n"].concat();
    for reply in [Reply::AndSilence(Vec::new()), Reply::AndSilence(drip)] {
        let got = asked(block.cid, reply).await;
        assert!(matches!(got, Err(PinnerError::TimedOut { .. })), "{got:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let cid = Block::unique(100).cid;
    let absent = format!("block was not found locally (offline): ipld: could not find {cid}");
    let got = asked(cid, refusal(&absent)).await;
    assert!(
        matches!(got, Err(PinnerError::NotFound { cid: it }) if it == cid),
        "{got:?}"
    );
    let got = asked(cid, refusal("context deadline exceeded")).await;
    assert!(matches!(got, Err(PinnerError::TimedOut { .. })), "{got:?}");
    let got = asked(cid, refusal("the disk is full")).await;
    assert!(
        matches!(got, Err(PinnerError::Unavailable { .. })),
        "{got:?}"
    );
    // An answer that comes from no command.
    let denied = "Kubo RPC Access Denied: Please provide a valid authorization token\n";
    let got = asked(cid, status("403 Forbidden", denied)).await;
    assert!(matches!(got, Err(PinnerError::Denied { .. })), "{got:?}");
    let got = asked(
        cid,
        status("429 Too Many Requests", "429 Too Many Requests"),
    )
    .await;
    assert!(
        matches!(got, Err(PinnerError::RateLimited { .. })),
        "{got:?}"
    );
    let got = asked(cid, status("502 Bad Gateway", "<html>upstream</html>")).await;
    assert!(
        matches!(got, Err(PinnerError::Unavailable { .. })),
        "{got:?}"
    );
    // A success without a body, which no command sends either.
    let got = asked(cid, status("204 No Content", "")).await;
    assert!(got.is_err(), "{got:?}");
}

#[tokio::test]
async fn the_deadline_of_a_request_covers_the_wait_for_a_turn() {
    const SHORT: Duration = Duration::from_millis(400);
    let block = Block::unique(100);
    let server = Server::start(move |call| {
        call.starts_with("block/get")
            .then(|| Reply::AndSilence(Vec::new()))
    });
    let server = server.await.expect("a server");
    let builder = server.builder().block_deadline(Duration::from_secs(60));
    let builder = builder.in_flight(NonZeroUsize::MIN);
    let pinner = builder.connect().await.expect("a node");
    let begun = Instant::now();
    let request = BlockRequest::new(block.cid).with_deadline(begun + SHORT);
    for got in join_all((0..3).map(|_| pinner.block(&request))).await {
        match got.expect_err("the node hangs") {
            PinnerError::TimedOut { after, .. } => assert!(after <= SHORT && after > SHORT / 2),
            other => panic!("{other:?}"),
        }
    }
    assert!((SHORT..SHORT * 20).contains(&begun.elapsed()));
    assert_eq!(server.calls("block/get").len(), 1, "one had a turn");
    // A request that is late when it comes is not sent.
    match pinner.block(&request).await.expect_err("it is late") {
        PinnerError::TimedOut { after, .. } => assert_eq!(after, Duration::ZERO),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.calls("block/get").len(), 1);
}
