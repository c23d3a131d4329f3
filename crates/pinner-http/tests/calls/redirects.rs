//! Redirects: followed only within the server's site, and never with its credentials elsewhere.

use pinner_http::{Auth, Client, HttpError, Redirects};
use toy_http::{Reply, ToyServer};

use crate::{LIMIT, builder, late, serve};

fn to(location: &str) -> Reply {
    Reply::with(302, &[("Location", location)], "")
}

/// A server that redirects `/x` to `location`, and answers every other path.
async fn sending_to(location: String) -> ToyServer {
    serve(move |asked| match asked.path() {
        "/x" => to(&location),
        _ => Reply::ok("text/plain", "here"),
    })
    .await
}

#[tokio::test]
async fn a_redirect_is_followed_only_where_it_is_allowed() {
    let server = sending_to("/y".to_owned()).await;
    let refused = builder(&server).build().unwrap().get("x");
    match refused.whole(LIMIT, late()).await {
        Err(HttpError::Redirected { to, .. }) => assert_eq!(to, "http://127.0.0.1"),
        other => panic!("{other:?}"),
    }
    let auth = Auth::bearer("s3cret");
    let client = builder(&server).auth(auth).redirects(Redirects::WithinSite);
    let answer = client
        .build()
        .unwrap()
        .get("x")
        .whole(LIMIT, late())
        .await
        .unwrap();
    assert_eq!(answer.body, "here");
    let last = server.requests().pop().unwrap();
    assert_eq!(
        last.header("authorization"),
        Some("Bearer s3cret"),
        "it is the same host"
    );
}

#[tokio::test]
async fn another_port_is_not_asked() {
    let other = serve(|_| Reply::ok("text/plain", "other")).await;
    let server = sending_to(format!("{}/y", other.url())).await;
    let client = builder(&server)
        .auth(Auth::bearer("s3cret"))
        .redirects(Redirects::WithinSite);
    let call = client.build().unwrap().get("x").whole(LIMIT, late());
    let error = call.await.unwrap_err();
    assert!(matches!(error, HttpError::Redirected { .. }), "{error:?}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn another_host_is_not_asked() {
    let other = serve(|_| Reply::ok("text/plain", "other")).await;
    let port = other.address().port();
    let server = sending_to(format!("http://localhost:{port}/y?token=s3cret")).await;
    let client = builder(&server)
        .redirects(Redirects::WithinSite)
        .build()
        .unwrap();
    let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::Redirected { .. }), "{error:?}");
    assert!(error.to_string().contains("http://localhost"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_chain_without_an_end_has_one() {
    let server = serve(|_| to("/x")).await;
    let client = builder(&server)
        .redirects(Redirects::WithinSite)
        .build()
        .unwrap();
    let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
    assert!(matches!(error, HttpError::Redirected { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_name_below_localhost_is_this_machine() {
    let server = serve(|asked| match asked.header("host") {
        Some(host) if host.starts_with("bafy.ipfs.") => Reply::ok("text/plain", "here"),
        Some(host) => to(&format!("http://bafy.ipfs.{host}/")),
        None => Reply::with(400, &[], ""),
    })
    .await;
    let endpoint = format!("http://localhost:{}", server.address().port());
    let client = Client::builder(endpoint.parse().unwrap()).redirects(Redirects::WithinSite);
    let answer = client
        .build()
        .unwrap()
        .get("ipfs/bafy")
        .whole(LIMIT, late())
        .await
        .unwrap();
    assert_eq!(answer.body, "here");
}
