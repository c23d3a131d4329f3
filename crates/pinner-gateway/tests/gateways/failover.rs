//! Several gateways: their order, the time for each, and the error when none has the block.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pinner_api::{BlockRequest, Pinner, PinnerError, SourceId, Verdict};
use pinner_conformance::Block;
use pinner_gateway::{GatewayPinner, RetryPolicy};
use tokio::time::Instant;
use toy_http::{Reply, Step, ToyServer, hostile};

use crate::{SHORT, absent, always, block, get, over, raw, serve};

async fn having(block: &Arc<Block>) -> ToyServer {
    let block = block.clone();
    serve(move |_| raw(&block)).await
}

#[tokio::test]
async fn the_first_is_asked_as_long_as_it_works() {
    let block = block();
    let (first, second) = (having(&block).await, having(&block).await);
    let pinner = over(&[&first, &second]).build().unwrap();
    for _ in 0..5 {
        get(&pinner, &block.cid).await.unwrap();
    }
    assert_eq!((first.requests().len(), second.connections()), (5, 0));
}

#[tokio::test]
async fn whatever_the_first_does_the_second_is_asked() {
    let block = block();
    for reply in [
        Reply::with(404, &[("X-Ipfs-Path", "/ipfs/x")], ""),
        Reply::with(404, &[], ""),
        Reply::with(403, &[], ""),
        Reply::with(410, &[], ""),
        Reply::with(429, &[("Retry-After", "3600")], ""),
        Reply::with(451, &[], ""),
        Reply::with(500, &[], ""),
        Reply::with(504, &[], ""),
        Reply::ok("text/html", "<html>"),
        Reply::announcing(1 << 40, 200, &[], ""),
        Reply::announcing(10, 200, &[], "cut").then(Step::Close),
        Reply::of([Step::Close]),
        Reply::of([Step::Reset]),
        Reply::of([Step::Send(b"220 mail\r\n\r\n".to_vec())]),
        Reply::with(302, &[("Location", "http://elsewhere.example/")], ""),
    ] {
        let (first, second) = (always(reply.clone()).await, having(&block).await);
        let pinner = over(&[&first, &second]).build().unwrap();
        let got = get(&pinner, &block.cid).await;
        assert_eq!(
            got.unwrap_or_else(|e| panic!("{reply:?}: {e:?}")),
            block.bytes
        );
        assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    }
}

#[tokio::test]
async fn one_that_is_not_there_is_passed_over_for_a_while() {
    let block = block();
    let nobody = always(Reply::default()).await.address();
    let second = having(&block).await;
    let pinner = GatewayPinner::builder()
        .gateway(nobody.to_string().parse().unwrap())
        .gateway(second.url().parse().unwrap())
        .build()
        .unwrap();
    get(&pinner, &block.cid).await.unwrap();
    // The first gateway is back, but is not asked while it rests.
    let back = block.clone();
    let first = ToyServer::start_at(nobody, move |_| raw(&back))
        .await
        .unwrap();
    get(&pinner, &block.cid).await.unwrap();
    assert_eq!(first.connections(), 0);
    // It is asked again once it has rested.
    while first.requests().is_empty() {
        get(&pinner, &block.cid).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = second.requests().len();
    get(&pinner, &block.cid).await.unwrap();
    assert_eq!(second.requests().len(), asked);
}

#[tokio::test]
async fn one_that_hangs_does_not_eat_the_deadline() {
    let block = block();
    let hang = always(Reply::of([Step::Hang])).await;
    let drip = Step::Drip(vec![0; 1000], Duration::from_millis(5));
    let drip = Reply::announcing(1000, 200, &[], "").then(drip);
    let drip = always(drip).await;
    let third = having(&block).await;
    let pinner = over(&[&hang, &drip, &third])
        .deadline(SHORT * 3)
        .build()
        .unwrap();
    let started = Instant::now();
    assert_eq!(get(&pinner, &block.cid).await.unwrap(), block.bytes);
    // Each of the first two was alone for its share of the time, and no longer.
    assert!(started.elapsed() >= SHORT * 2 - SHORT / 10);
    assert_eq!((hang.requests().len(), drip.requests().len()), (1, 1));
    // The one that drips has the block, and is slow: it rests now. The one that is silent may lack just this block.
    let started = Instant::now();
    get(&pinner, &block.cid).await.unwrap();
    assert!(started.elapsed() >= SHORT - SHORT / 10);
    assert_eq!((hang.requests().len(), drip.requests().len()), (2, 1));
}

#[tokio::test]
async fn one_that_is_silent_about_several_blocks_rests() {
    let blocks: Vec<_> = (0..5).map(|_| block()).collect();
    let known = blocks.clone();
    let silent = [
        Reply::of([Step::Hang]),
        Reply::with(504, &[], "not found in time"),
    ];
    for reply in silent {
        let (silent, known) = (always(reply).await, known.clone());
        let second = serve(move |asked| {
            let block = known
                .iter()
                .find(|it| it.cid.to_string() == asked.last_segment());
            raw(block.expect("one of them"))
        })
        .await;
        let pinner = over(&[&silent, &second]).hedge(SHORT / 6).build().unwrap();
        let mut asked = Vec::new();
        for block in &blocks {
            // The same block again says nothing new.
            for _ in 0..2 {
                assert_eq!(get(&pinner, &block.cid).await.unwrap(), block.bytes);
            }
            asked.push(silent.requests().len());
        }
        assert_eq!(asked, [2, 4, 5, 5, 5]);
    }
}

#[tokio::test]
async fn the_next_is_asked_beside_one_that_takes_long_and_the_first_block_wins() {
    let block = block();
    let slow = always(raw(&block).after(SHORT / 2)).await;
    let second = having(&block).await;
    // It is first all the same if the second one hangs.
    let hang = always(Reply::of([Step::Hang])).await;
    for (other, winner) in [(&second, &second), (&hang, &slow)] {
        let pinner = over(&[&slow, other]).hedge(SHORT / 10).build().unwrap();
        let answer = pinner.block(&BlockRequest::new(block.cid)).await.unwrap();
        assert_eq!(answer.bytes, block.bytes);
        assert_eq!(answer.source.unwrap().as_str(), winner.url());
    }
    // Without a hedge, the second one is not asked.
    let asked = second.requests().len();
    let pinner = over(&[&slow, &second])
        .hedge(Duration::MAX)
        .build()
        .unwrap();
    get(&pinner, &block.cid).await.unwrap();
    assert_eq!(second.requests().len(), asked);
}

#[tokio::test]
async fn one_that_sends_wrong_bytes_rests_long() {
    let block = block();
    let liar = always(Reply::ok("application/vnd.ipld.raw", "a lie")).await;
    let good = having(&block).await;
    let pinner = over(&[&liar, &good]).build().unwrap();
    let mut request = BlockRequest::new(block.cid);
    // Two calls at once: the answer to the second comes after the verdict on the first, and changes nothing.
    for answer in futures_util::future::join_all([(); 2].map(|()| pinner.block(&request))).await {
        let source = answer.unwrap().source.unwrap();
        assert_eq!(source.as_str(), liar.url());
        pinner.verdict(&request, Some(&source), Verdict::Wrong);
    }
    for _ in 0..3 {
        let answer = pinner.block(&request).await.unwrap();
        assert_eq!(answer.bytes, block.bytes);
        pinner.verdict(&request, answer.source.as_ref(), Verdict::Right);
    }
    assert_eq!((liar.requests().len(), good.requests().len()), (2, 3));
    // An answer to avoid does not overtake one that takes long.
    request = request.avoiding([SourceId::new(liar.url())]);
    let hang = always(Reply::of([Step::Hang])).await;
    let pinner = over(&[&hang, &liar]).deadline(SHORT).hedge(SHORT / 10);
    let error = pinner.build().unwrap().block(&request).await.unwrap_err();
    assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
    assert_eq!(liar.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_gateways_do_not_keep_the_block_from_coming() {
    let block = block();
    let elsewhere = having(&block).await;
    let calls = hostile(&elsewhere.url()).into_iter().map(|(name, reply)| {
        let block = &block;
        async move {
            let (bad, good) = (always(reply).await, having(block).await);
            let pinner = over(&[&bad, &good]).hedge(SHORT).build().unwrap();
            let started = Instant::now();
            for _ in 0..2 {
                // A body that ends with its connection is for the caller to check, so it may be wrong.
                let mut request = BlockRequest::new(block.cid);
                let mut answer = pinner.block(&request).await;
                if let Ok(wrong) = &answer
                    && wrong.bytes != block.bytes
                {
                    pinner.verdict(&request, wrong.source.as_ref(), Verdict::Wrong);
                    request = request.avoiding(wrong.source.clone());
                    answer = pinner.block(&request).await;
                }
                let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                assert_eq!(answer.bytes, block.bytes, "{name}");
            }
            // Without the second gateway beside it, one that stalls would take half of the 30 seconds.
            let took = started.elapsed();
            assert!(took < SHORT * 20, "{name}: {took:?}");
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(elsewhere.connections(), 0, "a redirect led there");
}

#[tokio::test]
async fn one_that_works_again_rests_no_longer() {
    let (slow, both, only_first) = (block(), block(), block());
    let cids = (slow.cid.to_string(), only_first.cid.to_string());
    let (known, extra) = (both.clone(), only_first.clone());
    let first = serve(move |asked| match asked.last_segment() {
        cid if cid == cids.0 => Reply::of([Step::Hang]),
        cid if cid == cids.1 => raw(&extra),
        _ => raw(&known),
    })
    .await;
    let (had, has) = (slow.clone(), both.clone());
    let second = serve(move |asked| match asked.last_segment() {
        cid if cid == had.cid.to_string() => raw(&had),
        cid if cid == has.cid.to_string() => raw(&has),
        _ => absent(asked),
    })
    .await;
    let pinner = over(&[&first, &second]).deadline(SHORT).build().unwrap();
    get(&pinner, &slow.cid).await.unwrap();
    // The first gateway rests, but no other has this block.
    get(&pinner, &only_first.cid).await.unwrap();
    let asked = second.requests().len();
    get(&pinner, &both.cid).await.unwrap();
    assert_eq!(
        second.requests().len(),
        asked,
        "the first is the first again"
    );
}

#[tokio::test]
async fn all_that_hang_are_late_together() {
    let (first, second) = (
        always(Reply::of([Step::Hang])).await,
        always(Reply::of([Step::Hang])).await,
    );
    let pinner = over(&[&first, &second]).deadline(SHORT).build().unwrap();
    let started = Instant::now();
    match get(&pinner, &block().cid).await {
        Err(PinnerError::TimedOut { after, .. }) => assert_eq!(after, SHORT),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() >= SHORT);
    assert!(started.elapsed() < SHORT * 10, "{:?}", started.elapsed());
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

/// A gateway that first answers "wait a second", and sends the block from then on.
async fn limiting(block: &Arc<Block>) -> ToyServer {
    let (block, times) = (block.clone(), AtomicUsize::new(0));
    serve(move |_| match times.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::with(429, &[("Retry-After", "1")], ""),
        _ => raw(&block),
    })
    .await
}

#[tokio::test]
async fn a_gateway_that_asks_for_time_gets_it() {
    let block = block();
    let server = limiting(&block).await;
    let pinner = over(&[&server]).build().unwrap();
    let started = Instant::now();
    let calls = [get(&pinner, &block.cid), get(&pinner, &block.cid)];
    for got in futures_util::future::join_all(calls).await {
        assert_eq!(got.unwrap(), block.bytes);
    }
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_gateway_that_asks_for_more_than_there_is_is_not_waited_for() {
    let block = block();
    let server = limiting(&block).await;
    let pinner = over(&[&server]).deadline(SHORT).build().unwrap();
    for _ in 0..3 {
        match get(&pinner, &block.cid).await {
            Err(PinnerError::RateLimited { retry_after, .. }) => {
                assert!(retry_after.is_some_and(|after| after <= Duration::from_secs(1)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.requests().len(), 1, "it was left alone");
}

#[tokio::test]
async fn an_absence_is_proven_by_all_or_by_none() {
    let nowhere = block().cid;
    let (first, second) = (serve(absent).await, serve(absent).await);
    let both = over(&[&first, &second]).build().unwrap();
    let error = get(&both, &nowhere).await.unwrap_err();
    assert!(matches!(error, PinnerError::NotFound { .. }), "{error:?}");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));

    for (reply, wanted) in [
        (Reply::with(503, &[], ""), "Unavailable"),
        (Reply::with(404, &[], "no such page"), "Unavailable"),
        (
            Reply::with(429, &[("Retry-After", "3600")], ""),
            "RateLimited",
        ),
        (Reply::with(403, &[], ""), "Denied"),
        (Reply::ok("text/html", "<html>"), "Corrupt"),
    ] {
        let other = always(reply).await;
        for servers in [[&first, &other], [&other, &first]] {
            let pinner = over(&servers).deadline(SHORT).build().unwrap();
            let error = get(&pinner, &nowhere).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(wanted), "{error:?}");
            // Asked again while the failed gateway rests.
            let error = get(&pinner, &nowhere).await.unwrap_err();
            assert!(!error.is_absence(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_ones_that_have_answered_for_good_are_not_asked_again() {
    let first = serve(absent).await;
    let second = always(Reply::with(503, &[], "")).await;
    let pinner = over(&[&first, &second]).retry(RetryPolicy::default().with_attempts(4));
    let error = get(&pinner.build().unwrap(), &block().cid)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );
    assert_eq!((first.requests().len(), second.requests().len()), (1, 4));
}

#[tokio::test]
async fn one_alone_that_is_back_is_asked_at_once() {
    // The gateway rests, but there is no other.
    let block = block();
    let times = AtomicUsize::new(0);
    let sent = block.clone();
    let server = serve(move |_| match times.fetch_add(1, Ordering::SeqCst) {
        0..5 => Reply::with(500, &[], ""),
        _ => raw(&sent),
    })
    .await;
    let pinner = over(&[&server]).build().unwrap();
    for _ in 0..5 {
        assert!(get(&pinner, &block.cid).await.is_err());
    }
    assert_eq!(get(&pinner, &block.cid).await.unwrap(), block.bytes);
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn the_deadline_of_a_request_covers_all_gateways() {
    let (first, second) = (
        always(Reply::of([Step::Hang])).await,
        always(Reply::of([Step::Hang])).await,
    );
    let pinner = over(&[&first, &second]).deadline(SHORT * 100);
    let pinner = pinner.build().unwrap();
    let started = Instant::now();
    let by = |deadline: Instant| BlockRequest::new(block().cid).with_deadline(deadline.into_std());
    let request = by(started + SHORT);
    match pinner.block(&request).await {
        Err(PinnerError::TimedOut { after, .. }) => assert!(after <= SHORT && after > SHORT / 2),
        other => panic!("{other:?}"),
    }
    assert!((SHORT..SHORT * 10).contains(&started.elapsed()));
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    // A request that is late when it comes is not sent.
    match pinner.block(&by(started)).await {
        Err(PinnerError::TimedOut { after, .. }) => assert_eq!(after, Duration::ZERO),
        other => panic!("{other:?}"),
    }
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[tokio::test]
async fn an_answer_names_its_gateway_and_the_one_to_avoid_is_asked_last() {
    let block = block();
    let (first, second) = (having(&block).await, having(&block).await);
    let pinner = over(&[&first, &second]).build().unwrap();
    let mut request = BlockRequest::new(block.cid);
    let mut sources = Vec::new();
    for _ in 0..3 {
        let answer = pinner.block(&request).await.unwrap();
        let source = answer.source.unwrap();
        sources.push(source.to_string());
        request = request.avoiding([source]);
    }
    // With both to be avoided, the order is the usual one.
    assert_eq!(sources, [first.url(), second.url(), first.url()]);
    assert_eq!((first.requests().len(), second.requests().len()), (2, 1));
    let request = BlockRequest::new(block.cid).avoiding([SourceId::new("another")]);
    pinner.block(&request).await.unwrap();
    assert_eq!((first.requests().len(), second.requests().len()), (3, 1));
    // To avoid a gateway proves no absence: it is asked if it is the last that can have the block.
    let without = serve(absent).await;
    let pinner = over(&[&first, &without]).build().unwrap();
    let request = BlockRequest::new(block.cid).avoiding([SourceId::new(first.url())]);
    let answer = pinner.block(&request).await.unwrap();
    assert_eq!(answer.source.unwrap().as_str(), first.url());
    assert_eq!((first.requests().len(), without.requests().len()), (4, 1));
}

#[tokio::test]
async fn a_gateway_that_asks_for_ever_fails_its_call_alone() {
    for asked in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let asked = asked.to_string();
        let server = always(Reply::with(429, &[("Retry-After", &asked)], "")).await;
        let pinner = over(&[&server]).deadline(Duration::MAX).build().unwrap();
        match get(&pinner, &block().cid).await {
            Err(PinnerError::RateLimited { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}
