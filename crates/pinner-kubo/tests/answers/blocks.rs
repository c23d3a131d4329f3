//! Blocks: the meaning of each failure of `block/get`.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use pinner_api::{BlockRequest, Bytes, Cid, MAX_BLOCK, Pinner, PinnerError};
use pinner_kubo::KuboPinner;
use toy_http::{Asked, Reply, Step};

use crate::{BLOCK, builder, cid, command, failure, late_failure, node, words};

async fn block(pinner: &KuboPinner) -> Result<Bytes, PinnerError> {
    let answer = pinner.block(&BlockRequest::new(cid())).await?;
    Ok(answer.bytes)
}

#[tokio::test]
async fn failures_of_a_block_are_told_apart() {
    let reply = Arc::new(Mutex::new(Reply::default()));
    let script = {
        let reply = reply.clone();
        move |command: &str, asked: &Asked| {
            assert_eq!(command, "block/get");
            let query = asked.target.split_once('?').expect("arguments").1;
            assert!(query.contains(&format!("arg={BLOCK}")), "{query}");
            // Go's durations need a unit. Without one, the answer is empty, with status 200.
            let timeout = query.split('&').find_map(|it| it.strip_prefix("timeout="));
            let number = timeout.expect("a timeout").strip_suffix("ms");
            let number: u64 = number.expect("in milliseconds").parse().expect("a number");
            assert!(0 < number && number <= 2000, "{number}");
            reply.lock().expect("one test").clone()
        }
    };
    let (_server, pinner) = node("0.43.0", script).await;
    let answer = async |its: Reply| {
        *reply.lock().expect("one test") = its;
        block(&pinner).await
    };
    let octets = "application/octet-stream";
    let got = answer(Reply::ok(octets, "a block")).await.expect("a block");
    assert_eq!(got, "a block");

    let offline = format!("block was not found locally (offline): ipld: could not find {BLOCK}");
    let error = answer(failure(&offline)).await.expect_err("absent");
    assert!(
        matches!(error, PinnerError::NotFound { cid: its } if its == cid()),
        "{error:?}"
    );
    let error = answer(failure("context deadline exceeded")).await;
    let error = error.expect_err("late at the node");
    assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
    assert!(words(&error).contains(BLOCK), "{}", words(&error));
    let error = answer(failure("flatfs: no space left on device")).await;
    let error = error.expect_err("the node's own failure");
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(words(&error).contains("no space left"), "{}", words(&error));
    let denied = Reply::with(403, &[], "Kubo RPC Access Denied: Please provide …");
    let error = answer(denied).await.expect_err("refused");
    assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
    assert!(words(&error).contains("AllowedPaths"), "{}", words(&error));
    let busy = Reply::with(429, &[("Retry-After", "7")], "");
    let error = answer(busy).await.expect_err("too many calls");
    assert!(
        matches!(error, PinnerError::RateLimited { retry_after: Some(after), .. } if after.as_secs() == 7),
        "{error:?}"
    );

    // An empty body with status 200 is Kubo's answer to a call that it does not understand.
    let error = answer(Reply::ok(octets, "")).await.expect_err("no block");
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    let cut = Reply::announcing(100, 200, &[], "only this").then(Step::Close);
    let error = answer(cut).await.expect_err("cut short");
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    let large = Reply::ok(octets, vec![0; MAX_BLOCK + 1]);
    let error = answer(large).await.expect_err("too large");
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    let late = late_failure(&["part of a block"], "unexpected EOF");
    let error = answer(late).await.expect_err("failed behind its body");
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );

    // A node that drips counts as hung, and so does a node that sends nothing.
    for hung in [
        Reply::of([
            Step::Send(Reply::head(200, &[("Content-Length", "100")])),
            Step::Drip(vec![1; 100], Duration::from_millis(300)),
        ]),
        Reply::of([Step::Hang]),
    ] {
        let begun = Instant::now();
        let error = answer(hung).await.expect_err("late");
        assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
        assert!(begun.elapsed() >= Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_search_that_takes_most_of_the_time_is_not_given_up() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 7\r\n\r\na block";
    let asked = AtomicUsize::new(0);
    let script = move |_: &str, _: &Asked| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::of([
            Step::Wait(Duration::from_millis(2500)),
            Step::Send(answer.into()),
        ]),
        _ => Reply::of([Step::Hang]),
    };
    let (server, _) = node("0.43.0", script).await;
    let patient = builder(&server).block_deadline(Duration::from_secs(4));
    let pinner = patient.connect().await.expect("a node");
    assert_eq!(block(&pinner).await.expect("a block"), "a block");
}

#[tokio::test]
async fn a_node_that_forgets_a_want_is_asked_again_in_time() {
    let asked = AtomicUsize::new(0);
    let script = move |_: &str, _: &Asked| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::of([Step::Hang]),
        _ => Reply::ok("application/octet-stream", "a block"),
    };
    let (server, _) = node("0.43.0", script).await;
    let patient = builder(&server).block_deadline(Duration::from_secs(4));
    let pinner = patient.connect().await.expect("a node");
    let begun = Instant::now();
    assert_eq!(block(&pinner).await.expect("a block"), "a block");
    // The second want comes in the last quarter of the time.
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn an_empty_block_is_one_by_its_own_cid_alone() {
    let (_server, pinner) = node("0.43.0", |_, _| Reply::ok("application/octet-stream", "")).await;
    // The sha2-256 of no bytes.
    let empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    let empty: Cid = empty.parse().expect("a CID");
    let got = pinner.block(&BlockRequest::new(empty)).await;
    assert_eq!(got.expect("it is right").bytes, "");
}

#[tokio::test]
async fn the_deadline_of_a_request_covers_the_wait_for_a_turn() {
    const SHORT: Duration = Duration::from_millis(400);
    let (server, pinner) = node("0.43.0", |_, _| Reply::of([Step::Hang])).await;
    let one_at_a_time = builder(&server).block_deadline(Duration::from_secs(60));
    let pinner_of_one = one_at_a_time.in_flight(1).connect().await.expect("a node");
    assert_eq!((pinner.concurrency(), pinner_of_one.concurrency()), (64, 1));
    let begun = Instant::now();
    let request = BlockRequest::new(cid()).with_deadline(begun + SHORT);
    let calls = (0..3).map(|_| pinner_of_one.block(&request));
    for got in join_all(calls).await {
        match got.expect_err("the node hangs") {
            PinnerError::TimedOut { after, .. } => assert!(after <= SHORT && after > SHORT / 2),
            other => panic!("{other:?}"),
        }
    }
    assert!((SHORT..SHORT * 20).contains(&begun.elapsed()));
    // The node was told of the deadline, and asked by the call that had a turn alone.
    let gets = || {
        let requests = server.requests();
        let gets = requests
            .iter()
            .filter(|asked| command(asked) == "block/get");
        gets.map(|asked| asked.target.clone()).collect::<Vec<_>>()
    };
    let told = gets()[0].split("timeout=").nth(1).map(str::to_owned);
    let told = told.and_then(|told| told.strip_suffix("ms")?.parse::<u64>().ok());
    assert!(told.is_some_and(|told| told <= 400), "{told:?}");
    assert_eq!(gets().len(), 1);
    // A request that is late when it comes is not sent.
    match pinner.block(&request).await.expect_err("it is late") {
        PinnerError::TimedOut { after, .. } => assert_eq!(after, Duration::ZERO),
        other => panic!("{other:?}"),
    }
    assert_eq!(gets().len(), 1);
}
