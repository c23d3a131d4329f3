//! A pin that `ensure` or a guard stands for is on the backend, whatever is released or fails beside it (I5); and lazy
//! pins are bounded in number, whatever their roots declare.

use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use ipld_dagpb::{PbLink, PbNode};
use pinner_api::{PinDepth, PinnerError};
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::Error;
use test_support::{
    content::{MIB, add_file, stream},
    until,
};
use tokio::task::JoinHandle;

use crate::host::Host;

/// There is room for one of the files below.
const BUDGET: u64 = 8 << 20;

fn file(node: &MockNode, salt: usize) -> Cid {
    add_file(node, &stream(5 * MIB + salt), Profile::default())
}

fn is_pinned(node: &MockNode, cid: Cid, depth: PinDepth) -> bool {
    let pins = node.pinned();
    pins.iter().any(|pin| pin.root == cid && pin.depth == depth)
}

fn is_whole(node: &MockNode, cid: Cid) -> bool {
    is_pinned(node, cid, PinDepth::Recursive)
}

/// Ensures in a task of its own.
fn ensuring(host: &Host, cid: Cid) -> JoinHandle<Result<(), Error>> {
    let mode = host.mode.clone();
    tokio::spawn(async move { mode.ensure(&cid).await })
}

/// Waits for an answer that should not come yet, for long enough for a wrong one to come.
async fn too_early(answer: &mut JoinHandle<Result<(), Error>>) -> bool {
    let soon = Duration::from_millis(50);
    tokio::time::timeout(soon, answer).await.is_ok()
}

async fn all_released(host: &Host) {
    until("the releases", || host.mode.stats().pins_unreleased == 0).await;
}

#[tokio::test]
async fn a_release_under_way_does_not_overtake_the_pin_that_follows_it() {
    let node = MockNode::new();
    let (a, b) = (file(&node, 0), file(&node, 1));
    let host = Host::new(&node, BUDGET).await;
    let gate = Gate::new();
    node.script(When::unpin(&a).first(1), Fault::HangUntil(gate.clone()));
    host.mode.ensure(&a).await.unwrap();
    // The first has to make way.
    host.mode.ensure(&b).await.unwrap();
    gate.reached(1).await;
    let mut again = ensuring(&host, a);
    let early = too_early(&mut again).await;
    gate.open();
    if !early {
        again.await.unwrap().unwrap();
    }
    gate.deserted().await;
    all_released(&host).await;
    assert!(is_whole(&node, a), "it is not pinned, but said to be");
    assert!(!early, "the release was still under way");
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty(), "{:?}", node.pinned());
}

#[tokio::test]
async fn a_release_that_waits_is_not_made_once_the_pin_is_wanted_again() {
    let node = MockNode::new();
    let (a, b, c) = (file(&node, 0), file(&node, 1), file(&node, 2));
    let host = Host::new(&node, BUDGET).await;
    let gate = Gate::new();
    node.script(When::unpin(&a), Fault::HangUntil(gate.clone()));
    for cid in [a, b, c] {
        host.mode.ensure(&cid).await.unwrap();
    }
    // The release of the second waits behind that of the first. Now it is wanted again.
    gate.reached(1).await;
    host.mode.ensure(&b).await.unwrap();
    gate.open();
    until("the other releases", || node.stats().unpins == 2).await;
    all_released(&host).await;
    let whole = [a, b, c].map(|cid| is_whole(&node, cid));
    assert_eq!(whole, [false, true, false]);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty(), "{:?}", node.pinned());
}

#[tokio::test]
async fn a_lazy_pin_that_fails_takes_nothing_from_the_whole_pin() {
    let denied = PinnerError::Denied {
        operation: "pin".into(),
        reason: "by the owner".into(),
    };
    let unavailable = PinnerError::Unavailable {
        operation: "pin".into(),
        source: None,
    };
    for error in [denied, unavailable] {
        let node = MockNode::new();
        let cid = file(&node, 0);
        let host = Host::new(&node, BUDGET).await;
        let gate = Gate::new();
        node.script(When::any_pin().first(1), Fault::HangUntil(gate.clone()));
        node.script(When::any_pin().first(1), Fault::Error(error.clone()));
        let open = host.file(&format!("/ipfs/{cid}")).await;
        gate.reached(1).await;
        let mut ensuring = ensuring(&host, cid);
        let early = too_early(&mut ensuring).await;
        gate.open();
        if !early {
            ensuring.await.unwrap().unwrap();
        }
        // A wrong release would come about now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(is_whole(&node, cid), "{error}: it was released");
        assert_eq!(host.mode.stats().pins_held, 1);
        drop(open);
        host.mode.close().await.unwrap();
        assert!(node.pinned().is_empty(), "{error}: {:?}", node.pinned());
    }
}

#[tokio::test]
async fn a_lazy_pin_that_waits_is_not_made_after_the_whole_one() {
    let node = MockNode::new();
    let (slow, cid) = (
        add_file(&node, &stream(2 * MIB), Profile::default()),
        file(&node, 0),
    );
    let host = Host::new(&node, BUDGET).await;
    let gate = Gate::new();
    node.script(When::pin(&slow), Fault::HangUntil(gate.clone()));
    let _files = [
        host.file(&format!("/ipfs/{slow}")).await,
        host.file(&format!("/ipfs/{cid}")).await,
    ];
    gate.reached(1).await;
    host.mode.ensure(&cid).await.unwrap();
    gate.open();
    until("the slow pin", || is_pinned(&node, slow, PinDepth::Lazy)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.stats().pins, 2);
    assert!(!is_pinned(&node, cid, PinDepth::Lazy));
    host.mode.close().await.unwrap();
}

#[tokio::test]
async fn a_guarded_pin_stays_until_the_last_guard_goes() {
    let node = MockNode::new();
    let (a, b) = (file(&node, 0), file(&node, 1));
    let host = Host::new(&node, BUDGET).await;
    let (first, second) = tokio::join!(host.mode.pin(&a), host.mode.pin(&a));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.cid(), node.stats().pins), (&a, 1));
    // Another one finds no room, and is pinned all the same.
    host.mode.ensure(&b).await.unwrap();
    assert!(is_whole(&node, a) && is_whole(&node, b));
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_whole(&node, a), "a guard is left");
    drop(second);
    until("the release", || !is_whole(&node, a)).await;
    assert!(is_whole(&node, b));
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn an_ensured_pin_stays_after_its_guard_and_makes_way_for_no_lazy_one() {
    let node = MockNode::new();
    let (a, b, c) = (file(&node, 0), file(&node, 1), file(&node, 2));
    let host = Host::new(&node, BUDGET).await;
    host.mode.ensure(&a).await.unwrap();
    drop(host.mode.pin(&a).await.unwrap());
    for cid in [b, c] {
        host.read(&format!("/ipfs/{cid}")).await;
    }
    assert_eq!(host.mode.stats().pins_dropped, 2);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_whole(&node, a), "a lazy pin pushed it out");
    assert_eq!(node.stats().pins, 1);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn a_guard_that_goes_leaves_the_lazy_pin_of_an_open_file() {
    let node = MockNode::new();
    let cid = file(&node, 0);
    let host = Host::new(&node, BUDGET).await;
    let guard = host.mode.pin(&cid).await.unwrap();
    let _open = host.file(&format!("/ipfs/{cid}")).await;
    drop(guard);
    until("the lazy pin", || is_pinned(&node, cid, PinDepth::Lazy)).await;
    assert!(!is_whole(&node, cid));
    // A guard that outlives the pinset stands for nothing.
    let guard = host.mode.pin(&cid).await.unwrap();
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
    drop(guard);
    assert!(matches!(host.mode.pin(&cid).await, Err(Error::Closed)));
}

#[tokio::test]
async fn who_gives_up_takes_nothing_from_another_who_waits() {
    let node = MockNode::new();
    let cid = file(&node, 0);
    let host = Host::new(&node, BUDGET).await;
    let gate = Gate::new();
    node.script(When::any_pin(), Fault::HangUntil(gate.clone()));
    let (quits, waits) = (ensuring(&host, cid), ensuring(&host, cid));
    gate.reached(1).await;
    quits.abort();
    assert!(quits.await.unwrap_err().is_cancelled());
    gate.open();
    waits.await.unwrap().unwrap();
    assert!(is_whole(&node, cid));
    assert_eq!((node.stats().pins, node.stats().unpins), (1, 0));
    host.mode.close().await.unwrap();
}

#[tokio::test]
async fn lazy_pins_beyond_the_setting_are_dropped_and_counted() {
    let node = MockNode::new();
    let host = Host::with(&node, |pinset| pinset.pins(3), 1 << 30).await;
    let mut all = Vec::new();
    for salt in 0..5 {
        let cid = file(&node, salt);
        host.file(&format!("/ipfs/{cid}")).await;
        all.push(cid);
    }
    until("the pins", || host.mode.stats().pins_held == 3).await;
    assert_eq!(host.mode.stats().pins_dropped, 2);
    host.mode.ensure(&all[4]).await.unwrap();
    assert_eq!(host.mode.stats().pins_held, 4);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}

/// A root that declares nothing weighs what its links can lead to, so it cannot fill the node with pins for free.
#[tokio::test]
async fn a_root_that_declares_nothing_is_not_pinned_for_nothing() {
    const LINKS: usize = 1000;
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    for n in 0..6_u8 {
        let leaf = node.put(0x55, vec![n; 10]);
        let link = |_| PbLink {
            cid: leaf,
            name: Some(String::new()),
            size: Some(0),
        };
        // A file of 10,000 bytes in pieces of 10.
        let mut data = vec![0x08, 2, 0x18, 0x90, 0x4e];
        data.extend([0x20, 10].repeat(LINKS));
        let root = PbNode {
            links: (0..LINKS).map(link).collect(),
            data: Some(Bytes::from(data)),
        };
        let root = node.put(0x70, root.into_bytes());
        host.file(&format!("/ipfs/{root}")).await;
        until("the pin", || is_pinned(&node, root, PinDepth::Lazy)).await;
    }
    // Each weighs more than four million bytes.
    until("the releases", || node.pinned().len() == 2).await;
    assert_eq!(host.mode.stats().pins_held, 2);
    host.mode.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_when_the_end_comes_while_a_release_waits() {
    let node = MockNode::new();
    let (a, b, c) = (file(&node, 0), file(&node, 1), file(&node, 2));
    let host = Host::new(&node, BUDGET).await;
    node.script(When::unpin(&a).first(1), Fault::Hang);
    for cid in [a, b, c] {
        host.mode.ensure(&cid).await.unwrap();
    }
    until("the release that hangs", || node.stats().unpins == 1).await;
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty(), "{:?}", node.pinned());
    assert_eq!(host.mode.stats().pins_unreleased, 0);
}
