//! Answers as they come: lines, chunks, stalls.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt;
use pinner_http::{HttpError, Streamed, Waiting};
use tokio::time::Instant;
use toy_http::{Reply, Step, ToyServer};

use crate::{LIMIT, builder, client, in_time, late, serve};

const STALL: Duration = Duration::from_millis(200);

async fn stream(server: &ToyServer) -> Streamed {
    let request = client(server).post("x");
    request.stream(late(), STALL).await.unwrap()
}

fn chunked_head() -> Vec<u8> {
    Reply::head(200, &[("Transfer-Encoding", "chunked")])
}

#[tokio::test]
async fn lines_come_as_they_end() {
    let parts = ["{\"a\":1}\n{\"b\"", ":2}\r\n", "\n", "la", "st"];
    let server = serve(move |_| Reply::chunked(&[], parts, &[("X-Chunked-Output", "1")])).await;
    let mut lines = stream(&server).await;
    assert_eq!(lines.status(), 200);
    for wanted in ["{\"a\":1}", "{\"b\":2}", "", "last"] {
        assert_eq!(lines.line(LIMIT).await.unwrap().unwrap(), wanted);
    }
    assert!(lines.line(LIMIT).await.unwrap().is_none());
    assert!(lines.line(LIMIT).await.unwrap().is_none());
    assert_eq!(lines.trailers().get("x-chunked-output").unwrap(), "1");
}

#[tokio::test]
async fn a_line_comes_before_the_next_is_sent() {
    let server = serve(|_| {
        let first = [chunked_head(), Reply::chunk("first\nsec")].concat();
        Reply::of([Step::Send(first), Step::Hang])
    })
    .await;
    let mut lines = stream(&server).await;
    assert_eq!(lines.line(LIMIT).await.unwrap().unwrap(), "first");
    let asked = Instant::now();
    match lines.line(LIMIT).await {
        Err(HttpError::TimedOut { after, waiting, .. }) => {
            assert!(in_time(asked.elapsed()), "{:?}", asked.elapsed());
            assert_eq!((after, waiting), (STALL, Waiting::Rest));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_line_without_an_end_has_a_limit() {
    let server = serve(|_| Reply::chunked(&[], ["12345\n", "123456"], &[])).await;
    let mut lines = stream(&server).await;
    assert_eq!(lines.line(5).await.unwrap().unwrap(), "12345");
    let error = lines.line(5).await.unwrap_err();
    assert!(
        matches!(error, HttpError::TooLarge { limit: 5, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_slow_stream_that_moves_is_no_failure() {
    let server = serve(|_| {
        let body = vec![b'x'; 20];
        Reply::announcing(20, 200, &[], "").then(Step::Drip(body, STALL / 5))
    })
    .await;
    let chunks = stream(&server).await.into_chunks();
    let bytes: usize = chunks
        .map(|chunk| chunk.unwrap().len())
        .fold(0, async |sum, n| sum + n)
        .await;
    assert_eq!(bytes, 20);
}

#[tokio::test]
async fn a_line_that_drips_is_a_stall() {
    let server = serve(|_| {
        let body = vec![b'x'; 1000];
        Reply::announcing(1000, 200, &[], "").then(Step::Drip(body, STALL / 5))
    })
    .await;
    let mut lines = stream(&server).await;
    let asked = Instant::now();
    let error = lines.line(LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::TimedOut { .. }), "{error:?}");
    assert!(in_time(asked.elapsed()), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_stream_that_fails_does_not_just_end() {
    let cut = [chunked_head(), Reply::chunk("one\ntwo\nth")].concat();
    let cut = Reply::of([Step::Send(cut), Step::Close]);
    let failed = Reply::chunked(&[], ["one\ntwo\nth"], &[("X-Stream-Error", "no")]);
    for reply in [cut, failed] {
        let server = serve(move |_| reply.clone()).await;
        let mut lines = pin!(stream(&server).await.into_lines(LIMIT));
        assert_eq!(lines.next().await.unwrap().unwrap(), "one");
        assert_eq!(lines.next().await.unwrap().unwrap(), "two");
        let error = lines.next().await.unwrap().unwrap_err();
        assert!(
            matches!(
                error,
                HttpError::CutShort { received: 10, .. } | HttpError::StreamError { .. }
            ),
            "{error:?}"
        );
        assert!(lines.next().await.is_none());

        let mut again = stream(&server).await;
        while let Ok(Some(_)) = again.chunk().await {}
        assert!(again.chunk().await.is_err(), "an error is never an end");
    }
}

#[tokio::test]
async fn what_is_left_of_a_line_comes_as_a_chunk() {
    let server = serve(|_| Reply::ok("text/plain", "head\nrest\nmore")).await;
    let mut stream = stream(&server).await;
    assert_eq!(stream.line(LIMIT).await.unwrap().unwrap(), "head");
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "rest\nmore");
    assert!(stream.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_has_a_turn_until_it_is_dropped() {
    let server = serve(|_| {
        let begun = [chunked_head(), Reply::chunk("x")].concat();
        Reply::of([Step::Send(begun), Step::Hang])
    })
    .await;
    let client = builder(&server).in_flight(1).build().unwrap();
    let held = client.get("x").stream(late(), STALL).await.unwrap();
    let second = client.get("x").stream(crate::soon(), STALL).await;
    match second {
        Err(HttpError::TimedOut { waiting, .. }) => assert_eq!(waiting, Waiting::Turn),
        other => panic!("{other:?}"),
    }
    drop(held);
    server.until_open(0).await;
    assert!(client.get("x").stream(late(), STALL).await.is_ok());
}
