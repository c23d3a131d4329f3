//! `fd_readdir`, with buffers of any size, from any cookie.

use std::{collections::BTreeSet, fs, path::Path};

use pinset::Limits;
use wasmtime_wasi::p1::types::Errno;

use super::{NATIVE, OURS, Scene};

/// A head, and the longest name.
const HEAD: usize = 24;
const LONGEST: usize = 200;

/// The number of names, with `.` and `..`.
const NAMES: usize = 62;

fn fill(tree: &Path) {
    for at in 0..NAMES - 3 {
        fs::write(tree.join(format!("file-{at}-{}", "n".repeat(at * 3))), "x").expect("a file");
    }
    fs::create_dir(tree.join("below")).expect("a folder");
}

/// An entry: its next cookie and its name.
type Entry = (u64, String);

/// The whole entries in a listing. One that is cut is left out.
fn entries(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(HEAD) {
        let number = |from: usize, to: usize| {
            let mut number = [0; 8];
            number[..to - from].copy_from_slice(&head[from..to]);
            u64::from_le_bytes(number)
        };
        let Some((name, rest)) = rest.split_at_checked(number(16, 20) as usize) else {
            break;
        };
        entries.push((
            number(0, 8),
            String::from_utf8(name.to_vec()).expect("UTF-8"),
        ));
        bytes = rest;
    }
    entries
}

impl Scene {
    /// Lists a directory with buffers of `len` bytes, as a library does: on from the last whole entry.
    async fn list(&mut self, fd: u32, len: u32) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let cookie = all.last().map_or(0, |(next, _)| *next);
            let listed = self.call().readdir(fd, len, cookie).await;
            let listed = listed.expect("it is listed");
            all.extend(entries(&listed));
            if listed.len() < len as usize {
                return all;
            }
        }
    }
}

/// Every name is there once, whatever the buffers, and a listing goes on from every cookie, forwards and backwards.
#[tokio::test]
async fn a_listing_goes_on_from_any_cookie() {
    let mut scene = Scene::new(fill).await;
    for base in [NATIVE, OURS] {
        let dir = scene.call().open(base, b".").await.expect("a directory");
        let whole = scene.list(dir, 1 << 16).await;
        let names: BTreeSet<_> = whole.iter().map(|(_, name)| name).collect();
        assert_eq!((whole.len(), names.len()), (NAMES, NAMES));
        assert_eq!([&*whole[0].1, &*whole[1].1], [".", ".."]);
        for len in [(HEAD + LONGEST) as u32, 250, 1000, 4096] {
            assert_eq!(
                scene.list(dir, len).await,
                whole,
                "{base}: buffers of {len}"
            );
        }
        for at in (0..NAMES).rev().chain([5, 6, 40, 0, 61, 3]) {
            let cookie = at.checked_sub(1).map_or(0, |before| whole[before].0);
            let len = (HEAD + LONGEST) as u32;
            let listed = scene.call().readdir(dir, len, cookie).await;
            let listed = entries(&listed.expect("it is listed"));
            assert!(
                !listed.is_empty() && whole[at..].starts_with(&listed),
                "{base}: at {at}"
            );
        }
        for cookie in [NAMES as u64, 1 << 40, u64::MAX] {
            let listed = scene.call().readdir(dir, 4096, cookie).await;
            assert_eq!(listed, Ok(vec![]), "{base}: behind the end");
        }
        // A buffer that holds no entry holds the beginning of one.
        for len in [0, 1, 23, 24] {
            let listed = scene.call().readdir(dir, len, 0).await;
            assert_eq!(listed.map(|bytes| bytes.len()), Ok(len as usize));
        }
    }
}

/// A native listing under way is a snapshot: it counts as a listing until its end.
#[tokio::test]
async fn a_native_listing_is_a_snapshot_and_counts() {
    let mut scene = Scene::new(fill).await;
    let session = scene.ctx.session.clone().expect("the guest has IPFS");
    let before = session.stats();
    let first = scene
        .call()
        .readdir(NATIVE, 500, 0)
        .await
        .expect("it is listed");
    let mut names = entries(&first);
    let under_way = session.stats();
    assert_eq!(under_way.open_handles, before.open_handles + 1);
    assert!(under_way.memory_bytes > before.memory_bytes + (NAMES * HEAD) as u64);

    // Whatever is removed meanwhile, none of the others is passed over.
    for entry in fs::read_dir(scene.tree.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::remove_file(path).expect("a file");
        }
    }
    while names.len() < NAMES {
        let cookie = names.last().map_or(0, |(next, _)| *next);
        let more = scene.call().readdir(NATIVE, 500, cookie).await;
        let more = entries(&more.expect("it is listed"));
        assert!(!more.is_empty(), "{} of {NAMES}", names.len());
        names.extend(more);
    }
    let last = scene.call().readdir(NATIVE, 500, NAMES as u64).await;
    assert_eq!(last, Ok(vec![]));
    assert_eq!(session.stats(), before);

    // A new listing is a new snapshot, and goes with its descriptor.
    assert_eq!(scene.list(NATIVE, 4096).await.len(), 3);
    fs::write(scene.tree.path().join("new"), "x").expect("a file");
    let dir = scene.call().open(NATIVE, b".").await.expect("a directory");
    scene
        .call()
        .readdir(dir, 30, 0)
        .await
        .expect("it is listed");
    assert_eq!(session.stats().open_handles, before.open_handles + 1);
    scene.call().close(dir).await.expect("it closes");
    assert_eq!(session.stats(), before);
}

/// Past the session's limits a native listing is wasmtime-wasi's alone, and works. Ours fails.
#[tokio::test]
async fn without_room_for_a_snapshot_a_native_listing_works() {
    let few_handles = |limits: &mut Limits| limits.open_handles = 3;
    let little_memory = |limits: &mut Limits| limits.memory_bytes = 1000;
    for (change, ours) in [
        (&few_handles as &dyn Fn(&mut Limits), Err(Errno::Nomem)),
        (&little_memory, Ok(())),
    ] {
        let mut limits = Limits::default();
        change(&mut limits);
        let mut scene = Scene::with(fill, limits).await;
        let session = scene.ctx.session.clone().expect("the guest has IPFS");
        // `/ipfs` was given up for the mount: two handles take its place and one more.
        let mut held = Vec::new();
        while session.stats().open_handles < session.limits().open_handles.min(3) {
            held.push(scene.call().open(OURS, b".").await.expect("a directory"));
        }
        assert_eq!(scene.list(NATIVE, 300).await.len(), NAMES);
        let listed = scene.call().readdir(OURS, 300, 0).await;
        assert_eq!(listed.map(|_| ()), ours);
    }
}

/// An error is never the end of a listing: the guest has the names before it, and then the error, as often as it asks
/// (I7).
#[tokio::test]
async fn an_error_ends_a_listing_and_stays() {
    const DAG_PB: u64 = 0x70;
    let mut scene = Scene::new(|tree| {
        for at in 0..3000 {
            fs::write(tree.join(format!("{at}-{}", "n".repeat(80))), "x").expect("a file");
        }
    })
    .await;
    let (root, shards) = {
        let mut dag_pb = scene.blocks.iter().filter(|cid| cid.codec() == DAG_PB);
        (
            dag_pb.next_back().copied(),
            dag_pb.copied().collect::<Vec<_>>(),
        )
    };
    assert!(shards.len() > 100, "the directory is not sharded");
    for shard in shards
        .iter()
        .filter(|shard| Some(**shard) != root)
        .skip(100)
    {
        assert!(scene.node.remove(shard));
    }
    let mut names = Vec::new();
    let error = loop {
        let cookie = names.last().map_or(0, |(next, _): &Entry| *next);
        match scene.call().readdir(OURS, 1000, cookie).await {
            Ok(listed) => {
                assert!(
                    !entries(&listed).is_empty(),
                    "it ends after {}",
                    names.len()
                );
                names.extend(entries(&listed));
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::Io);
    let cookie = names.last().map_or(0, |(next, _)| *next);
    for cookie in [cookie, cookie, 0, cookie] {
        let listed = scene.call().readdir(OURS, 1000, cookie).await;
        assert_eq!(listed.is_err(), cookie > 0, "{cookie}: {listed:?}");
    }
}
