//! Guests read from a real Kubo while its garbage collector runs all the time. A guest fetches again what the collector
//! removes, every byte is correct, and neither makes the other fail (I1, I5, I7).

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cid::Cid;
use e2e::{Preview, Run, guests};
use futures_util::TryStreamExt;
use kubo_daemon::{Daemon, kubo_or_not_run};
use pinner_api::Pinner;
use pinner_kubo::KuboPinner;
use pinset::{Access, CacheMode, PinsetBuilder};
use test_support::turns::turn;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

/// Guests that read at the same time: half of them on one shared pinset, the other half on a pinset each.
const GUESTS: usize = 8;

/// The tree: 40 files of 5 MiB.
const DIRECTORIES: usize = 4;
const FILES: usize = 10;
const FILE_BYTES: usize = 5 << 20;

/// Small compared with the tree, so that blocks and pins come and go all the time.
const BUDGET_BYTES: u64 = 48 << 20;

fn duration() -> Duration {
    match std::env::var_os("WASI_IPFS_QUICK") {
        Some(_) => Duration::from_secs(15),
        None => Duration::from_secs(60),
    }
}

/// Writes a tree in which no two blocks are equal.
fn write_tree(root: &Path) {
    let mut series = 88_172_645_463_325_252_u64;
    for directory in 0..DIRECTORIES {
        let directory = root.join(format!("d{directory}"));
        fs::create_dir(&directory).unwrap();
        for file in 0..FILES {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                series ^= series << 13;
                series ^= series >> 7;
                series ^= series << 17;
                series.to_le_bytes()
            })
            .take(FILE_BYTES / 8)
            .flatten()
            .collect();
            fs::write(directory.join(format!("f{file}")), bytes).unwrap();
        }
    }
}

/// Reads the whole tree repeatedly until `until`. Returns how often.
async fn read_again_and_again(
    cache: impl AsyncFn() -> CacheMode,
    preview: Preview,
    path: String,
    root: Cid,
    expected: Arc<str>,
    until: Instant,
) -> u64 {
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < until {
        let cache = cache().await;
        let ctx = IpfsCtx::builder(cache, Access::roots([root]));
        let ctx = ctx.build().await.unwrap();
        let run = Run::new(["walk_hash", &path]).ipfs(ctx.clone());
        let outcome = run.program(&guests::WALK_HASH.program(preview)).await;
        let stats = ctx.cache().stats();
        assert_eq!(outcome.success(), &*expected, "round {rounds}: {stats:?}");
        if matches!(ctx.cache(), CacheMode::Isolated(_)) {
            ctx.cache().close().await.unwrap();
        }
        rounds += 1;
    }
    rounds
}

/// The number of collections, and of the owner's own changes to the node meanwhile.
#[derive(Debug, Default)]
struct Load {
    collections: AtomicU64,
    blocks_collected: AtomicU64,
    entries: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_guests_read_while_the_node_collects() {
    let _turn = turn("collection");
    let kubo = kubo_or_not_run!("reading while the node collects");
    let start = || kubo.node().profile("unixfs-v1-2025").start().unwrap();
    let (node, other) = (Arc::new(start()), start());
    let tree = tempfile::tempdir().unwrap();
    write_tree(tree.path());
    // On the first node, only the tests' pinsets pin it.
    let root = node.add(tree.path(), &["--pin=false"]).unwrap();
    assert_eq!(other.add(tree.path(), &[]).unwrap(), root);
    node.connect(&other).unwrap();

    let native = Run::new(["walk_hash", "/tree"]).native();
    let native = native.preopen(tree.path(), "/tree", FsPerms::ReadOnly);
    let native = native
        .program(&guests::WALK_HASH.program(Preview::Two))
        .await;
    let expected: Arc<str> = native.success().into();
    assert_eq!(expected.lines().count(), 1 + DIRECTORIES * (1 + FILES));
    drop(tree);

    let pinner = KuboPinner::builder().repo(node.repo_path()).connect();
    let pinner: Arc<dyn Pinner> = Arc::new(pinner.await.unwrap());
    let locks = tempfile::tempdir().unwrap();
    let lock_dir = locks.path().join("locks");
    let pinset = PinsetBuilder::new(pinner.clone(), BUDGET_BYTES).lock_dir(lock_dir);
    let shared = pinset.clone().shared().await.unwrap();

    let (load, stop) = (Arc::<Load>::default(), Arc::<AtomicBool>::default());
    let collector = {
        let (node, load, stop) = (node.clone(), load.clone(), stop.clone());
        thread::spawn(move || collect(&node, &load, &stop))
    };
    let owner = {
        let (node, load, stop) = (node.clone(), load.clone(), stop.clone());
        thread::spawn(move || write_to_mfs(&node, &load, &stop))
    };
    let until = Instant::now() + duration();
    let guests: Vec<_> = (0..GUESTS)
        .map(|guest| {
            let preview = [Preview::One, Preview::Two][guest % 2];
            let (shared, pinset) = (shared.clone(), pinset.clone());
            let cache = async move || match guest < GUESTS / 2 {
                true => shared.clone(),
                false => pinset.clone().isolated().await.unwrap(),
            };
            let path = format!("/ipfs/{root}");
            let reads = read_again_and_again(cache, preview, path, root, expected.clone(), until);
            tokio::spawn(reads)
        })
        .collect();
    let mut rounds = 0;
    for guest in guests {
        rounds += guest.await.unwrap();
    }
    let stats = shared.stats();
    stop.store(true, Ordering::Relaxed);
    collector.join().unwrap();
    owner.join().unwrap();
    let received = node.bitswap_stat().unwrap();
    println!("{rounds} rounds of {GUESTS} guests; {load:?}; {received:?}; {stats:?}");
    assert!(load.collections.load(Ordering::Relaxed) > 0);
    assert!(load.blocks_collected.load(Ordering::Relaxed) > 0);
    assert!(load.entries.load(Ordering::Relaxed) > 0);
    assert!(
        received.blocks_received > 0,
        "nothing came back from the other node"
    );
    assert_eq!(
        (stats.corrupt_blocks, stats.pin_failures),
        (0, 0),
        "{stats:?}"
    );

    // All pins are released, and after that the node keeps nothing.
    shared.close().await.unwrap();
    let left: Vec<_> = pinner.pins().try_collect().await.unwrap();
    assert_eq!(left, []);
    node.gc().unwrap();
    assert!(!node.holds(&root).unwrap());
    let listing = node.ipfs(&["files", "ls", "/owner"]).unwrap();
    assert_eq!(listing, b"kept\n");
    assert_eq!(
        node.ipfs(&["files", "read", "/owner/kept"]).unwrap(),
        b"mine"
    );
}

fn collect(node: &Daemon, load: &Load, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let collected = node.gc().unwrap();
        load.collections.fetch_add(1, Ordering::Relaxed);
        load.blocks_collected
            .fetch_add(collected.len() as u64, Ordering::Relaxed);
    }
}

/// The node's owner keeps working in MFS, beside the pins that are kept there.
fn write_to_mfs(node: &Daemon, load: &Load, stop: &AtomicBool) {
    let call = |command, arguments: &[(&str, &str)]| node.rpc().call(command, arguments).unwrap();
    let block = node.rpc().block_put("raw", "sha2-256", b"mine").unwrap();
    call("files/mkdir", &[("arg", "/owner")]);
    let source = format!("/ipfs/{block}");
    // The collector may have removed the block first. The node must not then search the network for it: its collector
    // would wait as long as the search, and so would every change of its pins.
    let copy = |to: &str| {
        node.rpc().block_put("raw", "sha2-256", b"mine").unwrap();
        let arguments = [("arg", &*source), ("arg", to), ("timeout", "1s")];
        node.rpc().call("files/cp", &arguments)
    };
    while copy("/owner/kept").is_err() {}
    while !stop.load(Ordering::Relaxed) {
        let entry = "/owner/passing";
        call("files/cp", &[("arg", "/owner/kept"), ("arg", entry)]);
        call("files/rm", &[("arg", entry)]);
        load.entries.fetch_add(1, Ordering::Relaxed);
        // Let others write too.
        thread::sleep(Duration::from_millis(20));
    }
}
