//! A pinset of a million small blocks: the memory that each takes, how long the pinset takes to start, to close, to be
//! taken over by a follower, and to hand half of its budget to a newcomer.
//!
//! `cargo bench -p pinset --bench many_blocks [-- BLOCKS [DIRECTORY]]`. One line of JSON. Built with
//! `--cfg tokio_unstable`, it also prints for how long the tasks of the runtime kept their threads at a time.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_mock::{MockNode, Recording};
use pinset::{Budget, CacheMode, Node, PinsetBuilder};
use test_support::memory::resident_bytes;

const SIZE: usize = 4 << 10;

/// How many blocks are read side by side.
const SIDE_BY_SIDE: usize = 16;

fn main() {
    // `cargo bench` adds `--bench`. `cargo test --benches` does not, and only builds it.
    let mut arguments = std::env::args().skip(1);
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut plain = || arguments.find(|argument| argument != "--bench");
    let blocks = plain().map_or(1_000_000, |blocks| {
        blocks.parse().expect("a number of blocks")
    });
    let dir = match plain() {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory to stage in");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all();
    #[cfg(tokio_unstable)]
    polls::measure(&mut runtime);
    let runtime = runtime.build().expect("a runtime");
    // A task is timed where the future of `block_on` is not.
    let place = dir.path().to_owned();
    let (node, cids) = with_blocks(blocks);
    runtime
        .block_on(runtime.spawn(async move { measure(&place, &node, &cids).await }))
        .expect("figures");
    #[cfg(tokio_unstable)]
    polls::print(&runtime);
}

fn block(number: u64) -> Vec<u8> {
    (number ^ 0x9e37_79b9_7f4a_7c15)
        .to_le_bytes()
        .repeat(SIZE / 8)
}

fn cid(number: u64) -> Cid {
    Cid::new_v1(0x55, Code::Sha2_256.digest(&block(number)))
}

fn settings(node: &MockNode, budget: impl Into<Budget>, place: &Path) -> PinsetBuilder {
    PinsetBuilder::new(Arc::new(node.clone()), budget).lock_dir(place.join("locks"))
}

async fn open(node: &MockNode, budget: u64, place: &Path) -> CacheMode {
    let persistent = settings(node, budget, place).staging(place.join("staging"));
    persistent.shared().await.expect("a pinset")
}

/// Reads blocks of the numbers given.
async fn read(mode: &CacheMode, cids: &Arc<[Cid]>) {
    let parts = (0..SIDE_BY_SIDE).map(|part| {
        let (mode, cids) = (mode.clone(), cids.clone());
        tokio::spawn(async move {
            for cid in cids.iter().skip(part).step_by(SIDE_BY_SIDE) {
                match mode.open(&(*cid).into()).await.expect("a file") {
                    Node::File(file) => drop(file.read_at(0, usize::MAX).await.expect("its bytes")),
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    for part in parts.collect::<Vec<_>>() {
        part.await.expect("reads");
    }
}

/// A node with all the blocks.
fn with_blocks(blocks: u64) -> (MockNode, Arc<[Cid]>) {
    let node = MockNode::builder().recording(Recording::Counters).build();
    let cids: Arc<[Cid]> = (0..blocks)
        .map(|number| {
            let cid = cid(number);
            node.put_generated(cid, Arc::new(move || block(number).into()));
            cid
        })
        .collect();
    (node, cids)
}

async fn measure(place: &Path, node: &MockNode, cids: &Arc<[Cid]>) {
    let blocks = cids.len() as u64;
    // Space for what belongs to a block.
    let budget = blocks * (SIZE as u64 + 512) + (16 << 20);

    let mode = open(node, budget, place).await;
    let before = resident_bytes().expect("the size of this process");
    let begun = Instant::now();
    read(&mode, cids).await;
    let stage = begun.elapsed();
    let memory = resident_bytes().expect("the size of this process") - before;
    let staged = mode.stats().blocks_staged;
    assert_eq!(staged, blocks, "the budget is too small");
    let begun = Instant::now();
    mode.close().await.expect("its end");
    let close = begun.elapsed();
    drop(mode);

    let begun = Instant::now();
    let mode = open(node, budget, place).await;
    let start = begun.elapsed();
    assert_eq!(mode.stats().blocks_staged, staged);

    let begun = Instant::now();
    let follower = open(node, budget, place).await;
    let follow = begun.elapsed();
    assert!(follower.stats().reads_along);
    mode.close().await.expect("its end");
    drop(mode);
    let begun = Instant::now();
    // A follower takes over when it is used.
    let one: Arc<[Cid]> = cids[..1].into();
    while follower.stats().reads_along {
        read(&follower, &one).await;
    }
    let take_over = begun.elapsed();
    let taken_over = follower.stats().blocks_staged;
    follower.close().await.expect("its end");
    drop(follower);
    let gone = tokio::fs::remove_dir_all(place.join("staging")).await;
    gone.expect("its end");

    let total = Budget::new(budget);
    let first = settings(node, total.clone(), place).isolated().await;
    let first = first.expect("a pinset");
    read(&first, cids).await;
    let full = first.stats().blocks_staged;
    let begun = Instant::now();
    let second = settings(node, total, place)
        .isolated()
        .await
        .expect("a pinset");
    let newcomer = begun.elapsed();
    let left = first.stats().blocks_staged;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{{\"blocks\": {blocks}, \"memory_bytes_each\": {:.0}, \"stage_us_each\": {:.1}, \"close_ms\": {:.1}, \
         \"start_ms\": {:.1}, \"follow_ms\": {:.1}, \"take_over_ms\": {:.1}, \"taken_over\": {taken_over}, \
         \"second_isolated_ms\": {:.1}, \"first_isolated_blocks\": [{full}, {left}]}}",
        memory as f64 / blocks as f64,
        stage.as_micros() as f64 / blocks as f64,
        ms(close),
        ms(start),
        ms(follow),
        ms(take_over),
        ms(newcomer),
    );
    let begun = Instant::now();
    for mode in [first, second] {
        mode.close().await.expect("its end");
    }
    println!("{{\"isolated_close_ms\": {:.1}}}", ms(begun.elapsed()));
}

/// How long polls take. The histogram is the runtime's own, in wall-clock time.
#[cfg(tokio_unstable)]
mod polls {
    use std::time::Duration;

    use tokio::runtime::{Builder, HistogramConfiguration, LogHistogram, Runtime};

    pub(super) fn measure(runtime: &mut Builder) {
        let buckets = LogHistogram::builder()
            .min_value(Duration::from_micros(1))
            .max_value(Duration::from_secs(16))
            .max_error(0.25)
            .max_buckets(512)
            .expect("buckets");
        runtime
            .enable_metrics_poll_time_histogram()
            .metrics_poll_time_histogram_configuration(HistogramConfiguration::log(buckets));
    }

    pub(super) fn print(runtime: &Runtime) {
        let metrics = runtime.metrics();
        let buckets = metrics.poll_time_histogram_num_buckets();
        let counts: Vec<u64> = (0..buckets)
            .map(|bucket| {
                (0..metrics.num_workers())
                    .map(|worker| metrics.poll_time_histogram_bucket_count(worker, bucket))
                    .sum()
            })
            .collect();
        let polls: u64 = counts.iter().sum();
        let at = |share: f64| {
            let wanted = (polls as f64 * share).ceil() as u64;
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            bucket.map(|bucket| metrics.poll_time_histogram_bucket_range(bucket).end)
        };
        println!(
            "{polls} polls: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?} at most",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
        );
    }
}
