//! One gateway: the requests to it, and the meaning of its answers.

use futures_util::future::join_all;
use pinner_api::{Cid, MAX_BLOCK, Pinner, PinnerError};
use pinner_gateway::{Auth, GatewayError, GatewayPinner, RetryPolicy};
use toy_http::{Reply, Step, ToyServer};

use crate::{SHORT, absent, always, block, get, over, raw, serve};

#[tokio::test]
async fn a_block_is_asked_for_as_the_specification_has_it() {
    let block = block();
    let (cid, sent) = (block.cid, block.clone());
    let server = serve(move |_| raw(&sent)).await;
    let endpoint = format!("{}/prefix", server.url()).parse().unwrap();
    let builder = GatewayPinner::builder().gateway_with(endpoint, Auth::bearer("t0ken"));
    let pinner = builder.build().unwrap();
    assert_eq!(get(&pinner, &cid).await.unwrap(), block.bytes);
    let asked = &server.requests()[0];
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, format!("/prefix/ipfs/{cid}?format=raw"));
    assert_eq!(asked.header("accept"), Some("application/vnd.ipld.raw"));
    assert_eq!(asked.header("authorization"), Some("Bearer t0ken"));
    assert!(!format!("{pinner:?}").contains("t0ken"));
}

#[tokio::test]
async fn connections_are_kept_and_no_more_than_allowed_are_in_flight() {
    let block = block();
    let sent = block.clone();
    let server = serve(move |_| raw(&sent)).await;
    let pinner = over(&[&server]).in_flight(2).build().unwrap();
    assert_eq!(pinner.concurrency(), 2);
    let answers = join_all((0..100).map(|_| get(&pinner, &block.cid))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), block.bytes);
    }
    assert_eq!(server.requests().len(), 100);
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[tokio::test]
async fn several_blocks_are_asked_for_at_once() {
    let head = Reply::announcing(9, 200, &[("Content-Type", "application/vnd.ipld.raw")], "");
    let server = always(head.then(Step::Hang)).await;
    let pinner = over(&[&server]).in_flight(4).build().unwrap();
    let cid = block().cid;
    let mut blocks = Box::pin(join_all((0..8).map(|_| get(&pinner, &cid))));
    tokio::select! {
        answers = &mut blocks => panic!("{answers:?}"),
        () = server.until_open(4) => {}
    }
    drop(blocks);
    server.until_open(0).await;
}

#[tokio::test]
async fn an_identity_cid_is_answered_without_asking() {
    let server = serve(absent).await;
    let pinner = over(&[&server]).build().unwrap();
    let cid: Cid = "bafkqac3imvwgy3zao5xxe3de".parse().unwrap();
    assert_eq!(get(&pinner, &cid).await.unwrap(), "hello world");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn localhost_is_called_by_its_address() {
    // A node's gateway redirects requests to `localhost` to a host name of each CID.
    let block = block();
    let sent = block.clone();
    let server = serve(move |asked| match asked.header("host") {
        Some(host) if host.starts_with("127.0.0.1:") => raw(&sent),
        _ => Reply::with(301, &[("Location", "http://elsewhere.example/")], ""),
    })
    .await;
    let endpoint = format!("localhost:{}", server.address().port())
        .parse()
        .unwrap();
    let pinner = GatewayPinner::builder().gateway(endpoint).build().unwrap();
    assert_eq!(get(&pinner, &block.cid).await.unwrap(), block.bytes);
}

async fn error_of(server: &ToyServer) -> PinnerError {
    let pinner = over(&[server]).deadline(SHORT).build().unwrap();
    let error = get(&pinner, &block().cid).await.unwrap_err();
    assert!(
        error.is_absence() || error.to_string().contains(&server.url()),
        "it names the gateway: {error}"
    );
    error
}

#[tokio::test]
async fn only_a_gateway_that_looked_proves_an_absence() {
    let looked = serve(absent).await;
    assert!(matches!(
        error_of(&looked).await,
        PinnerError::NotFound { .. }
    ));
    let gone = always(Reply::with(410, &[], "gone")).await;
    assert!(matches!(
        error_of(&gone).await,
        PinnerError::NotFound { .. }
    ));
    for page in [
        Reply::with(404, &[], "404 page not found"),
        Reply::with(
            404,
            &[("Content-Type", "text/html")],
            "<html>no such page</html>",
        ),
        Reply::with(504, &[], "no providers found in time"),
        Reply::with(500, &[], "ipld: could not find"),
    ] {
        let error = error_of(&always(page).await).await;
        assert!(
            matches!(error, PinnerError::Unavailable { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_block_is_corrupt() {
    for reply in [
        Reply::ok("text/html; charset=utf-8", "<html>welcome</html>"),
        Reply::with(200, &[], "of no type"),
        Reply::with(
            206,
            &[("Content-Type", "application/vnd.ipld.raw")],
            "a part",
        ),
        Reply::ok("application/vnd.ipld.car", "a CAR"),
        Reply::announcing(
            1 << 40,
            200,
            &[("Content-Type", "application/vnd.ipld.raw")],
            "",
        ),
        Reply::ok("application/vnd.ipld.raw", vec![0; MAX_BLOCK + 1]),
        Reply::announcing(
            9,
            200,
            &[("Content-Type", "application/vnd.ipld.raw")],
            "cut",
        )
        .then(Step::Close),
        Reply::chunked(
            &[("Content-Type", "application/vnd.ipld.raw")],
            [vec![0; MAX_BLOCK / 2], vec![0; MAX_BLOCK / 2], vec![0; 1]],
            &[],
        ),
    ] {
        let error = error_of(&always(reply).await).await;
        assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn bytes_of_no_stated_kind_may_be_the_block() {
    let block = block();
    let octets = Reply::ok("application/octet-stream", &block.bytes);
    let server = always(octets).await;
    let pinner = over(&[&server]).build().unwrap();
    assert_eq!(get(&pinner, &block.cid).await.unwrap(), block.bytes);
}

#[tokio::test]
async fn policy_is_a_refusal() {
    for status in [401, 403, 451] {
        let error = error_of(&always(Reply::with(status, &[], "no")).await).await;
        assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
    }
    let elsewhere = Reply::with(302, &[("Location", "http://elsewhere.example/")], "");
    let error = error_of(&always(elsewhere).await).await;
    assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_gateway_that_hangs_or_drips_is_late() {
    let drip = Step::Drip(vec![0; 1000], SHORT / 20);
    for reply in [
        Reply::of([Step::Hang]),
        Reply::announcing(
            1000,
            200,
            &[("Content-Type", "application/vnd.ipld.raw")],
            "",
        )
        .then(drip),
    ] {
        match error_of(&always(reply).await).await {
            PinnerError::TimedOut { after, .. } => assert_eq!(after, SHORT),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_no_more_often_than_allowed() {
    let server = always(Reply::with(503, &[], "not now")).await;
    let pinner = over(&[&server]).retry(RetryPolicy::default().with_attempts(3));
    let error = get(&pinner.build().unwrap(), &block().cid)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn what_cannot_be_built_says_so() {
    let nobody = GatewayPinner::builder().build().unwrap_err();
    assert!(matches!(nobody, GatewayError::NoGateway), "{nobody:?}");
    let endpoint = "localhost:1".parse().unwrap();
    let wrong = GatewayPinner::builder().gateway_with(endpoint, Auth::bearer("s3\ncret"));
    let wrong = wrong.build().unwrap_err();
    assert!(matches!(wrong, GatewayError::Http(_)), "{wrong:?}");
    assert!(!format!("{wrong} {wrong:?}").contains("cret"));
}
