//! Connecting: which program answers, and which version.

use futures_util::TryStreamExt;
use kubo_protocol::Version;
use pinner_api::{PinDepth, Pinner, PinnerError};
use pinner_kubo::{Auth, Endpoint, KuboError, KuboPinner};
use toy_http::{Reply, Step, ToyServer};

use crate::{JSON, builder, cid, commands, holder, lines, node, version, words};

async fn refused(reply: Reply) -> KuboError {
    let server = ToyServer::start(move |_| reply.clone())
        .await
        .expect("a server");
    let error = builder(&server).connect().await.expect_err("no node");
    assert!(words(&error).contains(&server.url()), "{}", words(&error));
    error
}

#[tokio::test]
async fn what_is_no_node_is_told_from_one_that_refuses_or_is_old_or_away() {
    let page = Reply::ok("text/html", "<html>a router's page</html>");
    assert!(matches!(refused(page).await, KuboError::NotANode { .. }));
    let not_found = Reply::with(404, &[], "404 page not found");
    let error = refused(not_found).await;
    assert!(matches!(error, KuboError::NotANode { .. }));
    assert!(error.to_string().contains("5001"), "{error}");
    let wrong_method = Reply::with(405, &[], "");
    assert!(matches!(
        refused(wrong_method).await,
        KuboError::NotANode { .. }
    ));
    let other_json = Reply::ok(JSON, r#"{"name":"something"}"#);
    assert!(matches!(
        refused(other_json).await,
        KuboError::NotANode { .. }
    ));
    let no_version = Reply::ok(JSON, r#"{"Version":"latest"}"#);
    assert!(matches!(
        refused(no_version).await,
        KuboError::NotANode { .. }
    ));
    let endless = Reply::ok(JSON, vec![b' '; 200_000]);
    assert!(matches!(refused(endless).await, KuboError::NotANode { .. }));
    let not_http = Reply::of([Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close]);
    assert!(matches!(
        refused(not_http).await,
        KuboError::NotANode { .. }
    ));
    let moved = Reply::with(302, &[("Location", "http://127.0.0.1:1/")], "");
    assert!(matches!(refused(moved).await, KuboError::NotANode { .. }));

    let denied = "Kubo RPC Access Denied: Please provide a valid authorization token";
    let error = refused(Reply::with(403, &[("Content-Type", "text/plain")], denied)).await;
    assert!(matches!(error, KuboError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("API.Authorizations"), "{error}");

    let error = refused(version("0.7.0")).await;
    let KuboError::TooOld {
        version: its,
        minimum,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*its, Version::new(0, 7, 0));
    assert!(minimum > its && error.to_string().contains(&minimum.to_string()));

    let busy = Reply::with(503, &[], "starting");
    assert!(matches!(refused(busy).await, KuboError::Unreachable { .. }));
    let reset = Reply::of([Step::Reset]);
    assert!(matches!(
        refused(reset).await,
        KuboError::Unreachable { .. }
    ));
    let silent = Reply::of([Step::Hang]);
    assert!(matches!(refused(silent).await, KuboError::NoAnswer { .. }));

    // No server listens there.
    let gone = ToyServer::start(|_| Reply::of([Step::Close]))
        .await
        .expect("a server");
    let nowhere: Endpoint = gone.url().parse().expect("an address");
    drop(gone);
    let error = KuboPinner::builder().address(nowhere).connect().await;
    let error = error.expect_err("nobody is there");
    assert!(matches!(error, KuboError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn credentials_are_sent_to_the_node_and_shown_nowhere() {
    let server = ToyServer::start(|_| version("0.43.0"))
        .await
        .expect("a server");
    let secret = "s3cret-token";
    let pinner = builder(&server).auth(Auth::bearer(secret)).connect().await;
    let pinner = pinner.expect("a node");
    let sent = server.requests();
    assert_eq!(sent[0].header("authorization"), Some("Bearer s3cret-token"));
    assert!(!format!("{pinner:?}").contains(secret));
    let wrong = builder(&server)
        .auth(Auth::bearer("s3cret\ntoken"))
        .connect()
        .await;
    let wrong = wrong.expect_err("no header can hold it");
    assert!(matches!(wrong, KuboError::Settings { .. }), "{wrong:?}");
    assert!(!words(&wrong).contains("s3cret") && !format!("{wrong:?}").contains("s3cret"));
}

#[tokio::test]
async fn the_version_is_asked_once_and_says_whether_there_are_lazy_pins() {
    for (kubo, lazy) in [("0.42.1", false), ("0.43.0", true), ("0.44.0-rc1", true)] {
        let (server, pinner) = node(kubo, |command, _| match command {
            "pin/ls" => lines(&[]),
            _ => Reply::ok(JSON, "{}"),
        })
        .await;
        let can = pinner.capabilities();
        assert_eq!(can.lazy_pins, lazy, "{kubo}");
        assert!(can.recursive_pins && can.collects && can.names);
        if !lazy {
            let refused = pinner.pin(&holder(), &cid(), PinDepth::Lazy).await;
            let error = refused.expect_err("there are none");
            assert!(
                matches!(error, PinnerError::Unsupported { .. }),
                "{error:?}"
            );
            // A release or a listing does not touch MFS either.
            pinner.unpin(&holder(), &cid()).await.expect("released");
            assert!(pinner.pins().try_collect::<Vec<_>>().await.is_ok());
            assert!(!commands(&server).iter().any(|it| it.starts_with("files/")));
        }
        let asked = commands(&server);
        let versions = asked.iter().filter(|it| *it == "version").count();
        assert_eq!(versions, 1, "{asked:?}");
    }
}
