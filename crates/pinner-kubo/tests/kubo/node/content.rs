//! Content that a node cannot find, or cannot keep: an error within the deadline, nothing pinned, and a collection
//! that neither fails nor waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use kubo_daemon::{Daemon, kubo_or_not_run};
use pinner_api::{Cid, PinDepth, Pinner, PinnerError};
use pinner_conformance::Block;
use pinner_kubo::KuboPinner;
use test_support::turns::turn;
use tokio::task::block_in_place;

use super::{builder, connected, read, start};
use crate::holder;

const DEPTHS: [PinDepth; 2] = [PinDepth::Recursive, PinDepth::Lazy];

async fn nothing_is_left(daemon: &Daemon, pinner: &KuboPinner) {
    let pins: Vec<_> = pinner.pins().try_collect().await.expect("a listing");
    assert_eq!(pins, []);
    block_in_place(|| daemon.gc()).expect("a collection");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_is_late_and_holds_up_no_collection() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("content that is nowhere");
    let daemon = start(kubo.node());
    let pinner = Arc::new(connected(builder(&daemon)).await);
    let nowhere = Block::absent(0x70);
    let error = read(&pinner, &nowhere).await.expect_err("it is nowhere");
    assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&nowhere.to_string()) && text.contains(&daemon.api_url()),
        "{text}"
    );

    for depth in DEPTHS {
        let begun = Instant::now();
        let pin = tokio::spawn({
            let pinner = pinner.clone();
            async move { pinner.pin(&holder(1), &nowhere, depth).await }
        });
        let mut longest = Duration::ZERO;
        while !pin.is_finished() {
            let begun = Instant::now();
            block_in_place(|| daemon.gc()).expect("a collection");
            longest = longest.max(begun.elapsed());
        }
        let error = pin.await.expect("it ends").expect_err("it is nowhere");
        assert!(
            matches!(error, PinnerError::TimedOut { .. }),
            "{depth:?}: {error:?}"
        );
        // Both deadlines are 2 s. A busy machine may need twice that, but not many times as much.
        let slack = Duration::from_secs(20);
        assert!(
            begun.elapsed() < slack && longest < slack,
            "{depth:?}: {:?}, a collection {longest:?}",
            begun.elapsed()
        );
        nothing_is_left(&daemon, &pinner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused() {
    let _turn = turn("node");
    let kubo = kubo_or_not_run!("content that cannot be kept");
    let daemon = start(kubo.node().offline());
    let pinner = connected(builder(&daemon)).await;
    // Field 1 of the node instead of its UnixFS data; the bytes are not valid UnixFS.
    let no_unixfs = &[0x0a, 3, 1, 2, 3];
    for (codec, block) in [
        ("dag-pb", b"\xff\xff no dag-pb".as_slice()),
        ("dag-pb", no_unixfs),
        ("dag-cbor", &[0xa0]),
    ] {
        for depth in DEPTHS {
            let cid = daemon.rpc().block_put(codec, "sha2-256", block);
            let cid = cid.expect("the node accepts it without examining it");
            let pinned = pinner.pin(&holder(1), &cid, depth).await;
            match (depth, block.first()) {
                // Without links, the DAG is complete, and recursive pins need no valid UnixFS.
                (PinDepth::Recursive, Some(0x0a | 0xa0)) => {
                    pinned.expect("it is a node of its codec");
                    pinner.unpin(&holder(1), &cid).await.expect("released");
                }
                (_, _) => is_denied(&cid, pinned),
            }
            nothing_is_left(&daemon, &pinner).await;
        }
    }
    // A hash function that the node does not allow.
    let md5 = cid_of(0xd5, &[7; 16]);
    for depth in DEPTHS {
        is_denied(&md5, pinner.pin(&holder(1), &md5, depth).await);
        nothing_is_left(&daemon, &pinner).await;
    }
}

fn is_denied(cid: &Cid, pinned: Result<(), PinnerError>) {
    let error = pinned.expect_err("it cannot be kept");
    assert!(
        matches!(error, PinnerError::Denied { .. }),
        "{cid}: {error:?}"
    );
    assert!(error.to_string().contains(&cid.to_string()), "{error}");
}

fn cid_of(hash: u64, digest: &[u8]) -> Cid {
    // Version 1, raw, the hash function's number as a varint of two bytes, and the digest's length.
    let low = u8::try_from(hash & 0x7f).expect("seven bits") | 0x80;
    let high = u8::try_from(hash >> 7).expect("two bytes");
    let len = u8::try_from(digest.len()).expect("short");
    let bytes = [&[1, 0x55, low, high, len], digest].concat();
    Cid::try_from(bytes.as_slice()).expect("a CID")
}
