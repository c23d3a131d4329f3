//! Hostile answers: each ends its own call, in time and as an error, and does no harm to the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use pinner_http::{Redirects, RetryPolicy};
use tokio::time::{Instant, timeout};
use toy_http::{Reply, hostile};

use crate::{LIMIT, builder, in_time, late, serve};

/// The most that a connection takes of an endless answer, with the buffers of both sides.
const MOST_TAKEN: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_answer_harms_its_own_call_alone() {
    let elsewhere = Arc::new(serve(|_| Reply::ok("text/plain", "elsewhere")).await);
    let cases = hostile(&elsewhere.url());
    let calls = cases.into_iter().map(|(name, reply)| async move {
        let good = Arc::new(AtomicBool::new(false));
        let turned = good.clone();
        let server = serve(move |_| match turned.load(Ordering::SeqCst) {
            true => Reply::ok("text/plain", "good"),
            false => reply.clone(),
        })
        .await;
        let client = builder(&server).redirects(Redirects::WithinSite);
        let client = client.retry(RetryPolicy::default()).build().unwrap();
        let started = Instant::now();
        let deadline = started + Duration::from_secs(2);
        let answer = client.get("x").whole(LIMIT, deadline).await;
        assert!(answer.is_err(), "{name}: {answer:?}");
        assert!(
            in_time(started.elapsed()),
            "{name}: {:?}",
            started.elapsed()
        );
        let deadline = Instant::now() + Duration::from_secs(1);
        let streamed = client.get("x").stream(deadline, Duration::from_millis(100));
        if let Ok(mut streamed) = streamed.await {
            let line = timeout(Duration::from_secs(5), streamed.line(LIMIT)).await;
            assert!(line.is_ok(), "{name}: the stream hangs");
        }
        // The client is as good as new.
        good.store(true, Ordering::SeqCst);
        let answer = client.get("x").whole(LIMIT, late()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(answer.body, "good", "{name}");
        let taken = server.endless_bytes() / server.connections();
        // Interim answers are skipped one by one, and none is kept.
        let kept = name != "endless interim answers";
        assert!(
            !kept || taken < MOST_TAKEN,
            "{name}: {taken} bytes were taken"
        );
    });
    join_all(calls).await;
    assert_eq!(elsewhere.connections(), 0, "a redirect led there");
}
