//! DAGs that lie. Each results in a typed error that names the block, never in a panic, a hang, or bytes from
//! elsewhere.

use bytes::Bytes;
use cid::Cid;
use futures_util::{StreamExt, TryStreamExt};
use ipld_dagpb::{PbLink, PbNode};
use pinner_mock::MockNode;
use pinset::{Access, Error, IpfsPath, Limits, Node, Symlinks};

use crate::{host::Host, pinsets::ipfs, pinsets::read_all};

const BUDGET: u64 = 64 << 20;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// Encodes a varint field of a protobuf message.
fn field(number: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    let mut value = value;
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn unixfs(kind: u64, filesize: Option<u64>, blocksizes: &[u64], data: Option<&[u8]>) -> Bytes {
    let mut bytes = field(1, kind);
    if let Some(data) = data {
        bytes.push(2 << 3 | 2);
        assert!(data.len() < 128);
        bytes.push(data.len() as u8);
        bytes.extend_from_slice(data);
    }
    bytes.extend(filesize.map(|size| field(3, size)).unwrap_or_default());
    for size in blocksizes {
        bytes.extend(field(4, *size));
    }
    bytes.into()
}

fn put(node: &MockNode, links: &[(&str, Cid, u64)], data: Bytes) -> Cid {
    let links = links.iter().map(|(name, cid, size)| PbLink {
        cid: *cid,
        name: Some((*name).to_owned()),
        size: Some(*size),
    });
    let block = PbNode {
        links: links.collect(),
        data: Some(data),
    };
    node.put(DAG_PB, block.into_bytes())
}

fn file(node: &MockNode, filesize: u64, children: &[(Cid, u64)]) -> Cid {
    let links: Vec<_> = children.iter().map(|(cid, len)| ("", *cid, *len)).collect();
    let sizes: Vec<_> = children.iter().map(|(_, len)| *len).collect();
    put(node, &links, unixfs(2, Some(filesize), &sizes, None))
}

fn directory(node: &MockNode, entries: &[(&str, Cid, u64)]) -> Cid {
    put(node, entries, unixfs(1, None, &[], None))
}

async fn read(host: &Host, path: &str) -> Result<Vec<u8>, Error> {
    match host.mode.open(&ipfs(path)).await? {
        Node::File(file) => read_all(&file).await,
        other => panic!("{path} is {other:?}"),
    }
}

async fn malformed(node: &MockNode, root: Cid, block: Cid) {
    let host = Host::new(node, BUDGET).await;
    let error = read(&host, &format!("/ipfs/{root}")).await.unwrap_err();
    match &error {
        Error::Malformed { cid, .. } => assert_eq!(*cid, block, "{error}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_leaf_of_another_length_than_is_claimed() {
    let node = MockNode::new();
    let leaf = node.put(RAW, &b"0123456789"[..]);
    for claimed in [9, 11, 1 << 40] {
        malformed(&node, file(&node, claimed, &[(leaf, claimed)]), leaf).await;
    }
    let leaf = put(&node, &[], unixfs(2, Some(4), &[], Some(b"data")));
    for claimed in [3, 5] {
        malformed(&node, file(&node, claimed, &[(leaf, claimed)]), leaf).await;
    }
    // The second leaf is right, the first lies. No byte of the second is served in place of the first's.
    let (short, long) = (node.put(RAW, &b"01"[..]), node.put(RAW, &b"abc"[..]));
    malformed(&node, file(&node, 5, &[(long, 2), (short, 3)]), long).await;
}

#[tokio::test]
async fn sizes_that_do_not_add_up() {
    let node = MockNode::new();
    let leaf = node.put(RAW, &b"0123456789"[..]);
    for (filesize, blocksizes) in [
        (11, &[10][..]),
        (10, &[]),
        (10, &[5, 5]),
        (u64::MAX, &[u64::MAX]),
        (1, &[u64::MAX, 2]),
    ] {
        let root = put(
            &node,
            &[("", leaf, 10)],
            unixfs(2, Some(filesize), blocksizes, None),
        );
        let host = Host::new(&node, BUDGET).await;
        let error = read(&host, &format!("/ipfs/{root}")).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_chain_of_ten_thousand_levels() {
    let node = MockNode::new();
    let mut root = node.put(RAW, &b"x"[..]);
    for _ in 0..10_000 {
        root = file(&node, 1, &[(root, 1)]);
    }
    let host = Host::new(&node, BUDGET).await;
    let error = read(&host, &format!("/ipfs/{root}")).await.unwrap_err();
    assert!(error.to_string().contains("64 levels"), "{error}");
    // No deeper block was fetched.
    assert!(host.mode.stats().blocks_fetched < 70);
}

#[tokio::test]
async fn a_run_of_empty_links_costs_nothing() {
    let node = MockNode::new();
    let (empty, leaf) = (node.put(RAW, Bytes::new()), node.put(RAW, &b"end"[..]));
    let mut children = vec![(empty, 0); 10_000];
    children.push((leaf, 3));
    let root = file(&node, 3, &children);
    let host = Host::new(&node, BUDGET).await;
    assert_eq!(read(&host, &format!("/ipfs/{root}")).await.unwrap(), b"end");
    assert_eq!(host.mode.stats().blocks_fetched, 2);
}

#[tokio::test]
async fn symlinks_that_go_round_or_out() {
    let node = MockNode::new();
    let link = |target: &str| put(&node, &[], unixfs(4, None, &[], Some(target.as_bytes())));
    let hello = node.put(RAW, &b"hello"[..]);
    let root = directory(
        &node,
        &[
            ("a", link("b"), 0),
            ("absolute", link("/etc/passwd"), 0),
            ("b", link("a"), 0),
            ("empty", link(""), 0),
            ("hello", hello, 5),
            ("out", link("../../../../etc/passwd"), 0),
            ("self", link("./self/x"), 0),
            ("up", link("../"), 0),
        ],
    );
    let host = Host::new(&node, BUDGET).await;
    let error = async |name: &str| {
        let path = format!("/ipfs/{root}/{name}");
        host.mode.open(&ipfs(&path)).await.unwrap_err()
    };
    assert!(matches!(error("a").await, Error::TooManySymlinks { .. }));
    assert!(matches!(error("self").await, Error::TooManySymlinks { .. }));
    assert!(matches!(error("absolute").await, Error::Escapes { .. }));
    assert!(matches!(error("out").await, Error::Escapes { .. }));
    assert!(matches!(error("empty").await, Error::NotFound { .. }));
    assert!(matches!(error("hello/").await, Error::NotDirectory { .. }));
    assert!(matches!(error("hello/x").await, Error::NotDirectory { .. }));
    // The `..` of the root is `/ipfs` itself, which for a guest is a directory of other roots. A path stays in its own.
    let sideways = format!("up/{hello}");
    assert!(matches!(error(&sideways).await, Error::Escapes { .. }));
    let session = host.mode.session(Access::Any, Limits::default());
    let base = session.root().unwrap();
    let path = format!("{root}/{sideways}");
    // A path that was walked so before leads an immutable path nowhere.
    for _ in 0..3 {
        let opened = session.open_at(&base, &path, Symlinks::Follow).await;
        assert!(matches!(opened, Ok(Node::File(_))));
    }
    let error = session.open(&ipfs(&format!("/ipfs/{path}"))).await;
    assert!(matches!(error, Err(Error::Escapes { .. })));
    let lone = ipfs(&format!("/ipfs/{}", link(&hello.to_string())));
    let error = host.mode.open(&lone).await.unwrap_err();
    assert!(matches!(error, Error::Escapes { .. }), "{error}");
}

/// A name whose hash leads to the first slot of a shard.
const IN_FIRST_SLOT: &str = "470.txt";

/// A directory, plain or sharded, of one file, whose link claims this size.
fn claiming(node: &MockNode, leaf: Cid, size: Option<u64>, sharded: bool) -> Cid {
    let (slot, data) = match sharded {
        false => ("", unixfs(1, None, &[], None)),
        true => {
            let shard = unixfs(5, None, &[], Some(&[1])).to_vec();
            // Murmur3, and 256 slots.
            let data = [shard, field(5, 0x22), field(6, 256)].concat();
            ("00", data.into())
        }
    };
    let link = PbLink {
        cid: leaf,
        name: Some(format!("{slot}{IN_FIRST_SLOT}")),
        size,
    };
    let block = PbNode {
        links: vec![link],
        data: Some(data),
    };
    node.put(DAG_PB, block.into_bytes())
}

#[tokio::test]
async fn the_size_that_a_link_claims_neither_ends_a_read_nor_fails_one() {
    let largest = pinner_api::MAX_BLOCK as u64;
    let possible = [1, 4, 5, 6, largest].map(Some);
    let impossible = [Some(0), Some(largest + 1), Some(u64::MAX), None];
    for (size, sharded) in possible
        .into_iter()
        .chain(impossible)
        .flat_map(|size| [(size, false), (size, true)])
    {
        let node = MockNode::new();
        let leaf = node.put(RAW, &b"hello"[..]);
        let root = claiming(&node, leaf, size, sharded);
        let host = Host::new(&node, BUDGET).await;
        let session = host.mode.session(Access::Any, Limits::default());
        let path = format!("{root}/{IN_FIRST_SLOT}");
        let stat = async || {
            let base = session.root().unwrap();
            let metadata = session.metadata_at(&base, &path, Symlinks::Follow).await;
            metadata.unwrap().len
        };
        // A claim that can be true costs no fetch. One that cannot be is looked into.
        let guess = size.filter(|size| possible.contains(&Some(*size)));
        assert_eq!(stat().await, guess.unwrap_or(5), "{size:?}");
        assert_eq!(node.blocks_asked(&leaf), usize::from(guess.is_none()));
        let path = format!("/ipfs/{path}");
        let file = host.file(&path).await;
        assert_eq!(file.len(), 5, "{size:?}");
        assert_eq!(read_all(&file).await.unwrap(), b"hello", "{size:?}");
        assert_eq!(file.read_at(3, 10).await.unwrap(), "lo", "{size:?}");
        let streamed: Vec<_> = host
            .mode
            .fetch_path(&ipfs(&path))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(streamed.concat(), b"hello", "{size:?}");
        assert_eq!(stat().await, 5, "the block is here");
        assert_eq!(node.blocks_asked(&leaf), 1);
    }
}

#[tokio::test]
async fn what_is_no_unixfs() {
    let node = MockNode::new();
    let cbor = node.put(0x71, &b"\xa0"[..]);
    let bare = put(&node, &[], Bytes::new());
    let garbage = node.put(DAG_PB, &b"\xff\xff\xff"[..]);
    let root = directory(
        &node,
        &[
            ("bare", bare, 1),
            ("cbor", cbor, 1),
            ("garbage", garbage, 1),
        ],
    );
    let host = Host::new(&node, BUDGET).await;
    let error = async |name: &str| {
        let path = format!("/ipfs/{root}/{name}");
        host.mode.open(&ipfs(&path)).await.unwrap_err()
    };
    let cbor_error = error("cbor").await;
    assert!(
        matches!(cbor_error, Error::Unsupported { .. }),
        "{cbor_error}"
    );
    assert!(cbor_error.to_string().contains("0x71"), "{cbor_error}");
    assert!(matches!(error("bare").await, Error::Malformed { .. }));
    assert!(matches!(error("garbage").await, Error::Malformed { .. }));
    // A directory in the place of a part of a file.
    let inside = file(&node, 5, &[(root, 5)]);
    malformed(&node, inside, root).await;
}

#[tokio::test]
async fn a_wrong_path_names_itself() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    for path in ["", "/", "nonsense", "/ipfs/nonsense/x", "/ipns/name"] {
        let error = path.parse::<IpfsPath>().unwrap_err();
        assert!(
            matches!(error, Error::InvalidPath { .. }),
            "{path}: {error}"
        );
    }
    let leaf = node.put(RAW, &b"x"[..]);
    let root = directory(&node, &[("x", leaf, 1)]);
    let long = format!("/ipfs/{root}/{}", "x/".repeat(5000));
    let error = host.mode.open(&ipfs(&long)).await.unwrap_err();
    assert!(matches!(error, Error::PathTooLong { .. }), "{error}");
}

/// Adds a HAMT shard of 256 buckets, with these links.
fn shard(node: &MockNode, links: &[(&str, Cid, u64)]) -> Cid {
    let mut data = unixfs(5, None, &[], Some(&[1])).to_vec();
    data.extend(field(5, 0x22));
    data.extend(field(6, 256));
    put(node, links, data.into())
}

#[tokio::test]
async fn what_stands_where_a_shard_has_to_be() {
    let node = MockNode::new();
    let leaf = file(&node, 0, &[]);
    let root = shard(&node, &[("00", leaf, 1)]);
    let host = Host::new(&node, BUDGET).await;
    let Node::Dir(dir) = host
        .mode
        .open(&ipfs(&format!("/ipfs/{root}")))
        .await
        .unwrap()
    else {
        panic!("no directory");
    };
    let named = |error: &Error| matches!(error, Error::Malformed { cid, .. } if *cid == leaf);
    let mut entries = dir.entries().unwrap();
    let error = entries.try_next().await.unwrap_err();
    assert!(named(&error), "{error}");
    // The error was the last item.
    assert!(entries.next().await.is_none());
    // One name in 256 leads to the child.
    let mut below = 0;
    for n in 0..2000 {
        let path = format!("/ipfs/{root}/{n}");
        match host.mode.open(&ipfs(&path)).await.unwrap_err() {
            Error::NotFound { .. } => {}
            error => {
                assert!(named(&error), "{error}");
                below += 1;
            }
        }
    }
    assert!((1..100).contains(&below), "{below}");
    // The bit field says bucket 0, the link says another.
    let wrong = shard(&node, &[("07", leaf, 1)]);
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{wrong}")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Malformed { cid, .. } if cid == wrong));
}

#[tokio::test]
async fn a_symlink_longer_than_a_path_may_be() {
    let node = MockNode::new();
    let mut data = vec![0x08, 4, 0x12, 0x88, 0x27];
    data.extend([b'x'; 5000]);
    let link = put(&node, &[], data.into());
    let root = directory(&node, &[("link", link, 1)]);
    let host = Host::new(&node, BUDGET).await;
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{root}/link")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::PathTooLong { len: 5000, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_is_no_directory_whatever_its_shape() {
    let node = MockNode::new();
    let raw = node.put(RAW, &b"x"[..]);
    let parts = file(&node, 1, &[(raw, 1)]);
    let root = directory(&node, &[("parts", parts, 1), ("raw", raw, 1)]);
    let host = Host::new(&node, BUDGET).await;
    for path in ["parts/x", "raw/x", "parts/..", "raw/.", "parts/", "raw/"] {
        let error = host
            .mode
            .open(&ipfs(&format!("/ipfs/{root}/{path}")))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::NotDirectory { .. }),
            "{path}: {error}"
        );
    }
    // A prefetch also fails at a block that does not decode.
    let garbage = node.put(DAG_PB, &b"\xff\xff\xff"[..]);
    let above = directory(&node, &[("garbage", garbage, 1)]);
    let error = host
        .mode
        .prefetch(&ipfs(&format!("/ipfs/{above}")), &())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Malformed { cid, .. } if cid == garbage),
        "{error}"
    );
}

#[tokio::test]
async fn a_leaf_that_is_right_for_one_file_is_wrong_for_another() {
    let node = MockNode::new();
    let leaf = put(&node, &[], unixfs(2, Some(4), &[], Some(b"text")));
    let right = file(&node, 4, &[(leaf, 4)]);
    let wrong = file(&node, 5, &[(leaf, 5)]);
    let host = Host::new(&node, BUDGET).await;
    // The leaf's length, which is known from the first file, is checked against the second file's claim.
    assert_eq!(
        read(&host, &format!("/ipfs/{right}")).await.unwrap(),
        b"text"
    );
    let error = read(&host, &format!("/ipfs/{wrong}")).await.unwrap_err();
    assert!(
        matches!(error, Error::Malformed { cid, .. } if cid == leaf),
        "{error}"
    );
    assert_eq!(
        read(&host, &format!("/ipfs/{right}")).await.unwrap(),
        b"text"
    );
}
