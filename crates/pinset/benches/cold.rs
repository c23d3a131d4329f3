//! Sequential reads through a pinset from a backend with a given latency, beside reads of a host that uses the backend
//! directly; and the cost of read-ahead for a reader once everything is staged.
//!
//! `cargo bench -p pinset --bench cold [-- MIB]`, of 256 MiB by default. Each figure is the best of three runs (in the
//! first column, of one), each over a fresh cache. The runs take turns, so that other load on the machine affects all
//! alike.
//!
//! * `one by one`: the plain loop. It awaits `Pinner::block` for each leaf, one after the other, and hashes it.
//! * `16 at once`: a stream of the same calls, written by hand, with 16 in flight, hashed on blocking threads. It knows
//!   the list of leaves beforehand and stages nothing, so this is the best possible result.
//! * `pinset`: `File::read_at`, 64 KiB at a time; verified and staged.
//! * `in flight`: the most calls that the pinset had in flight.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cid::Cid;
use futures_util::{StreamExt, stream};
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{BlockRequest, Origin, Pinner};
use pinner_mock::{Fault, MockNode, Recording, When};
use pinset::{Advice, IpfsPath, Node, PinsetBuilder};
use test_support::balanced;

const MIB: usize = 1 << 20;
const RUNS: usize = 3;
const IN_FLIGHT: usize = 16;

fn main() {
    // `cargo bench` adds `--bench`, which is not a number.
    let mib = std::env::args().find_map(|argument| argument.parse().ok());
    let mib: usize = mib.unwrap_or(256);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    warm(&runtime);
    println!("\ncold sequential reads of {mib} MiB, MiB/s");
    println!(
        "{:<10}{:<10}{:>12}{:>12}{:>12}{:>14}{:>14}{:>12}",
        "leaf",
        "latency",
        "one by one",
        "16 at once",
        "pinset",
        "to one by one",
        "to 16 at once",
        "in flight"
    );
    for leaf in [256 << 10, MIB] {
        let node = MockNode::builder().recording(Recording::Counters).build();
        let file = balanced::file(&node, mib * MIB, leaf);
        for latency in [0, 1, 10, 42].map(Duration::from_millis) {
            node.clear_script();
            if !latency.is_zero() {
                node.script(When::any_block(), Fault::Delay(latency));
            }
            let alone = runtime.block_on(one_by_one(&node, &file));
            let (mut ideal, mut pinset, mut in_flight) = (Duration::MAX, Duration::MAX, 0);
            for _ in 0..RUNS {
                ideal = ideal.min(runtime.block_on(at_once(&node, &file)));
                node.clear_log();
                pinset = pinset.min(runtime.block_on(through_pinset(&node, &file)));
                in_flight = in_flight.max(node.stats().in_flight_max);
            }
            let [alone, ideal, pinset] =
                [alone, ideal, pinset].map(|time| mib as f64 / time.as_secs_f64());
            println!(
                "{:<10}{:<10}{alone:>12.0}{ideal:>12.0}{pinset:>12.0}{:>13.2}x{:>13.2}x{:>12}",
                format!("{} KiB", leaf >> 10),
                format!("{} ms", latency.as_millis()),
                pinset / alone,
                pinset / ideal,
                in_flight,
            );
        }
    }
}

/// Measures the cost of read-ahead when everything is staged: the time of a read of 4 KiB with and without it.
fn warm(runtime: &tokio::runtime::Runtime) {
    println!("warm sequential reads of 4 KiB, ns each, best of 15");
    println!("{:<10}{:>14}{:>14}", "leaf", "read-ahead", "none");
    for leaf in [256 << 10, MIB] {
        let node = MockNode::new();
        let file = balanced::file(&node, 64 * MIB, leaf);
        let dir = tempfile::tempdir().expect("a directory");
        let pinset = PinsetBuilder::new(Arc::new(node), 1 << 30).lock_dir(dir.path().join("lock"));
        let mut best = [Duration::MAX; 2];
        runtime.block_on(async {
            let mode = pinset.shared().await.expect("a pinset");
            let path = IpfsPath::root(file.root);
            mode.prefetch(&path, &()).await.expect("all of it");
            for _ in 0..15 {
                for (best, advice) in best.iter_mut().zip([Advice::Sequential, Advice::Random]) {
                    let Ok(Node::File(open)) = mode.open(&path).await else {
                        panic!("no file");
                    };
                    open.advise(0, 0, advice);
                    let start = Instant::now();
                    for at in (0..open.len()).step_by(4096) {
                        let ready = open.try_read_at(at, 4096);
                        assert!(matches!(ready, Some(Ok(bytes)) if bytes.len() == 4096));
                    }
                    *best = start.elapsed().min(*best);
                }
            }
        });
        let reads = (64 * MIB / 4096) as f64;
        let [with, without] = best.map(|time| time.as_nanos() as f64 / reads);
        println!(
            "{:<10}{with:>14.0}{without:>14.0}",
            format!("{} KiB", leaf >> 10)
        );
    }
}

fn request(file: &balanced::Balanced, cid: &Cid) -> BlockRequest {
    BlockRequest::new(*cid).with_origin(Origin::root(file.root))
}

async fn one_by_one(node: &MockNode, file: &balanced::Balanced) -> Duration {
    let start = Instant::now();
    for cid in &file.leaves {
        let answer = node.block(&request(file, cid)).await.expect("a block");
        let bytes = answer.bytes;
        assert!(Code::Sha2_256.digest(&bytes) == *cid.hash());
    }
    start.elapsed()
}

async fn at_once(node: &MockNode, file: &balanced::Balanced) -> Duration {
    let start = Instant::now();
    let verified = stream::iter(&file.leaves)
        .map(async |cid: &Cid| {
            let answer = node.block(&request(file, cid)).await.expect("a block");
            let bytes = answer.bytes;
            let cid = *cid;
            let hashed = move || Code::Sha2_256.digest(&bytes) == *cid.hash();
            tokio::task::spawn_blocking(hashed).await.expect("a hash")
        })
        .buffered(IN_FLIGHT);
    let mut verified = std::pin::pin!(verified);
    while let Some(right) = verified.next().await {
        assert!(right);
    }
    start.elapsed()
}

async fn through_pinset(node: &MockNode, file: &balanced::Balanced) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    let pinset =
        PinsetBuilder::new(Arc::new(node.clone()), 4 << 30).lock_dir(dir.path().join("lock"));
    let mode = pinset.shared().await.expect("a pinset");
    let open = mode.open(&file.root.into()).await;
    let Ok(Node::File(open)) = open else {
        panic!("no file: {open:?}");
    };
    let start = Instant::now();
    let mut at = 0;
    while at < open.len() {
        let bytes = open.read_at(at, 64 << 10).await.expect("bytes");
        at += bytes.len() as u64;
    }
    let elapsed = start.elapsed();
    assert_eq!(at, open.len());
    mode.close().await.expect("an end");
    elapsed
}
