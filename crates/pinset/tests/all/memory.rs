//! Tests of the memory that a guest can make the process use.
//!
//! They measure the whole process, so each runs in a process of its own, and all of them in a binary of their own.

use std::{future::poll_fn, pin::Pin, process::Command, sync::Arc, time::Duration};

use cid::Cid;
use futures_util::{Stream, TryStreamExt};
use ipld_dagpb::{PbLink, PbNode};
use pinner_mock::{MockNode, Recording};
use pinset::{Access, CacheMode, Limits, Node, PinsetBuilder, Session, Symlinks};
use test_support::memory::{peak_bytes, reset_peak, resident_bytes};

const MIB: u64 = 1 << 20;

/// Returns whether this is a process for the test `name` alone. Otherwise the test has run in one, and succeeded.
fn is_alone(name: &str) -> bool {
    const ALONE: &str = "PINSET_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut test = Command::new(std::env::current_exe().unwrap());
    let test = test.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
    let status = test.status().unwrap();
    assert!(status.success(), "{status}");
    false
}

fn node() -> MockNode {
    MockNode::builder()
        .capabilities(pinner_api::Capabilities::blocks_only())
        .recording(Recording::Counters)
        .build()
}

/// A pinset whose cache of decoded nodes is small beside what the tests decode.
async fn pinset(node: &MockNode) -> (CacheMode, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let pinset = PinsetBuilder::new(Arc::new(node.clone()), 1 << 30)
        .lock_dir(dir.path().join("lock"))
        .node_cache_bytes(4 << 20);
    (pinset.shared().await.unwrap(), dir)
}

fn directory(node: &MockNode, entries: impl IntoIterator<Item = (String, Cid)>) -> Cid {
    let links = entries.into_iter().map(|(name, cid)| PbLink {
        cid,
        name: Some(name),
        size: Some(1),
    });
    let (links, data) = (
        links.collect(),
        Some(bytes::Bytes::from_static(b"\x08\x01")),
    );
    node.put(0x70, PbNode { links, data }.into_bytes())
}

/// A directory of `entries` entries, no two of the same content.
fn wide(node: &MockNode, number: usize, entries: usize) -> Cid {
    let raw = node.put(0x55, "text");
    let entry = |n| (format!("{number:04}-{n:06}"), raw);
    directory(node, (0..entries).map(entry))
}

/// Opens an entry of a directory.
async fn down(session: &Session, node: &Node, name: &str) -> Node {
    let Node::Dir(dir) = node else {
        panic!("{node:?} is not a directory");
    };
    session.open_at(dir, name, Symlinks::Follow).await.unwrap()
}

#[tokio::test]
async fn handles_deep_down_own_no_long_paths() {
    if !is_alone("handles_deep_down_own_no_long_paths") {
        return;
    }
    let node = node();
    let name = "n".repeat(4000);
    let mut below = directory(&node, []);
    for _ in 0..250 {
        below = directory(&node, [(name.clone(), below)]);
    }
    let (mode, _dir) = pinset(&node).await;
    let session = mode.session(Access::Any, Limits::default());
    let mut bottom = session.open(&below.into()).await.unwrap();
    for _ in 0..249 {
        bottom = down(&session, &bottom, &name).await;
    }
    let before = resident_bytes().unwrap();
    let mut opened = Vec::new();
    for _ in 0..1000 {
        opened.push(down(&session, &bottom, &name).await);
    }
    let held = resident_bytes().unwrap().saturating_sub(before);
    assert!(held < 16 * MIB, "{held} bytes for {} handles", opened.len());
}

#[tokio::test]
async fn listings_that_wait_hold_no_blocks() {
    if !is_alone("listings_that_wait_hold_no_blocks") {
        return;
    }
    let node = node();
    // Each is nearly as large as a block may be.
    let dirs: Vec<_> = (0..8).map(|number| wide(&node, number, 32_000)).collect();
    let (mode, _dir) = pinset(&node).await;
    let session = mode.session(Access::Any, Limits::default());
    let mut opened = Vec::new();
    for dir in &dirs {
        opened.push(session.open(&(*dir).into()).await.unwrap());
    }
    let before = resident_bytes().unwrap();
    let mut listings = Vec::new();
    for n in 0..12 {
        for node in &opened {
            let Node::Dir(dir) = node else {
                panic!("{node:?} is not a directory");
            };
            let mut entries = dir.entries().unwrap();
            if n % 2 == 0 {
                assert!(entries.try_next().await.unwrap().is_some());
            } else {
                // It is asked once and never again, so that its answer waits.
                poll_fn(|context| {
                    _ = Pin::new(&mut entries).poll_next(context);
                    std::task::Poll::Ready(())
                })
                .await;
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
            listings.push(entries);
        }
    }
    // Whatever was begun is over by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = resident_bytes().unwrap().saturating_sub(before);
    assert!(
        held < 100 * MIB,
        "{held} bytes for {} listings",
        listings.len()
    );
    for (n, entries) in listings.iter_mut().enumerate() {
        let taken = (n / 8 + 1) % 2;
        let entry = entries.try_next().await.unwrap().unwrap();
        assert_eq!(entry.name(), format!("{:04}-{taken:06}", n % 8));
    }
}

#[tokio::test]
async fn a_walk_holds_no_block_of_the_directories_behind_it() {
    if !is_alone("a_walk_holds_no_block_of_the_directories_behind_it") {
        return;
    }
    let node = node();
    let mut below = wide(&node, 2000, 600);
    for number in (0..2000).rev() {
        let raw = node.put(0x55, "text");
        let others = (0..600).map(|n| (format!("{number:04}-{n:06}-{}", "x".repeat(64)), raw));
        below = directory(&node, others.chain([("d".to_owned(), below)]));
    }
    let (mode, _dir) = pinset(&node).await;
    let session = mode.session(Access::Any, Limits::default());
    let root = session.open(&below.into()).await.unwrap();
    // Some of the steps go up again.
    let path = "d/".repeat(1500) + &"d/../d/".repeat(100);
    reset_peak();
    let before = resident_bytes().unwrap();
    let reached = down(&session, &root, &path).await;
    let peak = peak_bytes().unwrap().saturating_sub(before);
    assert!(peak < 48 * MIB, "{peak} bytes for a walk");
    let name = format!("1600-000007-{}", "x".repeat(64));
    let text = down(&session, &reached, &name).await;
    assert!(matches!(text, Node::File(_)));
}
