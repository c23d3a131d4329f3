//! Whole things: streams, prefetching, copies.

mod content;

use content::{Host, MIB, add, add_file, stream};
use futures_util::StreamExt;
use pinner_car::Profile;
use pinner_mock::{Fault, MockNode, When};
use pinset::{Error, Progress};

const BUDGET: u64 = 64 << 20;

#[tokio::test]
async fn a_stream_is_the_whole_content_whatever_the_budget() {
    let node = MockNode::new();
    for size in [0, 1, 9 * MIB + 1] {
        let bytes = stream(size);
        let cid = add_file(&node, &bytes, Profile::default());
        let host = Host::new(&node, 4 << 20);
        let mut all = Vec::new();
        let mut pieces = std::pin::pin!(host.mode.fetch(&cid));
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(all, bytes);
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_error() {
    let node = MockNode::new();
    let bytes = stream(9 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::new(&node, BUDGET);
    node.script(When::any_block().from_nth(6), Fault::Missing);
    let pieces: Vec<_> = host.mode.fetch(&cid).collect().await;
    let (last, good) = pieces.split_last().unwrap();
    assert!(last.is_err());
    let len: usize = good.iter().map(|piece| piece.as_ref().unwrap().len()).sum();
    assert!(len < bytes.len());
}

struct Told(std::sync::Mutex<(u64, u64)>);

impl Progress for Told {
    fn advanced(&self, count: u64, bytes: u64) {
        *self.0.lock().unwrap() = (count, bytes);
    }
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::fs::write(dir.path().join("sub/large"), stream(3 * MIB + 1)).unwrap();
    std::fs::write(dir.path().join("small"), b"small").unwrap();
    std::fs::write(dir.path().join("same"), b"small").unwrap();
    std::os::unix::fs::symlink("../nowhere", dir.path().join("sub/link")).unwrap();
    dir
}

#[tokio::test]
async fn a_prefetched_dag_is_read_without_the_backend() {
    let node = MockNode::new();
    let source = tree();
    let cid = add(&node, source.path(), Profile::default());
    let host = Host::new(&node, BUDGET);
    let told = Told(Default::default());
    let fetched = host
        .mode
        .prefetch(&format!("/ipfs/{cid}"), &told)
        .await
        .unwrap();
    assert_eq!(fetched.blocks, node.len() as u64);
    assert_eq!(*told.0.lock().unwrap(), (fetched.blocks, fetched.bytes));
    for block in node.blocks() {
        assert_eq!(node.blocks_asked(&block), 1);
        node.remove(&block);
    }
    let large = host.read(&format!("/ipfs/{cid}/sub/large")).await;
    assert_eq!(large, stream(3 * MIB + 1));
}

#[tokio::test]
async fn a_copy_is_the_tree_and_a_failed_one_leaves_nothing() {
    let node = MockNode::new();
    let source = tree();
    let cid = add(&node, source.path(), Profile::default());
    let host = Host::new(&node, BUDGET);
    let dest = tempfile::tempdir().unwrap();
    let handle = cap_std::fs::Dir::open_ambient_dir(dest.path(), cap_std::ambient_authority());
    let handle = handle.unwrap();
    let path = format!("/ipfs/{cid}");
    let copy = async |path: &str, name: &str| host.mode.materialize(path, &handle, name, &()).await;
    copy(&path, "tree").await.unwrap();
    let at = dest.path().join("tree");
    assert_eq!(
        std::fs::read(at.join("sub/large")).unwrap(),
        stream(3 * MIB + 1)
    );
    assert_eq!(std::fs::read(at.join("same")).unwrap(), b"small");
    let link = std::fs::read_link(at.join("sub/link")).unwrap();
    assert_eq!(link.to_str(), Some("../nowhere"));
    assert!(at.join("empty").is_dir());
    // The copy has the same CID.
    assert_eq!(add(&node, &at, Profile::default()), cid);
    copy(&format!("{path}/small"), "file").await.unwrap();
    let error = copy(&path, "tree").await.unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert!(at.exists());

    let fresh = Host::new(&node, BUDGET);
    node.script(When::any_block().from_nth(5), Fault::Missing);
    let failed = fresh.mode.materialize(&path, &handle, "half", &()).await;
    assert!(failed.is_err());
    assert!(!dest.path().join("half").exists());
}
