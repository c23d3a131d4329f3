//! Retries: after which failures, how often, and never past the deadline.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use pinner_http::{Client, HttpError, RetryPolicy};
use tokio::time::Instant;
use toy_http::{Reply, Step, ToyServer};

use crate::{LIMIT, client, late, nobody, serve, soon};

const QUICK: RetryPolicy = RetryPolicy::NEVER
    .with_attempts(4)
    .with_waits(Duration::from_millis(1), Duration::from_millis(4));

/// A server that answers `first` for the first `times` calls, and then answers well.
async fn failing(times: usize, first: Reply) -> ToyServer {
    let asked = AtomicUsize::new(0);
    serve(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        n if n < times => first.clone(),
        _ => Reply::ok("text/plain", "here"),
    })
    .await
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for reply in [
        Reply::with(429, &[], ""),
        Reply::with(502, &[], ""),
        Reply::with(503, &[], ""),
        Reply::with(504, &[], ""),
        Reply::of([Step::Close]),
        Reply::of([Step::Reset]),
        Reply::announcing(5, 200, &[], "").then(Step::Close),
        Reply::announcing(5, 200, &[], "12").then(Step::Reset),
    ] {
        let server = failing(3, reply.clone()).await;
        let request = client(&server).get("x").retry(QUICK);
        let answer = request.whole(LIMIT, late()).await;
        assert_eq!(
            answer.unwrap_or_else(|e| panic!("{reply:?}: {e:?}")).body,
            "here"
        );
        assert_eq!(server.requests().len(), 4);

        let server = failing(4, reply.clone()).await;
        let request = client(&server).get("x").retry(QUICK);
        assert!(request.whole(LIMIT, late()).await.is_err(), "{reply:?}");
        assert_eq!(server.requests().len(), 4);
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not() {
    for reply in [
        Reply::with(400, &[], ""),
        Reply::with(404, &[], ""),
        Reply::with(403, &[], ""),
        Reply::with(500, &[], "not pinned"),
        Reply::announcing(LIMIT + 1, 200, &[], ""),
        Reply::chunked(&[], ["x"], &[("X-Stream-Error", "no")]),
        Reply::with(302, &[("Location", "/y")], ""),
        Reply::of([Step::Send(b"hello\r\n\r\n".to_vec())]),
    ] {
        let server = failing(1, reply.clone()).await;
        let request = client(&server).get("x").retry(QUICK);
        assert!(request.whole(LIMIT, late()).await.is_err(), "{reply:?}");
        assert_eq!(server.requests().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_backend_says_what_else_passes() {
    fn busy(error: &HttpError) -> bool {
        error
            .status()
            .is_some_and(|status| status.status == 500 && status.body == "busy")
    }
    let server = failing(1, Reply::with(500, &[], "busy")).await;
    let request = client(&server).get("x").retry(QUICK.with_also(busy));
    assert!(request.whole(LIMIT, late()).await.is_ok());
    let server = failing(1, Reply::with(500, &[], "not pinned")).await;
    let request = client(&server).get("x").retry(QUICK.with_also(busy));
    assert!(request.whole(LIMIT, late()).await.is_err());
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let server = failing(1, Reply::with(429, &[("Retry-After", "1")], "")).await;
    let started = Instant::now();
    let request = client(&server).get("x").retry(QUICK);
    assert!(request.whole(LIMIT, late()).await.is_ok());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn nothing_is_waited_for_that_would_come_too_late() {
    // The longest is more than a clock can count, and is taken for a year.
    for (seconds, taken) in [(3600, 3600), (u64::MAX, 365 * 24 * 3600)] {
        let asked = seconds.to_string();
        let server = failing(1, Reply::with(503, &[("Retry-After", asked.as_str())], "")).await;
        let request = client(&server).get("x").retry(QUICK);
        let error = request.whole(LIMIT, late()).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(taken)));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn all_attempts_are_inside_one_deadline() {
    let server = failing(usize::MAX, Reply::with(503, &[], "")).await;
    let policy = QUICK.with_attempts(u32::MAX);
    let deadline = soon();
    let request = client(&server).get("x").retry(policy);
    assert!(request.whole(LIMIT, deadline).await.is_err());
    assert!(server.requests().len() > 4);
    // It stops before the deadline, because the next wait would end after it, but not long before.
    assert!(Instant::now() + Duration::from_millis(100) > deadline);
}

#[tokio::test]
async fn a_server_that_starts_meanwhile_is_found() {
    let address = nobody().await;
    let endpoint = address.to_string().parse().unwrap();
    let policy = QUICK.with_attempts(u32::MAX);
    let client = Client::builder(endpoint).retry(policy).build().unwrap();
    let call = tokio::spawn(client.get("x").whole(LIMIT, late()));
    // Let the call be refused at least once.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _server = ToyServer::start_at(address, |_| Reply::ok("text/plain", "here"))
        .await
        .unwrap();
    assert_eq!(call.await.unwrap().unwrap().body, "here");
}

#[test]
fn waits_double_up_to_the_longest() {
    let policy = RetryPolicy::default()
        .with_attempts(10)
        .with_waits(Duration::from_millis(100), Duration::from_secs(1));
    let error = HttpError::Unreachable {
        endpoint: std::sync::Arc::new("localhost:1".parse().unwrap()),
        source: "refused".into(),
    };
    for (failed, longest) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (9, 1000)] {
        let longest = Duration::from_millis(longest);
        let waits: Vec<_> = (0..50)
            .filter_map(|_| policy.wait(failed, &error))
            .collect();
        assert_eq!(waits.len(), 50);
        assert!(
            waits
                .iter()
                .all(|wait| (longest / 2..=longest).contains(wait))
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]), "not all alike");
    }
    assert_eq!(policy.wait(10, &error), None);
    assert_eq!(RetryPolicy::NEVER.wait(1, &error), None);
}
