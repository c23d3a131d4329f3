//! The operations of an embedder on a pinset, beside reading from it.

use std::{
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use cid::Cid;
use futures_util::TryStreamExt;
use pinner_car::Profile;
use pinner_mock::{Fault, MockNode, When};
use pinset::{Access, CacheMode, Error, File, Limits, Node, Session, StagedCursor};
use test_support::content::{MIB, add, add_file, stream};

use crate::{
    host::Host,
    pinsets::{ipfs, read},
};

async fn file(session: &Session, cid: &Cid) -> Result<File, Error> {
    match session.open(&(*cid).into()).await? {
        Node::File(file) => Ok(file),
        other => panic!("{other:?}"),
    }
}

fn session(cache: &CacheMode) -> Session {
    cache.session(Access::Any, Limits::default())
}

#[tokio::test]
async fn an_offline_session_reads_what_is_here_and_asks_for_nothing() {
    let node = MockNode::new();
    let bytes = stream(3 * MIB);
    let here = add_file(&node, &bytes, Profile::default());
    let there = add_file(&node, &bytes[1..], Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    read(&host.mode, &here).await.unwrap();
    file(&session(&host.mode), &there).await.unwrap();
    let asked = node.stats().blocks;
    let online = session(&host.mode);
    let offline = online.offline();
    let whole = file(&offline, &here).await.unwrap();
    assert_eq!(whole.read_at(0, 3 * MIB).await.unwrap(), bytes);
    // The root is here, and the leaves are not.
    let part = file(&offline, &there).await.unwrap();
    let missing = part.read_at(0, 1).await.unwrap_err();
    assert!(matches!(missing, Error::NotCached { .. }), "{missing}");
    assert_eq!(node.stats().blocks, asked);
    assert!(
        file(&online, &there)
            .await
            .unwrap()
            .read_at(0, 1)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_path_is_complete_once_all_of_it_is_here() {
    let node = MockNode::new();
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("a")).unwrap();
    std::fs::write(tree.path().join("a/b"), stream(2 * MIB)).unwrap();
    std::fs::write(tree.path().join("c"), "c").unwrap();
    let root = add(&node, tree.path(), Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    let (all, part) = (
        ipfs(&format!("/ipfs/{root}")),
        ipfs(&format!("/ipfs/{root}/a")),
    );
    assert!(!host.mode.is_complete(&all).await.unwrap());
    host.mode.prefetch(&part, &()).await.unwrap();
    let asked = node.stats().blocks;
    assert!(host.mode.is_complete(&part).await.unwrap());
    assert!(!host.mode.is_complete(&all).await.unwrap());
    assert_eq!(node.stats().blocks, asked);
    host.mode.prefetch(&all, &()).await.unwrap();
    assert!(host.mode.is_complete(&all).await.unwrap());
}

#[tokio::test]
async fn a_block_that_is_put_is_hashed_first_and_then_served() {
    let elsewhere = MockNode::new();
    let bytes = stream(MIB);
    let cid = add_file(&elsewhere, &bytes, Profile::default());
    let node = MockNode::new();
    let host = Host::new(&node, 64 << 20).await;
    let wrong = host.mode.put(&cid, bytes[1..].to_vec()).await.unwrap_err();
    assert!(matches!(wrong, Error::Corrupt { .. }), "{wrong}");
    assert!(host.mode.put(&cid, bytes.clone()).await.unwrap());
    assert_eq!(read(&host.mode, &cid).await.unwrap(), bytes);
    assert_eq!(node.stats().blocks, 0);
}

#[tokio::test]
async fn what_is_staged_is_listed_evicted_and_cleared() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(3 * MIB), Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    read(&host.mode, &cid).await.unwrap();
    let mut listed = std::collections::HashSet::new();
    let mut cursor = Some(StagedCursor::default());
    while let Some(at) = cursor {
        let (keys, next) = host.mode.staged(at, 1);
        listed.extend(keys);
        cursor = next;
    }
    assert_eq!(listed.len(), 4);
    assert!(listed.contains(cid.hash()));
    assert!(host.mode.evict(&cid).await.unwrap());
    assert!(!host.mode.evict(&cid).await.unwrap());
    assert_eq!(host.mode.stats().blocks_staged, 3);
    host.mode.clear().await.unwrap();
    let stats = host.mode.stats();
    assert_eq!(stats.blocks_staged, 0);
    let asked = node.stats().blocks;
    assert_eq!(read(&host.mode, &cid).await.unwrap().len(), 3 * MIB);
    assert!(node.stats().blocks >= asked + 3);
}

#[tokio::test]
async fn a_session_that_is_closed_takes_its_open_files_with_it_and_no_others() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(MIB), Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    let (one, other) = (session(&host.mode), session(&host.mode));
    let files = [
        file(&one, &cid).await.unwrap(),
        file(&other, &cid).await.unwrap(),
    ];
    for file in &files {
        file.read_at(0, 100).await.unwrap();
    }
    one.clone().close();
    assert!(matches!(files[0].read_at(0, 100).await, Err(Error::Closed)));
    assert!(matches!(file(&one, &cid).await, Err(Error::Closed)));
    assert!(files[1].read_at(0, 100).await.is_ok());
}

#[tokio::test]
async fn a_sessions_figures_are_its_own() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(MIB), Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    let (one, other) = (session(&host.mode), session(&host.mode));
    let open = file(&one, &cid).await.unwrap();
    open.read_at(0, 1000).await.unwrap();
    let stats = one.stats();
    assert_eq!((stats.open_handles, stats.served_bytes), (1, 1000));
    assert_eq!((stats.fetched_blocks, stats.fetched_bytes), (1, MIB as u64));
    let again = file(&other, &cid).await.unwrap();
    again.read_at(0, 10).await.unwrap();
    let stats = other.stats();
    assert_eq!((stats.fetched_blocks, stats.served_bytes), (0, 10));
    drop(open);
    assert_eq!(one.stats().open_handles, 0);
}

#[test]
fn code_without_a_runtime_opens_lists_and_reads() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = MockNode::new();
    let bytes = stream(3 * MIB);
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("file"), &bytes).unwrap();
    let root = add(&node, tree.path(), Profile::default());
    let host = runtime.block_on(Host::new(&node, 64 << 20));
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(5)));
    // From here on, this thread is in no runtime.
    let opened = host
        .mode
        .block_on(host.mode.open(&ipfs(&format!("/ipfs/{root}"))));
    let Node::Dir(dir) = opened.unwrap() else {
        panic!("no directory");
    };
    let listed = async { dir.entries()?.try_collect::<Vec<_>>().await };
    assert_eq!(host.mode.block_on(listed).unwrap().len(), 1);
    let path = ipfs(&format!("/ipfs/{root}/file"));
    let Node::File(file) = host.mode.block_on(host.mode.open(&path)).unwrap() else {
        panic!("no file");
    };
    let mut reader = file.blocking_reader();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    reader.seek(SeekFrom::End(-3)).unwrap();
    read.clear();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes[bytes.len() - 3..]);
    host.mode.block_on(host.mode.close()).unwrap();
}

#[tokio::test]
async fn a_backend_that_panics_fails_the_one_call() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(MIB), Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    node.script(When::any_block().first(1), Fault::Panic);
    let failed = read(&host.mode, &cid).await.unwrap_err();
    assert!(matches!(failed, Error::Fetch { .. }), "{failed}");
    assert!(read(&host.mode, &cid).await.is_ok());
}

#[tokio::test]
async fn where_blocking_is_allowed_reads_are_the_same() {
    let node = MockNode::new();
    let bytes = stream(3 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::with(&node, |pinset| pinset.allow_blocking(true), 64 << 20).await;
    for _ in 0..2 {
        assert_eq!(read(&host.mode, &cid).await.unwrap(), bytes);
    }
}
