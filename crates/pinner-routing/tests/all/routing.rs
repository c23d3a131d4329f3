//! The questions to routers, and their answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cid::Cid;
use futures_util::future::join_all;
use pinner_http::Endpoint;
use pinner_routing::{Routing, RoutingError};
use tokio::time::Instant;
use toy_http::{Reply, Step};

use crate::{DOCUMENT, LINES, late, over, provider, serve};

fn cid() -> Cid {
    "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
        .parse()
        .expect("a CID")
}

fn lines(names: &[&str]) -> String {
    let line = |name| provider(&[format!("/dns/{name}.example/tcp/443/https")]) + "\n";
    names.iter().map(line).collect()
}

fn names(found: &[Endpoint]) -> Vec<String> {
    let name = |it: &Endpoint| it.host().unwrap_or_default().replace(".example", "");
    found.iter().map(name).collect()
}

#[tokio::test]
async fn a_router_is_asked_as_the_specification_says_and_remembered() {
    let router = serve(|_| Reply::ok(LINES, lines(&["a", "b", "a"]))).await;
    let routing = over(&[&router]).build().unwrap();
    for _ in 0..3 {
        let found = routing.providers(&cid(), late()).await.unwrap();
        assert_eq!(names(&found), ["a", "b"]);
    }
    let asked = router.requests();
    assert_eq!(asked.len(), 1, "the answer is remembered");
    let v1 = cid().into_v1().unwrap();
    assert_eq!(asked[0].path(), format!("/routing/v1/providers/{v1}"));
    assert!(
        asked[0]
            .target
            .ends_with("?filter-protocols=transport-ipfs-gateway-http")
    );
    let accepted = asked[0].header("accept").unwrap();
    assert!(
        accepted.contains(LINES) && accepted.contains(DOCUMENT),
        "{accepted}"
    );
}

#[tokio::test]
async fn callers_at_once_share_a_look_up() {
    let router = serve(|_| Reply::ok(LINES, lines(&["a"])).after(Duration::from_millis(50))).await;
    let routing = over(&[&router]).build().unwrap();
    let cid = cid();
    let found = join_all((0..20).map(|_| routing.providers(&cid, late()))).await;
    assert!(found.iter().all(|it| names(it.as_ref().unwrap()) == ["a"]));
    assert_eq!(router.requests().len(), 1);
    // A caller's own deadline ends its own wait.
    let slow = serve(|_| Reply::of([Step::Hang])).await;
    let routing = over(&[&slow]).build().unwrap();
    let soon = Instant::now() + Duration::from_millis(100);
    let error = routing.providers(&cid, soon).await.unwrap_err();
    assert!(matches!(*error, RoutingError::TimedOut), "{error:?}");
    slow.until_open(0).await;
}

#[tokio::test]
async fn several_routers_are_asked_at_once_and_the_slow_ones_are_not_waited_for() {
    let one = serve(|_| Reply::ok(LINES, lines(&["a", "b"]))).await;
    let other = serve(|_| {
        Reply::ok(
            DOCUMENT,
            format!(
                r#"{{"Providers":[{}]}}"#,
                provider(&["/dns/c.example/tcp/443/https".into()])
            ),
        )
    })
    .await;
    let broken = serve(|_| Reply::with(500, &[], "")).await;
    let hanging = serve(|_| Reply::of([Step::Hang])).await;
    let routing = over(&[&hanging, &broken, &one, &other]).build().unwrap();
    let began = Instant::now();
    let found = routing.providers(&cid(), late()).await.unwrap();
    let mut found = names(&found);
    found.sort();
    assert_eq!(found, ["a", "b", "c"]);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn no_more_than_eight_gateways_are_taken() {
    let many: Vec<_> = (0..50).map(|number| format!("g{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let stream = serve({
        let lines = lines(&many);
        move |_| Reply::ok(LINES, &lines)
    })
    .await;
    let routing = over(&[&stream, &stream]).build().unwrap();
    let found = routing.providers(&cid(), late()).await.unwrap();
    assert_eq!(names(&found), many[..8]);
}

#[tokio::test]
async fn what_came_before_an_answer_broke_off_counts() {
    let whole = lines(&["a", "b"]);
    let half = whole.len() - 30;
    let cut = move |end: Step| {
        let head = Reply::head(
            200,
            &[("Content-Type", LINES), ("Transfer-Encoding", "chunked")],
        );
        let chunk = Reply::chunk(&whole[..half]);
        Reply::of([Step::Send([head, chunk].concat()), end])
    };
    for end in [
        Step::Close,
        Step::Reset,
        Step::Hang,
        Step::Endless(Reply::chunk("\n")),
        Step::Endless(Reply::chunk("x")),
    ] {
        let name = format!("{end:?}");
        let reply = cut(end);
        let router = serve(move |_| reply.clone()).await;
        let routing = over(&[&router]).build().unwrap();
        let began = Instant::now();
        let found = routing.providers(&cid(), late()).await.expect(&name);
        assert_eq!(names(&found), ["a"], "{name}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn an_answer_without_gateways_is_no_failure_and_is_remembered_too() {
    for reply in [
        Reply::ok(DOCUMENT, r#"{"Providers":null}"#),
        Reply::ok(LINES, ""),
        Reply::with(404, &[], "not found"),
        Reply::ok(LINES, provider(&[])),
        Reply::ok(LINES, provider(&["/ip4/10.0.0.1/tcp/80/http".into()])),
        Reply::ok(
            LINES,
            r#"{"Schema":"bitswap","Protocol":"transport-bitswap","Addrs":[]}"#,
        ),
    ] {
        let router = serve(move |_| reply.clone()).await;
        let routing = over(&[&router]).build().unwrap();
        for _ in 0..2 {
            assert!(routing.providers(&cid(), late()).await.unwrap().is_empty());
        }
        assert_eq!(router.requests().len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_a_routers_answer_is_an_error_and_is_not_remembered() {
    let large = lines(&["not-a-gateway"])
        .replace("gateway-http", "other")
        .repeat(1000);
    for reply in [
        Reply::ok("text/html", "<html>"),
        Reply::with(200, &[], "{}"),
        Reply::ok(DOCUMENT, "[]"),
        Reply::ok(DOCUMENT, "{\"Providers\":[{\"Sche"),
        Reply::ok(LINES, "{\"Sche"),
        Reply::ok(LINES, &large),
        Reply::ok(
            DOCUMENT,
            format!(r#"{{"Providers":[],"More":"{large:?}"}}"#),
        ),
        Reply::with(501, &[], "not implemented"),
    ] {
        let name = format!("{reply:?}").chars().take(200).collect::<String>();
        let good = Arc::new(AtomicUsize::new(0));
        let turn = good.clone();
        let router = serve(move |_| match turn.fetch_add(1, Ordering::SeqCst) {
            0 => reply.clone(),
            _ => Reply::ok(LINES, lines(&["a"])),
        })
        .await;
        let routing = over(&[&router]).build().unwrap();
        let failed = routing.providers(&cid(), late()).await;
        assert!(failed.is_err(), "{name}: {failed:?}");
        // It rests, but nobody else can be asked.
        let found = routing.providers(&cid(), late()).await.unwrap();
        assert_eq!(names(&found), ["a"], "{name}");
    }
}

#[tokio::test]
async fn a_router_that_asks_for_a_rest_has_it() {
    let router = serve(|_| Reply::with(429, &[("Retry-After", "60")], "")).await;
    let routing = over(&[&router]).build().unwrap();
    for _ in 0..3 {
        assert!(routing.providers(&cid(), late()).await.is_err());
    }
    assert_eq!(router.requests().len(), 1);
}

#[test]
fn routers_are_asked_over_https_alone() {
    let build = |url: &str, builder: pinner_routing::RoutingBuilder| {
        builder.router(url.parse().expect("an address")).build()
    };
    for url in [
        "http://router.example",
        "http://127.0.0.1:80",
        "/unix/run/x.sock",
    ] {
        let error = build(url, Routing::builder()).unwrap_err();
        assert!(
            matches!(error, RoutingError::NotEncrypted { .. }),
            "{url}: {error:?}"
        );
    }
    assert!(build("https://router.example", Routing::builder()).is_ok());
    let local = || Routing::builder().allow_loopback();
    assert!(build("http://localhost:8080", local()).is_ok());
    assert!(build("http://router.example", local()).is_err());
    assert!(build("/unix/run/x.sock", local()).is_err());
    assert!(matches!(
        Routing::builder().build(),
        Err(RoutingError::Nobody)
    ));
}
