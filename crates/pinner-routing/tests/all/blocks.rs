//! Blocks from gateways that were found.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pinner_api::{BlockRequest, Origin, Pinner, PinnerError, Verdict};
use pinner_conformance::Block;
use pinner_routing::RoutedPinner;
use tokio::time::Instant;
use toy_http::{Asked, Reply, Step, ToyServer};

use crate::{LINES, found_by, naming, over, provider, serve};

/// A gateway that has this block.
async fn having(block: &Block) -> ToyServer {
    let (cid, bytes) = (block.cid.to_string(), block.bytes.clone());
    serve(move |asked| match asked.last_segment() == cid {
        true => Reply::ok("application/vnd.ipld.raw", &bytes),
        false => absent(asked),
    })
    .await
}

fn absent(asked: &Asked) -> Reply {
    Reply::with(404, &[("X-Ipfs-Path", asked.path())], "")
}

/// A router that names these gateways for each CID, and no others.
async fn router(table: Vec<(&Block, Vec<SocketAddr>)>) -> ToyServer {
    let table: Vec<_> = table
        .into_iter()
        .map(|(block, it)| (block.cid.to_string(), it))
        .collect();
    serve(move |asked| {
        let found = table.iter().find(|(cid, _)| cid == asked.last_segment());
        naming(found.map_or(&[][..], |(_, gateways)| gateways))
    })
    .await
}

async fn get(
    pinner: &RoutedPinner,
    request: BlockRequest,
) -> Result<pinner_api::Bytes, PinnerError> {
    pinner.block(&request).await.map(|answer| answer.bytes)
}

#[tokio::test]
async fn the_gateways_of_the_root_are_asked_and_then_those_of_the_block() {
    let (root, leaf, other) = (Block::unique(100), Block::unique(200), Block::unique(300));
    let (with_leaf, with_other) = (having(&leaf).await, having(&other).await);
    let table = vec![
        (&root, vec![with_leaf.address()]),
        (&leaf, vec![]),
        (&other, vec![with_other.address()]),
    ];
    let router = router(table).await;
    let pinner = found_by(&router).build();
    let below =
        |block: &Block| BlockRequest::new(block.cid).with_origin(Origin::new(root.cid, "a"));
    assert_eq!(get(&pinner, below(&leaf)).await.unwrap(), leaf.bytes);
    assert_eq!(router.requests().len(), 1, "the root's gateway has it");
    assert_eq!(get(&pinner, below(&other)).await.unwrap(), other.bytes);
    assert_eq!(router.requests().len(), 2, "the root's are remembered");
    // A block that no gateway has may be somewhere all the same.
    let nowhere = Block::unique(50);
    let error = get(&pinner, below(&nowhere)).await.unwrap_err();
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains(&nowhere.cid.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn no_credentials_and_no_cookies_are_sent_to_gateways() {
    let block = Block::unique(100);
    let gateway = having(&block).await;
    let router = router(vec![(&block, vec![gateway.address()])]).await;
    let pinner = found_by(&router).build();
    get(&pinner, BlockRequest::new(block.cid)).await.unwrap();
    let asked = &gateway.requests()[0];
    for name in ["authorization", "cookie", "proxy-authorization", "referer"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert_eq!(asked.target, format!("/ipfs/{}?format=raw", block.cid));
}

#[tokio::test]
async fn a_gateway_in_a_private_network_is_not_asked() {
    let block = Block::unique(100);
    let gateway = having(&block).await;
    let port = gateway.address().port();
    let named: Vec<String> = [
        format!("/ip4/127.0.0.1/tcp/{port}/http"),
        format!("/dns/localhost/tcp/{port}/http"),
        format!("/dns4/below.localhost/tcp/{port}/tls/http"),
        "/ip4/10.0.0.1/tcp/443/https".into(),
        "/ip6/::ffff:1.1.1.1/tcp/443/https".into(),
        "/ip4/169.254.169.254/tcp/443/https".into(),
    ]
    .map(|address| provider(&[address]))
    .into();
    let router = serve(move |_| Reply::ok(LINES, named.join("\n"))).await;
    // The router may be on this machine; the gateways may not.
    let routing = over(&[&router]).build().unwrap();
    let pinner = RoutedPinner::builder(routing).build();
    let began = Instant::now();
    let error = get(&pinner, BlockRequest::new(block.cid))
        .await
        .unwrap_err();
    assert!(!error.is_absence(), "{error:?}");
    assert_eq!(gateway.connections(), 0);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    // The same gateway is asked where the host allows it.
    let pinner = found_by(&router).build();
    assert_eq!(
        get(&pinner, BlockRequest::new(block.cid)).await.unwrap(),
        block.bytes
    );
}

#[tokio::test]
async fn a_liar_rests_and_the_others_are_asked() {
    let block = Block::unique(100);
    let lying = Arc::new(AtomicBool::new(true));
    let lies = lying.clone();
    let bytes = block.bytes.clone();
    let liar = serve(move |_| match lies.load(Ordering::SeqCst) {
        true => Reply::ok("application/vnd.ipld.raw", "a lie"),
        false => Reply::ok("application/vnd.ipld.raw", &bytes),
    })
    .await;
    let honest = having(&block).await;
    let router = router(vec![(&block, vec![liar.address(), honest.address()])]).await;
    let pinner = found_by(&router).build();
    let request = BlockRequest::new(block.cid);
    let answer = pinner.block(&request).await.unwrap();
    assert_eq!(answer.bytes, "a lie");
    let source = answer.source.clone().expect("it names its source");
    pinner.verdict(&request, Some(&source), Verdict::Wrong);
    let again = request.clone().avoiding([source.clone()]);
    let answer = pinner.block(&again).await.unwrap();
    assert_eq!(answer.bytes, block.bytes);
    // It is asked last for a while, for other blocks as well.
    let asked = liar.requests().len();
    assert_eq!(get(&pinner, request.clone()).await.unwrap(), block.bytes);
    assert_eq!(liar.requests().len(), asked);
    // If the others do not have the block, the one to avoid is asked all the same.
    let only = self::router(vec![(&block, vec![liar.address()])]).await;
    let pinner = found_by(&only).build();
    lying.store(false, Ordering::SeqCst);
    assert_eq!(get(&pinner, again).await.unwrap(), block.bytes);
}

#[tokio::test]
async fn slow_and_broken_gateways_do_not_stop_the_others() {
    let block = Block::unique(100);
    let hanging = serve(|_| Reply::of([Step::Hang])).await;
    let broken = serve(|_| Reply::with(500, &[], "")).await;
    let gone = serve(|_| Reply::default()).await.address();
    let good = having(&block).await;
    let named = vec![hanging.address(), broken.address(), gone, good.address()];
    let router = router(vec![(&block, named)]).await;
    let pinner = found_by(&router).hedge(Duration::from_millis(50)).build();
    let began = Instant::now();
    assert_eq!(
        get(&pinner, BlockRequest::new(block.cid)).await.unwrap(),
        block.bytes
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn one_deadline_covers_routers_and_gateways() {
    let (root, leaf) = (Block::unique(100), Block::unique(200));
    let hanging = serve(|_| Reply::of([Step::Hang])).await;
    let slow_router = serve({
        let address = hanging.address();
        move |_| naming(&[address]).after(Duration::from_millis(100))
    })
    .await;
    for router in [&slow_router, &hanging] {
        let pinner = found_by(router).build();
        let began = Instant::now();
        let request = BlockRequest::new(leaf.cid).with_origin(Origin::new(root.cid, "a"));
        let request = request.with_deadline((began + Duration::from_millis(600)).into_std());
        let error = get(&pinner, request).await.unwrap_err();
        assert!(error.may_pass(), "{error:?}");
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn identity_cids_ask_nobody() {
    let router = serve(|_| Reply::with(500, &[], "")).await;
    let pinner = found_by(&router).build();
    let cid = "bafkqaddwgevxmmraojswg33smq".parse().unwrap();
    assert_eq!(
        get(&pinner, BlockRequest::new(cid)).await.unwrap(),
        "v1+v2 record"
    );
    assert_eq!(router.connections(), 0);
}
