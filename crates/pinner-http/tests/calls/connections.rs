//! Connections: kept, counted, and closed by the side that gives up; Unix sockets; credentials.

use std::time::Duration;

use pinner_http::{Auth, Client, Endpoint, HttpError};
use tokio::io::AsyncWriteExt;
use toy_http::{Reply, Step, ToyServer};

use crate::{LIMIT, builder, client, late, nobody, once, serve};

#[tokio::test]
async fn connections_are_kept() {
    let server = serve(|asked| match asked.path() {
        "/missing" => Reply::with(404, &[], "no such thing"),
        "/chunked" => Reply::chunked(&[], ["a", "b"], &[("X-Trailer", "x")]),
        _ => Reply::ok("text/plain", "here"),
    })
    .await;
    let client = client(&server);
    for _ in 0..10 {
        for path in ["x", "missing", "chunked"] {
            let done = client.get(path).whole(LIMIT, late()).await;
            assert_eq!(done.is_ok(), path != "missing");
        }
    }
    assert_eq!((server.requests().len(), server.connections()), (30, 1));
}

#[tokio::test]
async fn there_are_no_more_connections_than_calls_in_flight() {
    let server = serve(|_| Reply::ok("text/plain", "here")).await;
    let client = builder(&server).in_flight(4).build().unwrap();
    let calls: Vec<_> = (0..200)
        .map(|_| tokio::spawn(client.get("x").whole(LIMIT, late())))
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().body, "here");
    }
    assert_eq!(server.requests().len(), 200);
    // hyper may open one more while it is still taking back an idle one.
    assert!(server.connections() <= 8, "{}", server.connections());
    assert!(server.open() <= 8);
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let server = serve(|_| Reply::of([Step::Hang])).await;
    let client = client(&server);
    let hanging = tokio::spawn(client.get("x").whole(LIMIT, late()));
    server.until_open(1).await;
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hanging.abort();
    server.until_open(0).await;
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_no_failure() {
    let server = serve(|_| Reply::ok("text/plain", "here").then(Step::Close)).await;
    let client = client(&server);
    for _ in 0..20 {
        assert!(client.get("x").whole(LIMIT, late()).await.is_ok());
    }
    assert_eq!(server.requests().len(), server.connections());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let endpoint: Endpoint = nobody().await.to_string().parse().unwrap();
    let client = Client::builder(endpoint).build().unwrap();
    let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error:?}");

    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::unix(directory.path().join("no.sock")).unwrap();
    let client = Client::builder(endpoint).build().unwrap();
    let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("no.sock"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    let server =
        serve(|_| Reply::of([Step::Send(b"220 mail ready\r\n\r\n".to_vec()), Step::Close])).await;
    let error = once(&server, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::Malformed { .. }), "{error:?}");
    // A chunk's length that is not a number.
    let server = serve(|_| {
        let mut bytes = Reply::head(200, &[("Transfer-Encoding", "chunked")]);
        bytes.extend_from_slice(b"zz\r\n");
        Reply::of([Step::Send(bytes)])
    })
    .await;
    let error = once(&server, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::CutShort { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_where_none_is_spoken_is_not_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let client = match Client::builder(url.parse().unwrap()).build() {
        Ok(client) => client,
        // This machine trusts no certificate at all, and the error says so.
        Err(error) => return assert!(matches!(error, HttpError::Unusable { .. }), "{error:?}"),
    };
    let server = async {
        let mut connections = 0;
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            connections += 1;
            assert_eq!(connections, 1, "it is tried again");
            let refusal = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            connection.write_all(refusal).await.unwrap();
        }
    };
    let error = tokio::select! {
        answer = client.get("x").whole(LIMIT, late()) => answer.unwrap_err(),
        () = server => unreachable!("it serves for ever"),
    };
    assert!(matches!(error, HttpError::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let server = ToyServer::start_unix(&path, |_| Reply::ok("text/plain", "here")).unwrap();
    let endpoint: Endpoint = format!("/unix{}", path.display()).parse().unwrap();
    let client = Client::builder(endpoint).build().unwrap();
    for _ in 0..3 {
        let answer = client.post("api/v0/id").whole(LIMIT, late()).await.unwrap();
        assert_eq!(answer.body, "here");
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(server.requests()[0].target, "/api/v0/id");
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let server = serve(|_| Reply::with(403, &[], "403 - Access denied\n")).await;
    for (auth, header) in [
        (Auth::bearer("s3cret"), "Bearer s3cret"),
        (Auth::basic("me", "s3cret"), "Basic bWU6czNjcmV0"),
    ] {
        let client = builder(&server).auth(auth).build().unwrap();
        let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
        let sent = server.requests();
        assert_eq!(sent.last().unwrap().header("authorization"), Some(header));
        let shown = format!("{client:?} {error} {error:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("bWU6"),
            "{shown}"
        );
    }
    let refused = builder(&server).auth(Auth::bearer("s3cret\n")).build();
    let error = refused.unwrap_err();
    assert!(matches!(error, HttpError::Unusable { .. }));
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}
