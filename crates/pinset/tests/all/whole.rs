//! Whole content: streams, prefetching, copies.

use futures_util::StreamExt;
use pinner_car::Profile;
use pinner_mock::{Fault, MockNode, When};
use pinset::{Error, Progress};
use test_support::{
    balanced,
    content::{MIB, add, add_file, stream},
    until,
};

use crate::{host::Host, pinsets::ipfs};

const BUDGET: u64 = 64 << 20;

#[tokio::test]
async fn a_stream_is_the_whole_content_whatever_the_budget() {
    let node = MockNode::new();
    for size in [0, 1, 9 * MIB + 1] {
        let bytes = stream(size);
        let cid = add_file(&node, &bytes, Profile::default());
        let host = Host::new(&node, 4 << 20).await;
        let mut all = Vec::new();
        let mut pieces = std::pin::pin!(host.mode.fetch(&cid));
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(all, bytes);
    }
}

#[tokio::test]
async fn a_stream_is_of_what_its_path_names() {
    let node = MockNode::new();
    let root = add(&node, tree().path(), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    let pieces = async |path: &str| -> Vec<Result<_, _>> {
        let path = format!("/ipfs/{root}/{path}");
        host.mode.fetch_path(&ipfs(&path)).collect().await
    };
    let small = pieces("small").await;
    assert_eq!(small.len(), 1);
    assert_eq!(small[0].as_ref().unwrap(), &b"small"[..]);
    let none = pieces("nowhere").await;
    assert!(matches!(&none[..], [Err(Error::NotFound { .. })]));
    let dir = pieces("sub").await;
    assert!(matches!(&dir[..], [Err(Error::IsDirectory { .. })]));
}

/// Adds a dag-pb block with UnixFS data and these links.
fn unixfs(node: &MockNode, links: Vec<ipld_dagpb::PbLink>, data: &'static [u8]) -> cid::Cid {
    let data = Some(bytes::Bytes::from_static(data));
    node.put(0x70, ipld_dagpb::PbNode { links, data }.into_bytes())
}

fn opened(dest: &tempfile::TempDir) -> cap_std::fs::Dir {
    cap_std::fs::Dir::open_ambient_dir(dest.path(), cap_std::ambient_authority()).unwrap()
}

#[tokio::test]
async fn a_copy_keeps_mode_and_mtime() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let node = MockNode::new();
    // UnixFS 1.5: a file of 4 bytes with mode 04750 (the copy must not be set-user-ID), modified at 1000 seconds.
    let data = b"\x08\x02\x12\x04text\x18\x04\x38\xe8\x13\x42\x03\x08\xe8\x07";
    let file = unixfs(&node, Vec::new(), data);
    let host = Host::new(&node, BUDGET).await;
    let dest = tempfile::tempdir().unwrap();
    let path = format!("/ipfs/{file}");
    let handle = opened(&dest);
    let path = ipfs(&path);
    let copied = host.mode.materialize(&path, &handle, "file", &());
    copied.await.unwrap();
    let made = std::fs::metadata(dest.path().join("file")).unwrap();
    assert_eq!(made.permissions().mode() & 0o7777, 0o750);
    assert_eq!((made.mtime(), made.len()), (1000, 4));
}

#[tokio::test]
async fn a_tree_too_deep_is_refused_and_nothing_of_it_left() {
    let node = MockNode::new();
    let mut deep = unixfs(&node, Vec::new(), b"\x08\x01");
    for _ in 0..300 {
        let link = ipld_dagpb::PbLink {
            cid: deep,
            name: Some("d".to_owned()),
            size: Some(1),
        };
        deep = unixfs(&node, vec![link], b"\x08\x01");
    }
    let host = Host::new(&node, BUDGET).await;
    let dest = tempfile::tempdir().unwrap();
    let path = format!("/ipfs/{deep}");
    let handle = opened(&dest);
    let path = ipfs(&path);
    let copied = host.mode.materialize(&path, &handle, "deep", &());
    let error = copied.await.unwrap_err();
    let Error::Write { source, .. } = &error else {
        panic!("{error}");
    };
    assert!(source.to_string().contains("more than 256"), "{source}");
    assert!(!dest.path().join("deep").exists());
}

#[tokio::test]
async fn a_stream_ends_with_its_error() {
    let node = MockNode::new();
    let bytes = stream(9 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::new(&node, BUDGET).await;
    node.script(When::any_block().from_nth(6), Fault::Missing);
    let pieces: Vec<_> = host.mode.fetch(&cid).collect().await;
    let (last, good) = pieces.split_last().unwrap();
    assert!(last.is_err());
    let len: usize = good.iter().map(|piece| piece.as_ref().unwrap().len()).sum();
    assert!(len < bytes.len());
}

#[derive(Default)]
struct Told {
    so_far: std::sync::Mutex<(u64, u64)>,
    total: std::sync::Mutex<Option<u64>>,
}

impl Progress for Told {
    fn advanced(&self, count: u64, bytes: u64) {
        *self.so_far.lock().unwrap() = (count, bytes);
    }

    fn expects(&self, bytes: u64) {
        assert_eq!(*self.so_far.lock().unwrap(), (0, 0));
        assert_eq!(self.total.lock().unwrap().replace(bytes), None);
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
    let host = Host::new(&node, BUDGET).await;
    let told = Told::default();
    let fetched = host
        .mode
        .prefetch(&ipfs(&format!("/ipfs/{cid}")), &told)
        .await
        .unwrap();
    assert_eq!(fetched.blocks, node.len() as u64);
    assert_eq!(
        *told.so_far.lock().unwrap(),
        (fetched.blocks, fetched.bytes)
    );
    // Two files of the tree are the same block, which the root counts twice.
    assert_eq!(*told.total.lock().unwrap(), Some(fetched.bytes + 5));
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
    let host = Host::new(&node, BUDGET).await;
    let dest = tempfile::tempdir().unwrap();
    let handle = opened(&dest);
    let path = format!("/ipfs/{cid}");
    let copy =
        async |path: &str, name: &str| host.mode.materialize(&ipfs(path), &handle, name, &()).await;
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

    let fresh = Host::new(&node, BUDGET).await;
    node.script(When::any_block().from_nth(5), Fault::Missing);
    let failed = fresh
        .mode
        .materialize(&ipfs(&path), &handle, "half", &())
        .await;
    assert!(failed.is_err());
    assert!(!dest.path().join("half").exists());
}

/// Adds a dag-pb block with these children, which need not be UnixFS.
fn above(node: &MockNode, children: &[cid::Cid], data: &[u8]) -> cid::Cid {
    let links: Vec<_> = children.iter().map(|cid| (*cid, 1)).collect();
    node.put(0x70, balanced::dag_pb(&links, data))
}

/// A directory of a hundred thousand entries, in shards like a real one of this size.
#[tokio::test]
async fn a_huge_directory_is_prefetched_block_by_block_and_16_at_a_time() {
    let node = MockNode::builder()
        .capabilities(pinner_api::Capabilities::blocks_only())
        .recording(pinner_mock::Recording::Counters)
        .build();
    let mut blocks = 0_u64;
    let shards: Vec<_> = (0..400_u64)
        .map(|shard| {
            let entries = (0..250_u64).map(|entry| {
                blocks += 1;
                node.put(0x55, (shard << 32 | entry).to_le_bytes().to_vec())
            });
            let entries: Vec<_> = entries.collect();
            blocks += 1;
            above(&node, &entries, b"")
        })
        .collect();
    let root = balanced::directory(&node, &shards);
    let gate = pinner_mock::Gate::new();
    node.script(When::block(&shards[15]), Fault::HangUntil(gate.clone()));
    let host = Host::new(&node, BUDGET).await;
    let path = format!("/ipfs/{root}");
    let path = ipfs(&path);
    let prefetch = host.mode.prefetch(&path, &());
    let opened = async {
        // All others come and go while the one that is held up stays in flight.
        until("the others", || node.stats().blocks >= 100_000).await;
        gate.open();
    };
    let (fetched, ()) = tokio::join!(prefetch, opened);
    assert_eq!(fetched.unwrap().blocks, blocks + 1);
    assert_eq!(node.stats().blocks, blocks + 1, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_keeps_16_blocks_on_their_way() {
    let node = MockNode::builder()
        .capabilities(pinner_api::Capabilities::blocks_only())
        .build();
    let file = balanced::file(&node, 256 * 4096, 4096);
    let latency = std::time::Duration::from_millis(42);
    node.script(When::any_block(), Fault::Delay(latency));
    let host = Host::new(&node, BUDGET).await;
    let start = tokio::time::Instant::now();
    let path = format!("/ipfs/{}", file.root);
    let fetched = host.mode.prefetch(&ipfs(&path), &()).await.unwrap();
    assert_eq!(fetched.blocks, 257);
    assert_eq!(node.stats().in_flight_max, 16);
    assert_eq!(start.elapsed(), latency * (1 + 256 / 16));
}

/// Each level names the next one twice: there are 2^200 ways down, but 200 blocks.
#[tokio::test]
async fn what_repeats_is_gone_over_once() {
    let node = MockNode::new();
    // Content that lies in its CID does not count as a block.
    let inline = cid::Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"in it").unwrap());
    let mut below = above(&node, &[node.put(0x55, "the end"), inline], b"");
    for level in 0..199_u32 {
        below = above(&node, &[below, below], &level.to_le_bytes());
    }
    let root = balanced::directory(&node, &[below, below]);
    let host = Host::new(&node, BUDGET).await;
    let path = format!("/ipfs/{root}");
    let fetched = host.mode.prefetch(&ipfs(&path), &()).await.unwrap();
    assert_eq!(fetched.blocks, 202);
}

/// A chain of blocks, each with its child first and then links that lead nowhere: in all more than a billion pairs of
/// links of one block.
#[tokio::test]
async fn a_wide_and_deep_dag_is_gone_over_in_time_linear_in_its_links() {
    const LINKS: usize = 20_000;
    let node = MockNode::new();
    let inline = cid::Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"in it").unwrap());
    let mut below = node.put(0x55, "the end");
    for level in 0..150_u32 {
        let mut links = vec![inline; LINKS];
        links[0] = below;
        below = above(&node, &links, &level.to_le_bytes());
    }
    let root = balanced::directory(&node, &[below]);
    let host = Host::new(&node, 256 << 20).await;
    let path = ipfs(&format!("/ipfs/{root}"));
    let prefetch = host.mode.prefetch(&path, &());
    let fetched = tokio::time::timeout(std::time::Duration::from_secs(60), prefetch);
    assert_eq!(fetched.await.expect("in time").unwrap().blocks, 152);
    assert_eq!(node.stats().blocks, 152);
}

#[tokio::test]
async fn a_dag_without_end_is_refused() {
    let node = MockNode::new();
    let mut below = node.put(0x55, "the end");
    for level in 0..2000_u32 {
        below = above(&node, &[below], &level.to_le_bytes());
    }
    let root = balanced::directory(&node, &[below]);
    let host = Host::new(&node, BUDGET).await;
    let error = host
        .mode
        .prefetch(&ipfs(&format!("/ipfs/{root}")), &())
        .await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("1024 blocks deep"), "{error}");
    assert!(node.stats().blocks < 1030);
}
