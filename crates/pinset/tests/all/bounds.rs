//! The bounds: the budget (I2), and the limits and grants of a session (I9, I10).

use futures_util::TryStreamExt;
use std::sync::Arc;

use pinner_car::Profile;
use pinner_mock::MockNode;
use pinset::{Access, Error, Limit, Limits, Node, PinsetBuilder, Symlinks};
use test_support::content::{MIB, add, add_file, stream};

use crate::{host::Host, pinsets::ipfs};

#[tokio::test]
async fn a_budget_too_small_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for budget in [0, 1, 1 << 20, PinsetBuilder::MIN_BUDGET - 1] {
        let pinset =
            PinsetBuilder::new(Arc::new(MockNode::new()), budget).lock_dir(dir.path().join("l"));
        let error = pinset.shared().await.unwrap_err();
        assert!(
            matches!(error, Error::BudgetTooSmall { budget_bytes, .. } if budget_bytes == budget)
        );
    }
    // Nothing is left behind.
    assert!(!dir.path().join("l").exists());
}

#[tokio::test]
async fn an_object_larger_than_the_budget_passes_through() {
    let node = MockNode::new();
    let bytes = stream(20 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::new(&node, PinsetBuilder::MIN_BUDGET).await;
    for _ in 0..2 {
        assert_eq!(host.read(&format!("/ipfs/{cid}")).await, bytes);
        let stats = host.mode.stats();
        assert!(stats.bytes_staged <= PinsetBuilder::MIN_BUDGET, "{stats:?}");
    }
    assert!(host.mode.stats().evictions > 20);
}

#[tokio::test]
async fn what_is_read_ahead_is_not_pushed_out_before_it_is_read() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(64 * MIB), Profile::default());
    let host = Host::new(&node, 16 << 20).await;
    for pass in 1..=2 {
        host.read(&format!("/ipfs/{cid}")).await;
        assert!(host.mode.stats().read_ahead_blocks > 20);
        for block in node.blocks() {
            assert!(node.blocks_asked(&block) <= pass, "{block}");
        }
    }
}

#[tokio::test]
async fn a_session_reaches_the_roots_it_was_granted_and_no_others() {
    let node = MockNode::new();
    let granted = add_file(&node, b"granted", Profile::UnixfsV0_2015);
    let other = add_file(&node, b"other", Profile::default());
    let host = Host::new(&node, 8 << 20).await;
    let session = host
        .mode
        .session(Access::roots([granted]), Limits::default());
    let v1 = cid::Cid::new_v1(granted.codec(), *granted.hash());
    session
        .open(&ipfs(&format!("/ipfs/{granted}")))
        .await
        .unwrap();
    session.open(&ipfs(&format!("/ipfs/{v1}"))).await.unwrap();
    node.clear_log();
    let error = session
        .open(&ipfs(&format!("/ipfs/{other}")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotGranted { root } if root == other));
    assert!(node.log().is_empty());
    let mut roots = session.root().unwrap().entries().unwrap();
    assert_eq!(roots.try_next().await.unwrap().unwrap().cid(), &v1);
    assert!(roots.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_sessions_limits_hold_and_give_back() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    for n in 0..6 {
        std::fs::write(dir.path().join(format!("{n}")), stream(10_000 + n)).unwrap();
    }
    let root = add(&node, dir.path(), Profile::default());
    let host = Host::new(&node, 8 << 20).await;
    let mut limits = Limits::default();
    limits.open_handles = 3;
    let session = host.mode.session(Access::roots([root]), limits);
    let base = session.root().unwrap();
    let open = async |n: usize| {
        let path = format!("{root}/{n}");
        session.open_at(&base, &path, Symlinks::Follow).await
    };
    let (one, two) = (open(0).await.unwrap(), open(1).await.unwrap());
    let error = open(2).await.unwrap_err();
    assert!(matches!(
        error,
        Error::LimitReached {
            limit: Limit::OpenHandles,
            value: 3
        }
    ));
    drop(one);
    open(2).await.unwrap();
    drop(two);

    // Nothing is here yet.
    let host = Host::new(&node, 8 << 20).await;
    let mut limits = Limits::default();
    limits.targets = 2;
    limits.fetched_bytes = 15_000;
    let session = host.mode.session(Access::roots([root]), limits);
    let path = |n: usize| format!("/ipfs/{root}/{n}");
    session.open(&ipfs(&path(0))).await.unwrap();
    session.open(&ipfs(&path(1))).await.unwrap();
    session.open(&ipfs(&path(1))).await.unwrap();
    let error = session.open(&ipfs(&path(2))).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::LimitReached {
                limit: Limit::Targets,
                ..
            }
        ),
        "{error}"
    );
    // Bytes: the second file passes the limit, so a third one is not begun.
    let read = async |n: usize| match session.open(&ipfs(&path(n))).await.unwrap() {
        Node::File(file) => file.read_at(0, 10).await.map(|_| ()),
        other => panic!("{other:?}"),
    };
    read(0).await.unwrap();
    read(1).await.unwrap();
    assert!(session.fetched_bytes() >= 15_000);
    let other = host.mode.session(Access::Any, Limits::default());
    other.open(&ipfs(&path(3))).await.unwrap();
    let error = match session.open(&ipfs(&path(1))).await.unwrap() {
        // Staged blocks can still be read.
        Node::File(file) => file.read_at(0, 10).await.map(|_| ()),
        other => panic!("{other:?}"),
    };
    error.unwrap();
}

#[tokio::test]
async fn a_listing_is_a_handle_while_it_lasts() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    for n in 0..100 {
        std::fs::write(dir.path().join(format!("{n:03}")), "text").unwrap();
    }
    let cid = add(&node, dir.path(), Profile::default());
    let host = Host::new(&node, 8 << 20).await;
    let mut limits = Limits::default();
    limits.open_handles = 4;
    let session = host.mode.session(Access::roots([cid]), limits);
    let root = session.root().unwrap();
    let path = cid.to_string();
    let opened = session.open_at(&root, &path, Symlinks::Follow);
    let Node::Dir(dir) = opened.await.unwrap() else {
        panic!("no directory");
    };
    let mut listed = dir.entries().unwrap();
    let roots = root.entries().unwrap();
    assert!(matches!(
        dir.entries().unwrap_err(),
        Error::LimitReached {
            limit: Limit::OpenHandles,
            value: 4
        }
    ));
    drop(roots);
    let mut again = dir.entries().unwrap();
    // Both go on where they were, over more entries than are taken at once.
    for n in 0..100 {
        for entries in [&mut listed, &mut again] {
            let entry = entries.try_next().await.unwrap().unwrap();
            assert_eq!(entry.name(), format!("{n:03}"));
        }
    }
    for entries in [&mut listed, &mut again] {
        assert!(entries.try_next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn all_granted_roots_are_listed_once_and_in_order() {
    let node = MockNode::new();
    let host = Host::new(&node, 8 << 20).await;
    let granted: Vec<_> = (0..100_u32)
        .map(|n| node.put(0x70, n.to_le_bytes().to_vec()))
        .collect();
    // Half of them in their older form too.
    let old = granted.iter().step_by(2);
    let old = old.map(|cid| cid::Cid::new_v0(*cid.hash()).unwrap());
    let access = Access::roots(granted.iter().copied().chain(old));
    let session = host.mode.session(access, Limits::default());
    let listed = session.root().unwrap().entries().unwrap();
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|entry| *entry.cid()).collect();
    assert_eq!(listed.len(), 100);
    assert!(listed.is_sorted() && granted.iter().all(|cid| listed.contains(&cid.into())));
}

#[tokio::test]
async fn a_session_that_may_ask_for_anything_lists_nothing() {
    let node = MockNode::new();
    let cid = add_file(&node, b"text", Profile::default());
    let host = Host::new(&node, 8 << 20).await;
    let session = host.mode.session(Access::Any, Limits::default());
    session.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap();
    let mut entries = session.root().unwrap().entries().unwrap();
    for _ in 0..2 {
        assert!(entries.try_next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn directories_that_are_too_large_to_keep_decoded_are_decoded_again() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    for d in 0..8 {
        std::fs::create_dir(dir.path().join(format!("{d}"))).unwrap();
        for n in 0..100 {
            std::fs::write(dir.path().join(format!("{d}/{n}")), format!("{d}/{n}")).unwrap();
        }
    }
    let root = add(&node, dir.path(), Profile::default());
    // The cache has room for one or two of them.
    let host = Host::with(&node, |pinset| pinset.node_cache_bytes(20_000), 8 << 20).await;
    for n in [0, 99] {
        for d in 0..8 {
            let text = host.read(&format!("/ipfs/{root}/{d}/{n}")).await;
            assert_eq!(text, format!("{d}/{n}").as_bytes());
        }
    }
    // The blocks came from staging.
    for block in node.blocks() {
        assert!(node.blocks_asked(&block) <= 1, "{block}");
    }
}

#[test]
fn limits_are_named() {
    for (limit, name) in [
        (Limit::OpenHandles, "open handles"),
        (Limit::Targets, "distinct targets"),
        (Limit::FetchedBytes, "fetched bytes"),
    ] {
        let error = Error::LimitReached { limit, value: 7 }.to_string();
        assert!(error.contains(name) && error.contains('7'), "{error}");
    }
}
