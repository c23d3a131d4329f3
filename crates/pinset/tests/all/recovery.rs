//! Pins that a holder could not release are released later: by the holder itself on closing, or, once it is dead, by
//! the next pinset on the same lock directory and the same backend (I5).

use std::{fs, path::Path, sync::Arc, time::Duration};

use cid::Cid;
use pinner_api::PinnerError;
use pinner_car::Profile;
use pinner_mock::{Fault, MockNode, When};
use pinset::{CacheMode, Error, PinsetBuilder};
use test_support::{
    content::{MIB, add_file, stream},
    until,
};

use crate::{host::Host, pinsets::ipfs};

const BUDGET: u64 = 8 << 20;

fn unavailable() -> Fault {
    Fault::Error(PinnerError::Unavailable {
        operation: "unpin".into(),
        source: None,
    })
}

/// Opens a file of several blocks and waits for its pin.
async fn pinned(host: &CacheMode, node: &MockNode, salt: usize) -> Cid {
    let cid = add_file(node, &stream(3 * MIB + salt), Profile::default());
    host.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap();
    until("the pin", || {
        node.pinned().iter().any(|pin| pin.root == cid)
    })
    .await;
    cid
}

#[tokio::test]
async fn a_release_that_failed_is_tried_again_after_another_that_did_not() {
    let node = MockNode::new();
    node.script(When::any_unpin().first(1), unavailable());
    let host = Host::new(&node, BUDGET).await;
    for salt in 0..4 {
        pinned(&host.mode, &node, salt).await;
    }
    // The budget has room for two pins. Two had to give way, and the release of the first failed.
    until("the releases", || node.pinned().len() == 2).await;
    until("the count", || host.mode.stats().pins_unreleased == 0).await;
    let stats = host.mode.stats();
    assert_eq!((stats.pin_failures, stats.pins_held), (1, 2));
    assert_eq!(node.stats().unpins, 3);
}

#[tokio::test]
async fn a_release_that_failed_is_tried_again_on_closing() {
    let node = MockNode::new();
    node.script(When::any_unpin().first(2), unavailable());
    let host = Host::new(&node, BUDGET).await;
    for salt in 0..4 {
        pinned(&host.mode, &node, salt).await;
    }
    until("the failures", || host.mode.stats().pin_failures == 2).await;
    let stats = host.mode.stats();
    assert_eq!((stats.pins_held, stats.pins_unreleased), (2, 2));
    assert_eq!(node.pinned().len(), 4);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty(), "{:?}", node.pinned());
    assert_eq!(host.mode.stats().pins_unreleased, 0);
}

#[tokio::test]
async fn what_is_pinned_again_before_its_release_succeeded_is_held() {
    let node = MockNode::new();
    node.script(When::any_unpin().first(1), unavailable());
    let host = Host::new(&node, BUDGET).await;
    let first = pinned(&host.mode, &node, 0).await;
    for salt in 1..3 {
        pinned(&host.mode, &node, salt).await;
    }
    until("the failure", || host.mode.stats().pins_unreleased == 1).await;
    // The first is opened again, and another gives way. That one's release succeeds, but the first must stay pinned.
    let file = host.file(&format!("/ipfs/{first}")).await;
    until("its pin", || node.stats().pins == 4).await;
    until("another's release", || node.pinned().len() == 2).await;
    until("the count", || host.mode.stats().pins_unreleased == 0).await;
    assert!(node.pinned().iter().any(|pin| pin.root == first));
    drop(file);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty(), "{:?}", node.pinned());
}

#[tokio::test]
async fn a_release_that_closing_cuts_short_is_closings_to_finish() {
    let node = MockNode::new();
    node.script(When::any_unpin().first(1), Fault::Hang);
    let host = Host::new(&node, BUDGET).await;
    for salt in 0..2 {
        pinned(&host.mode, &node, salt).await;
    }
    // The third pin needs the room of one of them.
    let cid = add_file(&node, &stream(3 * MIB + 2), Profile::default());
    host.read(&format!("/ipfs/{cid}")).await;
    let unpins = || node.stats().unpins;
    until("the release that hangs", || unpins() == 1).await;
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty(), "{:?}", node.pinned());
}

#[tokio::test]
async fn what_closing_cannot_release_is_an_error_and_stays_to_be_found() {
    let node = MockNode::new();
    node.script(When::any_unpin(), unavailable());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locks");
    let start = async |node: &MockNode| {
        let pinset = PinsetBuilder::new(Arc::new(node.clone()), BUDGET).lock_dir(&path);
        pinset.shared().await.unwrap()
    };
    let first = start(&node).await;
    let cid = pinned(&first, &node, 0).await;
    let error = first.close().await.unwrap_err();
    assert!(matches!(error, Error::Pin { cid: named, .. } if named == cid));
    assert!(first.stats().pin_failures > 0);
    let lock = only_lock(&path);
    // While the holder lives, nobody touches its pins.
    let second = start(&node).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.pinned().len(), 1);
    second.close().await.unwrap();
    drop((first, second));
    until("its own last try", || node.stats().unpins == 2).await;

    // A pinset on another backend knows nothing of the holder's pins, and must not destroy the proof of its death.
    let elsewhere = MockNode::new();
    let other = start(&elsewhere).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    other.close().await.unwrap();
    drop(other);
    assert!(lock_is_there(&path, &lock), "the proof is gone");

    // A pinset that meets the same failure again must not destroy it either.
    let third = start(&node).await;
    until("another try", || node.stats().unpins >= 3).await;
    third.close().await.unwrap();
    drop(third);
    assert!(lock_is_there(&path, &lock), "the proof is gone");

    node.clear_script();
    let last = start(&node).await;
    until("the release", || node.pinned().is_empty()).await;
    until("the end of the lock", || !lock_is_there(&path, &lock)).await;
    last.close().await.unwrap();
}

#[tokio::test]
async fn closing_again_releases_what_the_first_could_not() {
    let node = MockNode::new();
    let host = Host::new(&node, 16 << 20).await;
    for salt in 0..3 {
        pinned(&host.mode, &node, salt).await;
    }
    until("all pins", || host.mode.stats().pins_held == 3).await;
    node.script(When::any_unpin().first(1), unavailable());
    host.mode.close().await.unwrap_err();
    // The other pins were released all the same.
    assert_eq!(node.pinned().len(), 1);
    let stats = host.mode.stats();
    assert_eq!((stats.pins_held, stats.pins_unreleased), (0, 1));
    // A close that is interrupted has released nothing, and forgets nothing.
    node.clear_script();
    node.script(When::any_unpin().first(1), Fault::Hang);
    let soon = Duration::from_millis(20);
    let cut = tokio::time::timeout(soon, host.mode.close()).await;
    assert!(cut.is_err());
    assert_eq!(host.mode.stats().pins_unreleased, 1);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
    assert_eq!(host.mode.stats().pins_unreleased, 0);
    let path = host.dir.path().join("lock");
    drop(host.mode);
    assert_eq!(locks(&path), [""; 0]);
}

#[tokio::test]
async fn a_pinset_that_is_dropped_releases_its_pins_beside_what_follows() {
    let node = MockNode::new();
    let Host { mode, dir, .. } = Host::new(&node, BUDGET).await;
    pinned(&mode, &node, 0).await;
    drop(mode);
    until("the release", || node.pinned().is_empty()).await;
    until("the end of the lock", || {
        locks(&dir.path().join("lock")).is_empty()
    })
    .await;
}

#[test]
fn what_is_dropped_without_a_runtime_is_found_by_the_next_start() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locks");
    let start = async || {
        let pinset = PinsetBuilder::new(Arc::new(node.clone()), BUDGET).lock_dir(&path);
        pinset.shared().await.unwrap()
    };
    let first = runtime().block_on(async {
        let first = start().await;
        pinned(&first, &node, 0).await;
        first
    });
    drop(first);
    assert_eq!((node.pinned().len(), node.stats().unpins), (1, 0));
    let lock = only_lock(&path);
    runtime().block_on(async {
        let next = start().await;
        until("the release", || node.pinned().is_empty()).await;
        until("the end of the lock", || !lock_is_there(&path, &lock)).await;
        next.close().await.unwrap();
    });
}

fn locks(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".lock"))
        .collect()
}

fn only_lock(dir: &Path) -> String {
    let mut locks = locks(dir);
    assert_eq!(locks.len(), 1);
    locks.remove(0)
}

fn lock_is_there(dir: &Path, name: &str) -> bool {
    locks(dir).iter().any(|lock| lock == name)
}
