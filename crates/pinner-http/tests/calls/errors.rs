//! The messages of failures, and the errors of the layer above that they become.

use std::{error::Error, time::Duration};

use pinner_api::PinnerError;
use pinner_http::HttpError;
use tokio::time::Instant;
use toy_http::{Reply, Step};

use crate::{in_time, late, once, serve, soon};

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    RateLimited,
    TimedOut,
    Denied,
    Corrupt,
}

fn kind(error: &PinnerError) -> Kind {
    match error {
        PinnerError::Unavailable { .. } => Kind::Unavailable,
        PinnerError::RateLimited { .. } => Kind::RateLimited,
        PinnerError::TimedOut { .. } => Kind::TimedOut,
        PinnerError::Denied { .. } => Kind::Denied,
        PinnerError::Corrupt { .. } => Kind::Corrupt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_failure_becomes_what_the_caller_can_do_about_it() {
    let status = |code| Reply::with(code, &[], "the server's words");
    for (reply, wanted) in [
        (status(400), Kind::Denied),
        (status(401), Kind::Denied),
        (status(403), Kind::Denied),
        (status(404), Kind::Unavailable),
        (status(408), Kind::Unavailable),
        (status(410), Kind::Unavailable),
        (status(429), Kind::RateLimited),
        (status(451), Kind::Denied),
        (status(500), Kind::Unavailable),
        (status(502), Kind::Unavailable),
        (status(503), Kind::Unavailable),
        (
            Reply::with(302, &[("Location", "http://example.org/")], ""),
            Kind::Denied,
        ),
        (
            Reply::announcing(5, 200, &[], "").then(Step::Close),
            Kind::Corrupt,
        ),
        (Reply::announcing(5000, 200, &[], ""), Kind::Corrupt),
        (
            Reply::chunked(&[], ["x"], &[("X-Stream-Error", "no")]),
            Kind::Unavailable,
        ),
        (
            Reply::of([Step::Send(b"hello\r\n\r\n".to_vec())]),
            Kind::Corrupt,
        ),
        (Reply::of([Step::Close]), Kind::Unavailable),
        (Reply::of([Step::Hang]), Kind::TimedOut),
    ] {
        let script = reply.clone();
        let server = serve(move |_| script.clone()).await;
        let deadline = if wanted == Kind::TimedOut {
            soon()
        } else {
            late()
        };
        let error = once(&server, deadline).await.unwrap_err();
        assert!(error.to_string().contains(&server.url()), "{error}");
        let error = error.into_pinner("block bafy");
        assert_eq!(kind(&error), wanted, "{reply:?}: {error:?}");
        let words = error.to_string();
        assert!(words.contains("block bafy at http://127.0.0.1:"), "{words}");
        if wanted == Kind::Unavailable {
            assert!(error.source().is_some(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_status_keeps_the_servers_words_but_not_all_of_them() {
    let long = "x".repeat(10_000);
    let server = serve(move |asked| match asked.path() {
        "/x" => Reply::with(
            500,
            &[("Content-Type", "application/json")],
            "{\"Message\":\"no\"}\n",
        ),
        _ => Reply::with(500, &[("Content-Type", "text/html")], &long),
    })
    .await;
    let error = once(&server, late()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} answered 500 Internal Server Error: {{\"Message\":\"no\"}}",
            server.url()
        )
    );
    let HttpError::Status(status) = error else {
        panic!("{error:?}");
    };
    assert_eq!(status.body, "{\"Message\":\"no\"}\n");
    assert_eq!(status.media_type(), "application/json");

    let error = crate::client(&server)
        .get("y")
        .whole(10, late())
        .await
        .unwrap_err();
    let status = error.status().unwrap();
    assert_eq!(status.body.len(), 4096);
    assert!(status.to_string().ends_with(": a web page"), "{status}");
}

#[tokio::test]
async fn a_status_does_not_wait_for_its_words() {
    let server = serve(|_| Reply::announcing(9, 403, &[], "sto").then(Step::Hang)).await;
    let error = once(&server, soon()).await.unwrap_err();
    assert_eq!(
        error.status().map(|status| status.body.as_str()),
        Some("sto"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_failure_whose_body_stalls_is_told_soon() {
    let server = serve(|_| Reply::announcing(100, 404, &[], "no su").then(Step::Hang)).await;
    let started = Instant::now();
    let error = once(&server, late()).await.unwrap_err();
    assert!(in_time(started.elapsed()), "{:?}", started.elapsed());
    let status = error
        .status()
        .map(|it| (it.status.as_u16(), it.body.as_str()));
    assert_eq!(status, Some((404, "no su")));
}

#[tokio::test]
async fn a_retry_after_is_seconds_or_a_date() {
    for (text, wanted) in [
        ("7", Some(Duration::from_secs(7))),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::ZERO)),
        ("soon", None),
        ("-1", None),
    ] {
        let server = serve(move |_| Reply::with(429, &[("Retry-After", text)], "")).await;
        let error = once(&server, late()).await.unwrap_err();
        assert_eq!(error.retry_after(), wanted, "{text}");
        match error.into_pinner("block") {
            PinnerError::RateLimited { retry_after, .. } => assert_eq!(retry_after, wanted),
            other => panic!("{other:?}"),
        }
    }
}
