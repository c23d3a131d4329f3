//! A client with a rule for addresses connects to no others, wherever names and redirects lead.

use std::sync::atomic::{AtomicBool, Ordering};

use pinner_http::{Addresses, Client, Endpoint, HttpError, Redirects, RetryPolicy};
use toy_http::Reply;

use crate::{LIMIT, late, serve};

fn refused(error: &HttpError) -> bool {
    matches!(error, HttpError::Unusable { reason, .. } if reason.contains("address"))
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_asked() {
    let server = serve(|_| Reply::ok("text/plain", "here")).await;
    let endpoint = format!("http://localhost:{}", server.address().port());
    let endpoint: Endpoint = endpoint.parse().unwrap();
    let client = Client::builder(endpoint.clone()).addresses(Addresses::Internet);
    // A refusal is final, so it is not retried.
    let client = client.retry(RetryPolicy::default()).build().unwrap();
    let error = client.get("x").whole(LIMIT, late()).await.unwrap_err();
    assert!(refused(&error), "{error:?}");
    assert_eq!(server.connections(), 0);
    let loopback = Addresses::InternetAnd(|address| address.is_loopback());
    let client = Client::builder(endpoint).addresses(loopback).build();
    let answer = client.unwrap().get("x").whole(LIMIT, late()).await;
    assert_eq!(answer.unwrap().body, "here");
}

#[test]
fn an_address_that_is_written_is_checked_too() {
    for written in [
        "https://127.0.0.1",
        "https://10.0.0.1",
        "https://169.254.169.254",
        // Other spellings of 127.0.0.1.
        "https://2130706433",
        "https://0x7f.1",
        "https://[::1]",
        "https://[::ffff:8.8.8.8]",
        "https://[64:ff9b::8.8.8.8]",
        "/unix/run/x.sock",
    ] {
        let endpoint: Endpoint = written.parse().expect(written);
        let client = Client::builder(endpoint).addresses(Addresses::Internet);
        let error = client.build().expect_err(written);
        assert!(refused(&error), "{written}: {error:?}");
    }
}

/// Whether the server of the next test has sent its redirect.
static REDIRECTED: AtomicBool = AtomicBool::new(false);

#[tokio::test]
async fn a_redirect_is_checked_where_it_leads() {
    let server = serve(|asked| match asked.header("host") {
        Some(host) if !host.starts_with("below.") => {
            REDIRECTED.store(true, Ordering::SeqCst);
            Reply::with(302, &[("Location", &format!("http://below.{host}/"))], "")
        }
        _ => Reply::ok("text/plain", "followed"),
    })
    .await;
    let endpoint = format!("http://localhost:{}", server.address().port());
    let endpoint: Endpoint = endpoint.parse().unwrap();
    let ask = async |addresses| {
        let client = Client::builder(endpoint.clone()).redirects(Redirects::WithinSite);
        let client = client.addresses(addresses).build().unwrap();
        client.get("x").whole(LIMIT, late()).await
    };
    let loopback = Addresses::InternetAnd(|address| address.is_loopback());
    assert_eq!(ask(loopback).await.unwrap().body, "followed");
    // The first address was allowed, and the one that the redirect leads to is not.
    REDIRECTED.store(false, Ordering::SeqCst);
    let once = Addresses::InternetAnd(|address| {
        address.is_loopback() && !REDIRECTED.load(Ordering::SeqCst)
    });
    let asked = server.requests().len();
    let error = ask(once).await.unwrap_err();
    assert!(refused(&error), "{error:?}");
    assert_eq!(server.requests().len(), asked + 1);
}
