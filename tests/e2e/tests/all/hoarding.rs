//! A guest that hoards: it begins reads, listings and advice, and leaves them alive and unread. Beside it, a well-behaved
//! guest reads as it does alone (I11), and the host's memory stays bounded (I9).
//!
//! The guest is `"p2/hoard.wasm"`.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cid::Cid;
use e2e::{Guest, Preview, Program, Run, guests, pinset};
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{Access, CacheMode, PinsetBuilder};
use test_support::{
    balanced,
    content::{MIB, add, add_file, stream},
    file_system::on_own,
    memory::resident_bytes,
    until,
};
use tokio::task::JoinHandle;
use wasi_ipfs_fs::IpfsCtx;

const HOARD: Guest = Guest::named("hoard");

/// The time of the backend for a block. It is most of the time of a cold read, so that the times of two runs can be
/// compared on a busy machine.
const LATENCY: Duration = Duration::from_millis(20);

/// The content that a hoarder opens.
struct Bait {
    files: Vec<Cid>,
    directory: Cid,
    /// Blocks that never arrive.
    never: Vec<Cid>,
}

/// Adds files whose leaves never arrive, and a directory that is wide and deep.
fn bait(node: &MockNode, guest: usize) -> Bait {
    let mut never = Vec::new();
    let files = (0..40).map(|n| {
        let leaves: Vec<_> = (0..2)
            .map(|leaf| {
                let text = format!("{guest} {n} {leaf}");
                let mut bytes = stream(MIB);
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                let cid = node.put(0x55, bytes);
                never.push(cid);
                (cid, MIB as u64, MIB as u64)
            })
            .collect();
        balanced::inner(node, &leaves).0
    });
    let files = files.collect();
    let tree = tempfile::tempdir().unwrap();
    let mut deep = tree.path().to_owned();
    for level in 0..20 {
        deep.push(format!("{guest}-{level}"));
        std::fs::create_dir(&deep).unwrap();
        for n in 0..20 {
            std::fs::write(deep.join(n.to_string()), format!("{guest} {level} {n}")).unwrap();
        }
    }
    Bait {
        files,
        directory: add(node, tree.path(), pinner_car::Profile::default()),
        never,
    }
}

fn hoard(cache: &CacheMode, bait: &Bait) -> JoinHandle<()> {
    let roots: Vec<_> = bait.files.iter().copied().chain([bait.directory]).collect();
    let mut arguments: Vec<_> = ["hoard", "2", "300", "3", "1048576"]
        .map(str::to_owned)
        .into();
    arguments.extend(roots.iter().map(Cid::to_string));
    let cache = cache.clone();
    tokio::spawn(async move {
        let ctx = IpfsCtx::builder(cache, Access::roots(roots));
        let ctx = ctx.build().await.unwrap();
        let outcome = Run::new(arguments).ipfs(ctx);
        let outcome = outcome.program(&HOARD.program(Preview::Two)).await;
        panic!("it ended: {outcome:?}");
    })
}

/// Reads a file of 24 leaves, that no cache has, in a guest. Returns the time.
async fn read(cache: &CacheMode, node: &MockNode, seed: usize) -> Duration {
    let bytes = &stream(25 * MIB)[seed..seed + 24 * MIB];
    let cid = add_file(node, bytes, pinner_car::Profile::default());
    let ctx = IpfsCtx::builder(cache.clone(), Access::roots([cid]));
    let ctx = ctx.build().await.unwrap();
    let begun = Instant::now();
    let run = Run::new(["two_guests", "1", &format!("/ipfs/{cid}")]).ipfs(ctx);
    let outcome = run.program(&guests::TWO_GUESTS.program(Preview::Two)).await;
    let took = begun.elapsed();
    assert!(outcome.success().contains(&format!("len={}", 24 * MIB)));
    took
}

/// How many pairs of reads are timed at most.
const ROUNDS: usize = 8;

/// Times reads beside this many hoarders and reads alone, in turn, until one takes at most `most` times as long as the
/// other. Both of a pair are affected alike by the machine's other work.
async fn slowdown(hoarders: usize, most: f64) {
    let (node, quiet) = (MockNode::new(), MockNode::new());
    let baits: Vec<_> = (0..hoarders).map(|guest| bait(&node, guest)).collect();
    let gate = Gate::new();
    for cid in baits.iter().flat_map(|bait| &bait.never) {
        node.script(When::block(cid), Fault::HangUntil(gate.clone()));
    }
    let mut caches = Vec::new();
    for node in [&node, &quiet] {
        node.script(When::any_block(), Fault::Delay(LATENCY));
        let cache = pinset(node, 512 << 20).block_deadline(Duration::from_secs(3600));
        caches.push(cache.shared().await.unwrap());
    }
    // Compiles the guest.
    read(&caches[1], &quiet, 1).await;
    let tasks: Vec<_> = baits.iter().map(|bait| hoard(&caches[0], bait)).collect();
    gate.reached(20).await;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let alone = read(&caches[1], &quiet, 2 + round).await;
        let beside = read(&caches[0], &node, 2 + round);
        let beside = tokio::time::timeout(Duration::from_secs(60), beside).await;
        let beside = beside.expect("it waits for a hoarder");
        let ratio = beside.as_secs_f64() / alone.as_secs_f64();
        println!("beside {hoarders}: {beside:?}, alone {alone:?}: {ratio:.2} times");
        ratios.push(ratio);
        if ratio <= most {
            break;
        }
    }
    for task in tasks {
        assert!(!task.is_finished(), "a hoarder ended");
        task.abort();
    }
    assert!(ratios.iter().any(|ratio| *ratio <= most), "{ratios:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_hoards_leaves_another_at_least_half_of_its_speed() {
    slowdown(1, 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_guests_that_hoard_leave_another_at_least_a_fifth_of_its_speed() {
    slowdown(4, 5.0).await;
}

/// How many streams the guest keeps.
pub(crate) const STREAMS: u64 = 10_000;

#[test]
fn ten_thousand_unread_streams_take_bounded_memory_and_keep_no_block() {
    let name = "hoarding::ten_thousand_unread_streams_take_bounded_memory_and_keep_no_block";
    on_own(name, "tmpfs", "size=256m,mode=700", |dir| {
        let arguments = |root: Cid| {
            let (streams, root) = (STREAMS.to_string(), root.to_string());
            ["hoard", &streams, "0", "0", "4096", &root]
                .map(str::to_owned)
                .to_vec()
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let run = unread_streams(dir, HOARD.program(Preview::Two), arguments, 96 << 20);
        runtime.block_on(run);
    });
}

/// Runs a guest that keeps [`STREAMS`] unread streams of one file, each at a leaf of its own, with the arguments that
/// `arguments` makes of the file's root. Asserts that this takes less than `most` bytes of memory, and that every staged
/// block can be replaced meanwhile. `dir` has room for 256 MiB.
pub(crate) async fn unread_streams(
    dir: &Path,
    program: Program,
    arguments: impl FnOnce(Cid) -> Vec<String>,
    most: u64,
) {
    const LEAF: usize = 4096;
    let node = MockNode::new();
    let file = balanced::file(&node, STREAMS as usize * LEAF, LEAF);
    let builder = PinsetBuilder::new(Arc::new(node.clone()), 64 << 20);
    let cache = builder.lock_dir(dir.join("lock")).shared().await.unwrap();
    let before = resident_bytes().unwrap();
    let ctx = IpfsCtx::builder(cache.clone(), Access::roots([file.root]));
    let run = Run::new(arguments(file.root)).ipfs(ctx.build().await.unwrap());
    let hoarder = tokio::spawn(async move { run.program(&program).await });
    // Streams beyond the session's memory are refused when they wait, and the rest fetches its blocks.
    let settled = async {
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = node.stats().blocks;
            if now == last && now > 1000 {
                return now;
            }
            last = now;
        }
    };
    let fetched = settled.await;
    assert!(!hoarder.is_finished(), "{:?}", hoarder.await);
    let added = resident_bytes().unwrap() - before;
    println!("{STREAMS} streams, {fetched} blocks, {added} bytes of memory");
    assert!(added < most, "{added} bytes of memory");
    // Every staged block can be replaced: by others that fill the budget almost twice.
    let other = add_file(&node, &stream(120 * MIB), pinner_car::Profile::default());
    let mut left = cache.fetch(&other);
    let staged = cache.stats().blocks_staged;
    while let Some(piece) = futures_util::StreamExt::next(&mut left).await {
        piece.unwrap();
    }
    until("the blocks are replaced", || {
        cache.stats().evictions >= staged
    })
    .await;
    hoarder.abort();
}
