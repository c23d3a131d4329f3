//! Archives on a correct server: what is asked, and how often.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use cid::Cid;
use futures_util::future::join_all;
use pinner_api::{BlockRequest, Pinner, PinnerError};
use pinner_car_remote::RemoteCarPinner;

use crate::{
    content::{Kind, car, indexed, many, raw, with_entries},
    server::Served,
};

async fn block(pinner: &RemoteCarPinner, cid: Cid) -> Result<pinner_api::Bytes, PinnerError> {
    Ok(pinner.block(&BlockRequest::new(cid)).await?.bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_index_a_block_costs_one_request() {
    let blocks = many(200, 20_000);
    for kind in [Kind::Sorted, Kind::MultihashSorted] {
        let served = Served::start(indexed(&car(&blocks), kind)).await;
        let pinner = served.open().await.expect("opened");
        assert_eq!(pinner.roots(), [blocks[0].0]);
        assert_eq!(pinner.len(), 200);
        // The head, and the index.
        assert_eq!(served.asked(), 2, "{kind:?}");
        for number in [199, 100, 50] {
            let (cid, bytes) = &blocks[number];
            assert_eq!(block(&pinner, *cid).await.expect("a block"), bytes);
        }
        assert_eq!(served.asked(), 5, "{kind:?}");
        // The first blocks came with the head.
        assert_eq!(
            block(&pinner, blocks[0].0).await.expect("a block"),
            blocks[0].1
        );
        assert_eq!(served.asked(), 5, "{kind:?}");
        let absent = block(&pinner, raw("absent").0).await;
        assert!(
            matches!(absent, Err(PinnerError::NotFound { .. })),
            "{absent:?}"
        );
        assert_eq!(served.asked(), 5, "{kind:?}");
        let conditional = served.server.requests();
        let conditional = conditional
            .iter()
            .filter(|asked| asked.header("if-match").is_some());
        assert_eq!(conditional.count(), 4);
        // The query of the URL stays, as a signature in it has to.
        let all = served.server.requests();
        assert!(all.iter().all(|asked| asked.target == "/x.car?secret=1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_come_in_one_request() {
    let blocks = many(64, 30_000);
    let served = Served::start(indexed(&car(&blocks), Kind::MultihashSorted)).await;
    let pinner = served.open().await.expect("opened");
    let before = served.asked();
    let read = blocks[10..50].iter().map(|(cid, _)| block(&pinner, *cid));
    for (read, (_, bytes)) in join_all(read).await.into_iter().zip(&blocks[10..50]) {
        assert_eq!(read.expect("a block"), bytes);
    }
    // All at once, but the first few may be on their way before the rest is waited for.
    let requests = served.asked() - before;
    assert!(requests <= 4, "{requests} requests for 40 blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_an_error_that_names_the_archive() {
    let blocks = many(20, 50_000);
    let old = car(&blocks);
    for (etag, bytes) in [
        ("\"2\"", old.clone()),
        ("W/\"1\"", old.clone()),
        ("\"1\"", [&old[..], &[0]].concat()),
    ] {
        let served = Served::start(old.clone()).await;
        let pinner = served.open().await.expect("opened");
        assert_eq!(
            block(&pinner, blocks[9].0).await.expect("a block"),
            blocks[9].1
        );
        served.state.put(bytes, etag);
        let error = block(&pinner, blocks[19].0)
            .await
            .expect_err("it has changed");
        let text = error.to_string();
        assert!(matches!(error, PinnerError::Corrupt { .. }), "{text}");
        assert!(
            text.contains("/x.car'") && text.contains("changed"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_etag_is_compared() {
    let blocks = many(20, 50_000);
    let served = Served::start(Vec::new()).await;
    served.state.put(car(&blocks), "W/\"1\"");
    let pinner = served.open().await.expect("opened");
    assert_eq!(
        block(&pinner, blocks[19].0).await.expect("a block"),
        blocks[19].1
    );
    served.state.put(car(&blocks), "W/\"2\"");
    let error = block(&pinner, blocks[19].0)
        .await
        .expect_err("it has changed");
    assert!(error.to_string().contains("changed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_lies_costs_the_block_and_no_other() {
    let blocks = many(10, 50_000);
    let car = car(&blocks);
    let start_of = |number: usize| {
        let at = pinner_car::parse_car(&car).expect("a CAR").sections[number].offset;
        // A varint of three bytes and a CID of 36.
        at - 39
    };
    let digest = |number: usize| blocks[number].0.hash().digest().to_vec();
    let lies = vec![
        (digest(0), start_of(0)),
        // Another block's section; nothing; the middle of a block.
        (digest(1), start_of(2)),
        (digest(3), car.len() as u64 + 5),
        (digest(4), start_of(4) + 1000),
        // Right, although others point into its section.
        (digest(5), start_of(5)),
        (digest(6), start_of(5) + 100),
        (digest(7), u64::MAX),
    ];
    let served = Served::start(with_entries(&car, Kind::MultihashSorted, lies)).await;
    let pinner = served.open().await.expect("opened");
    for number in [0, 5] {
        let read = block(&pinner, blocks[number].0).await.expect("a block");
        assert_eq!(read, blocks[number].1);
    }
    for number in [1, 4, 6] {
        let error = block(&pinner, blocks[number].0).await.expect_err("a lie");
        assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    }
    for number in [3, 7, 8] {
        let error = block(&pinner, blocks[number].0).await.expect_err("a lie");
        assert!(matches!(error, PinnerError::NotFound { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_an_unknown_kind_is_as_none() {
    let blocks = many(10, 50_000);
    let v1 = car(&blocks);
    let mut bytes = indexed(&v1, Kind::Sorted);
    let index = 51 + v1.len();
    bytes[index] = 0x85;
    let served = Served::start(bytes).await;
    let pinner = served.open().await.expect("opened");
    assert_eq!(
        block(&pinner, blocks[9].0).await.expect("a block"),
        blocks[9].1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_is_kept_and_nobody_else_is_harmed() {
    let blocks = many(20, 50_000);
    let served = Served::start(car(&blocks)).await;
    let builder = served.builder().deadline(Duration::from_millis(300));
    let pinner = builder.open().await.expect("opened");
    for flag in [&served.state.hangs, &served.state.drips] {
        flag.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let error = block(&pinner, blocks[19].0).await.expect_err("late");
        assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        flag.store(false, Ordering::SeqCst);
        assert_eq!(
            block(&pinner, blocks[19].0).await.expect("a block"),
            blocks[19].1
        );
    }
    // Nobody waits any more, so nothing is left on its way.
    served.state.hangs.store(true, Ordering::SeqCst);
    let waits = tokio::time::timeout(Duration::from_millis(50), block(&pinner, blocks[19].0));
    assert!(waits.await.is_err());
    let ended = served.server.until_open(0);
    tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_archive_is_refused_by_name() {
    for bytes in [
        b"<!doctype html>".to_vec(),
        vec![0; 100_000],
        b"\x0a\xa1\x67version\x02".to_vec(),
    ] {
        let served = Served::start(bytes).await;
        let error = served.open().await.expect_err("it is none").to_string();
        assert!(
            error.contains("/x.car'") && !error.contains("secret"),
            "{error}"
        );
    }
    let served = Served::start(Vec::new()).await;
    assert!(served.open().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_of_any_length_is_one() {
    let blocks = many(20, 20_000);
    let served = Served::start(car(&blocks)).await;
    let opened = served.builder().deadline(Duration::MAX).open().await;
    let pinner = opened.expect("opened");
    let (cid, bytes) = &blocks[19];
    assert_eq!(block(&pinner, *cid).await.expect("a block"), bytes);
}

#[test]
fn a_runtime_that_ends_leaves_no_reader_of_another_waiting() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (one, other, host) = (runtime(), runtime(), runtime());
    let blocks = many(40, 100_000);
    let served = host.block_on(Served::start(car(&blocks)));
    let opening = served.builder().requests_at_once(1).open();
    let pinner = Arc::new(host.block_on(opening).expect("opened"));
    served.state.hangs.store(true, Ordering::SeqCst);
    let read = |number: usize| {
        let (pinner, cid) = (pinner.clone(), blocks[number].0);
        async move { block(&pinner, cid).await }
    };
    let before = served.asked();
    one.spawn(read(39));
    while served.asked() == before {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Far from the first, so that it waits for a request of its own.
    let waits = other.spawn(read(10));
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    one.shutdown_background();
    let ended = other.block_on(waits).expect("it ends");
    assert!(
        matches!(ended, Err(PinnerError::Unavailable { .. })),
        "{ended:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}
