//! Whole bodies: their ends, their limits, their deadlines.

use std::time::Duration;

use pinner_http::{HeaderValue, HttpError, RetryPolicy, Waiting};
use tokio::time::Instant;
use toy_http::{Reply, Step};

use crate::{LIMIT, builder, client, in_time, late, once, serve, soon};

#[tokio::test]
async fn an_answer_comes_whole_with_its_headers() {
    let server = serve(|_| Reply::ok("Text/Plain; charset=utf-8", "hello")).await;
    let request = client(&server)
        .get("a b/c")
        .query("arg", "x&y")
        .query("arg", "z");
    let answer = request.whole(5, late()).await.unwrap();
    assert_eq!(answer.body, "hello");
    assert_eq!(answer.media_type(), "text/plain");
    let asked = &server.requests()[0];
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, "/a%20b/c?arg=x%26y&arg=z");
}

#[tokio::test]
async fn bodies_are_sent_and_a_post_without_one_says_so() {
    let server = serve(|_| Reply::ok("text/plain", "")).await;
    let client = client(&server);
    let json = HeaderValue::from_static("application/json");
    for request in [
        client.post("empty"),
        client.post("json").body(json, "{}"),
        client.post("file").file(b"--a-file-ends-here\r\n"),
    ] {
        assert_eq!(request.whole(LIMIT, late()).await.unwrap().body, "");
    }
    let [empty, json, file] = &server.requests()[..] else {
        panic!("three requests");
    };
    assert_eq!(
        (empty.method.as_str(), empty.header("content-length")),
        ("POST", Some("0"))
    );
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.body, b"{}");
    let kind = file.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    assert_ne!(boundary, "a-file-ends-here", "it stands in the file");
    let body = String::from_utf8(file.body.clone()).unwrap();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 3, "{body}");
    let (head, content) = parts[1].split_once("\r\n\r\n").unwrap();
    assert!(head.contains("name=\"file\""));
    assert_eq!(content, "--a-file-ends-here\r\n\r\n");
    assert_eq!(parts[2], "--\r\n");
}

#[tokio::test]
async fn a_body_in_many_parts_comes_whole_up_to_the_limit() {
    let parts = vec![[7; 10]; LIMIT / 10];
    let server = serve(move |_| Reply::chunked(&[], &parts, &[("X-Chunked-Output", "1")])).await;
    let answer = once(&server, late()).await.unwrap();
    assert_eq!(answer.body, vec![7; LIMIT]);
    assert_eq!(answer.trailers.get("x-chunked-output").unwrap(), "1");
}

#[tokio::test]
async fn a_body_that_is_cut_is_never_a_short_success() {
    let announced = |body| Reply::announcing(10, 200, &[], body);
    let chunked = || {
        let head = Reply::head(200, &[("Transfer-Encoding", "chunked")]);
        Reply::of([Step::Send([head, Reply::chunk("12345")].concat())])
    };
    let mut middle = Reply::head(200, &[("Transfer-Encoding", "chunked")]);
    middle.extend_from_slice(b"a\r\n12345");
    let open_ended = [Reply::head(200, &[]), b"12345".to_vec()].concat();
    for (what, reply, received) in [
        ("its length", announced("12345").then(Step::Close), 5),
        (
            "its length, nothing came",
            announced("").then(Step::Close),
            0,
        ),
        ("its length, by a reset", announced("").then(Step::Reset), 0),
        ("its chunks", chunked().then(Step::Close), 5),
        ("a chunk", Reply::of([Step::Send(middle), Step::Close]), 5),
        (
            "nothing says where it ends",
            Reply::of([Step::Send(open_ended), Step::Close]),
            0,
        ),
    ] {
        let server = serve(move |_| reply.clone()).await;
        match once(&server, late()).await {
            Err(HttpError::CutShort { received: got, .. }) => assert_eq!(got, received, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_taken_where_the_caller_can_check_it() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\nA: b\r\n\r\n"] {
        let bytes = [head, "12345"].concat().into_bytes();
        let server = serve(move |_| Reply::of([Step::Send(bytes.clone()), Step::Close])).await;
        let request = client(&server).get("x").retry(RetryPolicy::NEVER);
        let answer = request.until_closed().whole(LIMIT, late()).await.unwrap();
        assert_eq!(answer.body, "12345");
        let refused = once(&server, late()).await;
        assert!(matches!(refused, Err(HttpError::CutShort { .. })));
    }
    // A broken connection is not an end, and no more than the limit is read.
    let reset = [Reply::head(200, &[]), b"12345".to_vec()].concat();
    let server = serve(move |_| Reply::of([Step::Send(reset.clone()), Step::Hang])).await;
    let request = client(&server).get("x").until_closed();
    let error = request.whole(LIMIT, soon()).await.unwrap_err();
    assert!(matches!(error, HttpError::TimedOut { .. }), "{error:?}");
    let endless = || {
        Reply::of([
            Step::Send(Reply::head(200, &[])),
            Step::Endless(vec![7; 100]),
        ])
    };
    let server = serve(move |_| endless()).await;
    let request = client(&server).get("x").until_closed();
    let error = request.whole(LIMIT, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_trailer_that_tells_of_a_failure_is_one() {
    let trailers = [("X-Stream-Error", "context deadline exceeded")];
    let server = serve(move |_| Reply::chunked(&[], ["12345"], &trailers)).await;
    match once(&server, late()).await {
        Err(HttpError::StreamError { message, .. }) => {
            assert_eq!(message, "context deadline exceeded");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    // Announced: the call waits for no byte of the body.
    let server = serve(|_| Reply::announcing(LIMIT + 1, 200, &[], "").then(Step::Hang)).await;
    let announced = once(&server, late()).await;
    assert!(matches!(
        announced,
        Err(HttpError::TooLarge { limit: LIMIT, .. })
    ));
    server.until_open(0).await;

    // Not announced, and endless.
    let server = serve(|_| {
        let mut bytes = Reply::head(200, &[("Transfer-Encoding", "chunked")]);
        for _ in 0..=LIMIT {
            bytes.extend(Reply::chunk("1"));
        }
        Reply::of([Step::Send(bytes), Step::Hang])
    })
    .await;
    let endless = once(&server, late()).await;
    assert!(matches!(
        endless,
        Err(HttpError::TooLarge { limit: LIMIT, .. })
    ));
    server.until_open(0).await;
}

#[tokio::test]
async fn a_server_that_drips_has_failed_at_the_deadline() {
    let server = serve(|_| {
        let drip = Step::Drip(vec![0; LIMIT], Duration::from_millis(20));
        Reply::announcing(LIMIT, 200, &[], "").then(drip)
    })
    .await;
    let started = Instant::now();
    match once(&server, soon()).await {
        Err(HttpError::TimedOut { waiting, after, .. }) => {
            assert_eq!(waiting, Waiting::Rest);
            assert!(after <= Duration::from_millis(300) && started.elapsed() >= after);
            assert!(in_time(started.elapsed()), "{:?}", started.elapsed());
        }
        other => panic!("{other:?}"),
    }
    server.until_open(0).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_has_failed_at_the_deadline() {
    let started = Instant::now();
    let server = serve(|_| Reply::of([Step::Hang])).await;
    match once(&server, soon()).await {
        Err(HttpError::TimedOut { waiting, .. }) => assert_eq!(waiting, Waiting::Answer),
        other => panic!("{other:?}"),
    }
    // A server that drips the head does not count as answering either.
    let head = Reply::head(200, &[("X-Long", &"x".repeat(LIMIT))]);
    let server =
        serve(move |_| Reply::of([Step::Drip(head.clone(), Duration::from_millis(20))])).await;
    match once(&server, soon()).await {
        Err(HttpError::TimedOut { waiting, .. }) => assert_eq!(waiting, Waiting::Answer),
        other => panic!("{other:?}"),
    }
    assert!(in_time(started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn waiting_for_a_turn_ends_at_the_deadline() {
    let server = serve(|asked| match asked.path() {
        "/hang" => Reply::of([Step::Hang]),
        _ => Reply::ok("text/plain", "here"),
    })
    .await;
    let client = builder(&server).in_flight(1).build().unwrap();
    let hanging = client.get("hang").whole(LIMIT, late());
    let hanging = tokio::spawn(hanging);
    server.until_open(1).await;
    let request = client.get("x").retry(RetryPolicy::NEVER);
    match request.whole(LIMIT, soon()).await {
        Err(HttpError::TimedOut { waiting, .. }) => assert_eq!(waiting, Waiting::Turn),
        other => panic!("{other:?}"),
    }
    // Another lane has its own turns, and a call that is given up returns its turn.
    assert!(client.lane(1).get("x").whole(LIMIT, late()).await.is_ok());
    hanging.abort();
    assert!(client.get("x").whole(LIMIT, late()).await.is_ok());
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let server = serve(|_| Reply::ok("text/plain", "here")).await;
    let client = client(&server);
    match client.get("x").whole(LIMIT, Instant::now()).await {
        Err(HttpError::TimedOut { waiting, after, .. }) => {
            assert_eq!((waiting, after), (Waiting::Turn, Duration::ZERO));
        }
        other => panic!("{other:?}"),
    }
    let began = client.get("x").stream(Instant::now(), Duration::ZERO).await;
    assert!(
        matches!(&began, Err(HttpError::TimedOut { waiting, .. }) if *waiting == Waiting::Turn),
        "{began:?}"
    );
    assert_eq!(server.connections(), 0);
}
