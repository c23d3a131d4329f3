//! Recursive pins: made when the node says so, and not before.

use std::time::{Duration, Instant};

use kubo_protocol::Wrapper;
use pinner_api::{Holder, PinDepth, Pinner, PinnerError};
use pinner_kubo::KuboPinner;
use toy_http::{Reply, Step, ToyServer};

use crate::{BLOCK, JSON, cid, commands, failure, holder, late_failure, lines, node, words};

type IsRight = fn(&PinnerError) -> bool;

/// A node without pins that sends this answer to `pin/add`.
async fn pinning(add: Reply) -> (ToyServer, KuboPinner) {
    node("0.43.0", move |command, asked| match command {
        "pin/add" => add.clone(),
        "pin/ls" if asked.target.contains("arg=") => failure("path 'x' is not pinned"),
        "pin/ls" => lines(&[]),
        "pin/rm" => failure("not pinned or pinned indirectly"),
        other => panic!("unexpected call: {other}"),
    })
    .await
}

#[tokio::test]
async fn a_recursive_pin_is_made_when_the_node_says_so_and_not_before() {
    let pin = async |pinner: &KuboPinner| pinner.pin(&holder(), &cid(), PinDepth::Recursive).await;
    let wrapper = Wrapper::new(holder(), cid()).to_string();
    let pinned = format!("{{\"Pins\":[\"{wrapper}\"]}}\n");
    let progress = "{\"Progress\":3,\"Bytes\":300}\n";

    let (server, pinner) = pinning(lines(&[progress, &pinned])).await;
    pin(&pinner).await.expect("pinned");
    let asked = server.requests();
    let add = asked.iter().find(|it| it.path().ends_with("pin/add"));
    let target = &add.expect("it is asked").target;
    assert!(
        target.contains(&wrapper) && target.contains("progress=true"),
        "{target}"
    );
    assert!(!target.contains(BLOCK), "the root itself: {target}");

    let cases: [(Reply, IsRight); 7] = [
        // Status 200 and progress, followed by the failure.
        (
            late_failure(&[progress], "pin: context deadline exceeded"),
            |error| matches!(error, PinnerError::TimedOut { .. }),
        ),
        (
            late_failure(&[progress], &format!("pin: ipld: could not find {BLOCK}")),
            |error| matches!(error, PinnerError::NotFound { .. }),
        ),
        // The same through a proxy that drops the trailers.
        (lines(&[progress]), |error| {
            matches!(error, PinnerError::Unavailable { .. })
        }),
        (lines(&[]), |error| {
            matches!(error, PinnerError::Unavailable { .. })
        }),
        (lines(&[progress, "{\"Pins\":[]}\n"]), |error| {
            matches!(error, PinnerError::Unavailable { .. })
        }),
        (lines(&["<html>no</html>\n"]), |error| {
            matches!(error, PinnerError::Corrupt { .. })
        }),
        (failure("pin: something new"), |error| {
            matches!(error, PinnerError::Unavailable { .. })
        }),
    ];
    for (add, is_right) in cases {
        let (server, pinner) = pinning(add).await;
        let error = pin(&pinner).await.expect_err("it is not pinned");
        assert!(is_right(&error), "{error:?}");
        assert!(words(&error).contains(BLOCK), "{}", words(&error));
        // The pin may exist nevertheless, so it is removed.
        assert_eq!(commands(&server).last().map(String::as_str), Some("pin/rm"));
    }
}

/// The beginning of an answer of eight lines, each of which takes a quarter of a second.
fn slow(progress: impl Fn(u64) -> String) -> Vec<Step> {
    let head = Reply::head(200, &[("Transfer-Encoding", "chunked")]);
    let mut steps = vec![Step::Send(head)];
    for n in 0..8 {
        // The bytes of a chunk, one at a time.
        let chunk = Reply::chunk(progress(n));
        let every = Duration::from_millis(250) / u32::try_from(chunk.len()).expect("short");
        steps.push(Step::Drip(chunk, every));
    }
    steps
}

/// A pin that takes two seconds and progresses all the time.
fn slow_pin() -> Reply {
    let mut steps = slow(|n| format!("{{\"Progress\":{n}}}\n"));
    steps.push(Step::Send(Reply::chunk("{\"Pins\":[\"x\"]}\n")));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    Reply::of(steps)
}

#[tokio::test]
async fn a_pin_may_take_as_long_as_it_gets_on() {
    let (_server, pinner) = pinning(slow_pin()).await;
    let pinned = pinner.pin(&holder(), &cid(), PinDepth::Recursive).await;
    pinned.expect("it got on all the time");

    // The same number of lines without new blocks is not progress.
    let mut steps = slow(|_| "{\"Progress\":5,\"Bytes\":7}\n".to_owned());
    steps.push(Step::Hang);
    let (_server, pinner) = pinning(Reply::of(steps)).await;
    let begun = Instant::now();
    let error = pinner.pin(&holder(), &cid(), PinDepth::Recursive).await;
    let error = error.expect_err("it stands still");
    assert!(matches!(error, PinnerError::TimedOut { .. }), "{error:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_pin_waits_for_those_before_it_without_being_late() {
    let (_server, pinner) = pinning(slow_pin()).await;
    let root = cid();
    // More pins than run at once. Each takes far longer than a pin may stand still.
    let holders: Vec<_> = (0..6).map(|n| Holder::new([n; 8], [n; 16])).collect();
    let pins = holders
        .iter()
        .map(|holder| pinner.pin(holder, &root, PinDepth::Recursive));
    for pinned in futures_util::future::join_all(pins).await {
        pinned.expect("its turn comes");
    }
}

#[tokio::test]
async fn a_second_holder_starts_from_the_first_ones_pin() {
    let other = Wrapper::new(Holder::new([9; 8], [9; 16]), cid()).to_string();
    for (update, adds) in [
        (Reply::ok(JSON, r#"{"Pins":["a","b"]}"#), false),
        (failure("'to' cid was already recursively pinned"), false),
        // The other pin was released just now.
        (
            failure("'from' cid was not recursively pinned already"),
            true,
        ),
        (Reply::with(404, &[], "404 page not found"), true),
    ] {
        let listed = format!("{{\"Cid\":\"{other}\",\"Type\":\"recursive\"}}\n");
        let (server, pinner) = node("0.43.0", move |command, asked| match command {
            "pin/ls" if asked.target.contains("arg=") => failure("path 'x' is not pinned"),
            "pin/ls" => lines(&[&listed]),
            "pin/update" => update.clone(),
            "pin/add" => lines(&["{\"Pins\":[\"x\"]}\n"]),
            other => panic!("unexpected call: {other}"),
        })
        .await;
        let pinned = pinner.pin(&holder(), &cid(), PinDepth::Recursive).await;
        pinned.expect("pinned");
        let asked = server.requests();
        let update = asked.iter().find(|it| it.path().ends_with("pin/update"));
        let target = &update.expect("it is tried").target;
        assert!(
            target.contains(&other) && target.contains("unpin=false"),
            "{target}"
        );
        let added = commands(&server).iter().any(|it| it == "pin/add");
        assert_eq!(added, adds, "{:?}", commands(&server));
    }
}
