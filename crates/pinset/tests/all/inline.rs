//! Content that lies in its CID, by the identity "hash". It is read like any other, and the backend is not asked for
//! it.

use bytes::Bytes;
use cid::{Cid, CidGeneric};
use futures_util::TryStreamExt;
use ipld_dagpb::{PbLink, PbNode};
use multihash::Multihash;
use pinner_mock::MockNode;
use pinset::{Access, Error, IpfsPath, Kind, Limits, Node, RootCid, Symlinks};

use crate::{host::Host, pinsets::ipfs, pinsets::read_all};

const BUDGET: u64 = 64 << 20;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const IDENTITY: u64 = 0x00;

/// Encodes UnixFS data: its type, then the rest.
fn unixfs(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[0x08, kind], rest].concat()
}

fn pb(links: &[(&str, Cid, u64)], data: Vec<u8>) -> Bytes {
    let links = links.iter().map(|(name, cid, size)| PbLink {
        cid: *cid,
        name: Some((*name).to_owned()),
        size: Some(*size),
    });
    let node = PbNode {
        links: links.collect(),
        data: Some(data.into()),
    };
    node.into_bytes().into()
}

/// Encodes a file of these parts, each with its length.
fn file(parts: &[(Cid, u8)]) -> Bytes {
    let len = parts.iter().map(|(_, len)| len).sum();
    let sizes = parts.iter().flat_map(|(_, len)| [0x20, *len]);
    let links: Vec<_> = parts
        .iter()
        .map(|(cid, len)| ("", *cid, u64::from(*len)))
        .collect();
    pb(
        &links,
        unixfs(2, &[0x18, len].into_iter().chain(sizes).collect::<Vec<_>>()),
    )
}

/// Encodes a file of one block: `data` in UnixFS.
fn leaf(data: &[u8]) -> Bytes {
    let len = data.len() as u8;
    pb(&[], unixfs(2, &[&[0x12, len], data, &[0x18, len]].concat()))
}

fn inline(codec: u64, bytes: &[u8]) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(IDENTITY, bytes).unwrap())
}

async fn read(host: &Host, cid: Cid) -> Result<Vec<u8>, Error> {
    match host.mode.open(&ipfs(&format!("/ipfs/{cid}"))).await? {
        Node::File(file) => read_all(&file).await,
        other => panic!("{cid} is {other:?}"),
    }
}

#[tokio::test]
async fn a_root_that_is_its_own_content() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let raw = inline(RAW, b"hello");
    let wrapped = inline(DAG_PB, &leaf(b"world"));
    let empty = inline(DAG_PB, &pb(&[], unixfs(1, &[])));
    for (cid, text) in [(raw, "hello"), (wrapped, "world")] {
        assert_eq!(read(&host, cid).await.unwrap(), text.as_bytes());
        let file = host.file(&format!("/ipfs/{cid}")).await;
        assert_eq!((file.cid(), file.len()), (cid.into(), 5));
        assert_eq!(
            file.try_read_at(1, 3).unwrap().unwrap(),
            text.as_bytes()[1..4]
        );
        let again = host.file(&format!("/ipfs/{cid}")).await;
        assert_eq!(file.identity(), again.identity());
        file.ready(0).await.unwrap();
    }
    let one = host.file(&format!("/ipfs/{raw}")).await;
    let other = host.file(&format!("/ipfs/{wrapped}")).await;
    assert_ne!(one.identity(), other.identity());
    let dir = host
        .mode
        .open(&ipfs(&format!("/ipfs/{empty}")))
        .await
        .unwrap();
    assert_eq!(dir.kind(), Kind::Dir);
    let fetched = host
        .mode
        .prefetch(&ipfs(&format!("/ipfs/{wrapped}")), &())
        .await;
    assert_eq!(fetched.unwrap().blocks, 0);
    assert_eq!(node.stats().blocks, 0, "nobody was asked");
}

/// A root of more bytes than a [`Cid`] holds.
fn wide(codec: u64, bytes: &[u8]) -> RootCid {
    let hash = Multihash::<128>::wrap(IDENTITY, bytes).unwrap();
    let root = CidGeneric::new_v1(codec, hash).to_string();
    root.parse().unwrap()
}

/// So long that the entry's content fits a [`Cid`], which is what the writer of these blocks takes.
const NAME: &str = "an entry whose name is long";

/// A file or directory whose block has 100 bytes.
fn hundred(make: impl Fn(&[u8]) -> Bytes) -> (Vec<u8>, RootCid) {
    let text = (0..100).map(|len| vec![b'x'; len]);
    let mut made = text.map(|text| (make(&text), text));
    let (block, text) = made.find(|(block, _)| block.len() == 100).unwrap();
    (text, wide(DAG_PB, &block))
}

#[tokio::test]
async fn a_root_of_more_bytes_than_a_hash_has() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let (text, file) = hundred(leaf);
    let (entry, dir) = hundred(|text| {
        let entry = (NAME, inline(RAW, text), text.len() as u64);
        pb(&[entry], unixfs(1, &[]))
    });
    assert!(file.is_inline() && file.cid().is_none());
    let below = IpfsPath::root(dir).join(NAME).unwrap();
    for (path, wanted) in [(IpfsPath::root(file), &text), (below, &entry)] {
        assert_eq!(host.read(&path.to_string()).await, *wanted);
        let metadata = host.mode.stat(&path).await.unwrap().metadata();
        assert_eq!(
            (metadata.kind, metadata.len),
            (Kind::File, wanted.len() as u64)
        );
        let streamed: Vec<_> = host.mode.fetch_path(&path).try_collect().await.unwrap();
        assert_eq!(streamed.concat(), *wanted);
        assert_eq!(host.mode.prefetch(&path, &()).await.unwrap().blocks, 0);
    }
    let stat = host.mode.stat(&IpfsPath::root(dir)).await.unwrap();
    assert_eq!(stat.kind(), Kind::Dir);

    // The same by a guest's path, where it was granted.
    let guest = host
        .mode
        .session(Access::roots([file, dir]), Limits::default());
    let base = guest.root().unwrap();
    let listed: Vec<_> = base.entries().unwrap().try_collect().await.unwrap();
    assert!(
        listed
            .iter()
            .all(|entry| entry.cid().to_string() == entry.name())
    );
    let mut listed: Vec<_> = listed.iter().map(|entry| entry.name().to_owned()).collect();
    let mut granted = [file.to_string(), dir.to_string()];
    listed.sort();
    granted.sort();
    assert_eq!(listed, granted);
    for (path, wanted) in [(file.to_string(), &text), (format!("{dir}/{NAME}"), &entry)] {
        let metadata = guest.metadata_at(&base, &path, Symlinks::Follow).await;
        assert_eq!(metadata.unwrap().len, wanted.len() as u64);
        let node = guest.open_at(&base, &path, Symlinks::Follow).await.unwrap();
        let Node::File(file) = node else {
            panic!("{path} is {node:?}");
        };
        assert_eq!(read_all(&file).await.unwrap(), *wanted);
        assert!(path.contains('/') || file.cid().to_string() == path);
    }
    let dir = guest
        .open_at(&base, &dir.to_string(), Symlinks::Follow)
        .await;
    let Node::Dir(dir) = dir.unwrap() else {
        panic!("no directory");
    };
    let listed: Vec<_> = dir.entries().unwrap().try_collect().await.unwrap();
    assert_eq!(listed[0].name(), NAME);

    let stranger = host.mode.session(Access::none(), Limits::default());
    let base = stranger.root().unwrap();
    let refused = stranger
        .open_at(&base, &file.to_string(), Symlinks::Follow)
        .await;
    assert!(matches!(refused, Err(Error::NotGranted { root }) if root == file));
    assert_eq!(node.stats().blocks, 0, "nobody was asked");
}

#[tokio::test]
async fn an_identity_cid_has_no_more_than_128_bytes() {
    let host = Host::new(&MockNode::new(), BUDGET).await;
    let longest = wide(RAW, &[b'x'; 128]);
    assert_eq!(host.read(&format!("/ipfs/{longest}")).await, [b'x'; 128]);
    let hash = Multihash::<129>::wrap(IDENTITY, &[b'x'; 129]).unwrap();
    let longer = CidGeneric::new_v1(RAW, hash).to_string();
    let error = longer.parse::<IpfsPath>().unwrap_err();
    assert!(matches!(error, Error::InvalidPath { .. }), "{error}");
    let guest = host.mode.session(Access::Any, Limits::default());
    let base = guest.root().unwrap();
    let absent = guest.open_at(&base, &longer, Symlinks::Follow).await;
    assert!(matches!(absent, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn parts_of_a_file_may_lie_in_its_links() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let block = node.put(RAW, &b"block"[..]);
    // An inner node with one part in a block of its own.
    let inner = inline(DAG_PB, &file(&[(block, 5)]));
    let root = file(&[
        (inline(RAW, b"raw"), 3),
        (inner, 5),
        (inline(DAG_PB, &leaf(b"leaf")), 4),
        (block, 5),
    ]);
    let whole = b"rawblockleafblock";
    let root = node.put(DAG_PB, root);
    assert_eq!(read(&host, root).await.unwrap(), whole);
    let file = host.file(&format!("/ipfs/{root}")).await;
    for at in 0..whole.len() {
        for len in [1, 4, 20] {
            let end = whole.len().min(at + len);
            assert_eq!(file.read_at(at as u64, len).await.unwrap(), whole[at..end]);
        }
    }
    let fetched = host
        .mode
        .prefetch(&ipfs(&format!("/ipfs/{root}")), &())
        .await;
    assert_eq!(fetched.unwrap().blocks, 2);
    assert_eq!(
        (node.blocks_asked(&root), node.blocks_asked(&block)),
        (1, 1)
    );
}

#[tokio::test]
async fn entries_of_a_directory_may_lie_in_its_links() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let below = inline(DAG_PB, &pb(&[], unixfs(1, &[])));
    let link = inline(DAG_PB, &pb(&[], unixfs(4, b"\x12\x04file")));
    let dir = pb(
        &[
            ("dir", below, 0),
            ("file", inline(RAW, b"text"), 4),
            ("link", link, 0),
        ],
        unixfs(1, &[]),
    );
    let root = node.put(DAG_PB, dir);
    let path = |name: &str| format!("/ipfs/{root}/{name}");
    assert_eq!(host.read(&path("file")).await, b"text");
    assert_eq!(host.read(&path("link")).await, b"text");
    let Node::Dir(dir) = host.mode.open(&ipfs(&path("dir"))).await.unwrap() else {
        panic!("no directory");
    };
    assert_eq!(dir.cid(), Some(&RootCid::from(below)));
    let Node::Dir(above) = host.mode.open(&ipfs(&path(""))).await.unwrap() else {
        panic!("no directory");
    };
    let mut entries = above.entries().unwrap();
    let mut listed = Vec::new();
    while let Some(entry) = entries.try_next().await.unwrap() {
        listed.push((entry.name().to_owned(), entry.kind()));
    }
    let listed: Vec<_> = listed.iter().map(|(name, kind)| (&**name, *kind)).collect();
    let wanted = [
        ("dir", Some(Kind::Dir)),
        ("file", Some(Kind::File)),
        ("link", Some(Kind::Symlink)),
    ];
    assert_eq!(listed, wanted);
    let stat = host.mode.stat(&ipfs(&path("link"))).await.unwrap();
    assert_eq!(stat.kind(), Kind::Symlink);
    assert_eq!(node.distinct_blocks_asked(), 1);
}

#[tokio::test]
async fn shards_of_a_directory_may_lie_in_its_links() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    // A shard with 256 buckets by murmur3, of which only the first is used; and a name that falls into the first bucket
    // on both levels.
    let data = unixfs(5, b"\x12\x01\x01\x28\x22\x30\x80\x02");
    let name = "155835";
    let entry = (&*format!("00{name}"), inline(RAW, b"x"), 1);
    let below = inline(DAG_PB, &pb(&[entry], data.clone()));
    let root = node.put(DAG_PB, pb(&[("00", below, 0)], data));
    let Node::Dir(dir) = host
        .mode
        .open(&ipfs(&format!("/ipfs/{root}")))
        .await
        .unwrap()
    else {
        panic!("no directory");
    };
    let mut entries = dir.entries().unwrap();
    assert_eq!(entries.try_next().await.unwrap().unwrap().name(), name);
    assert!(entries.try_next().await.unwrap().is_none());
    assert_eq!(host.read(&format!("/ipfs/{root}/{name}")).await, b"x");
    assert_eq!(node.distinct_blocks_asked(), 1);
}

#[tokio::test]
async fn parts_that_lie_are_found_out() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let directory = inline(DAG_PB, &pb(&[], unixfs(1, &[])));
    let short = inline(RAW, b"sho");
    let nonsense = inline(DAG_PB, b"\xff");
    // This node itself is right, but the claim about it is wrong.
    let inner = inline(DAG_PB, &file(&[(inline(RAW, b"x"), 1)]));
    for wrong in [directory, short, nonsense, inner] {
        let root = node.put(DAG_PB, file(&[(inline(RAW, b"good"), 4), (wrong, 4)]));
        let file = host.file(&format!("/ipfs/{root}")).await;
        let is_named =
            |error: &Error| matches!(error, Error::Malformed { cid, .. } if *cid == wrong);
        // This includes reads that could be served in part.
        for (at, len) in [(4, 1), (0, 8), (3, 2)] {
            let error = file.read_at(at, len).await.unwrap_err();
            assert!(is_named(&error), "{error}");
        }
        let error = file.try_read_at(5, 1).unwrap().unwrap_err();
        assert!(is_named(&error), "{error}");
        assert_eq!(file.try_read_at(2, 8).unwrap().unwrap(), b"od"[..]);
    }
}
