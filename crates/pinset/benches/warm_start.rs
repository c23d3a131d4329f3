//! The time to open a persistent staging directory, and the cost of the first use of its blocks. The directory holds a
//! budget's worth of blocks of one size, and is opened with and without its files in the page cache.
//!
//! `cargo bench -p pinset --bench warm_start [-- <MiB> [<directory>]]`. One line of JSON for each size of block.
#![allow(
    clippy::print_stdout,
    reason = "printing figures is what a bench is for"
)]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_mock::MockNode;
use pinset::{CacheMode, Node, PinsetBuilder};

/// The sizes of blocks, in bytes.
const SIZES: [usize; 3] = [1 << 20, 256 << 10, 4 << 10];

/// How often each directory is opened; the median counts.
const TIMES: usize = 5;

fn main() {
    // `cargo bench` adds `--bench`. `cargo test --benches` does not, and only builds it.
    let mut arguments = std::env::args().skip(1);
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut plain = || arguments.find(|argument| argument != "--bench");
    let mib: usize = plain().map_or(1024, |mib| mib.parse().expect("a number of MiB"));
    let dir = match plain() {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory to stage in");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    for size in SIZES {
        let place = dir.path().join(size.to_string());
        fs::create_dir(&place).expect("a directory");
        runtime.block_on(measure(&place, size, mib));
        fs::remove_dir_all(&place).expect("its end");
    }
}

fn block(number: usize, size: usize) -> Vec<u8> {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let words = (0..size / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

async fn open(node: &MockNode, place: &Path, budget: u64) -> CacheMode {
    let pinset = PinsetBuilder::new(Arc::new(node.clone()), budget)
        .lock_dir(place.join("locks"))
        .staging(place.join("staging"));
    pinset.shared().await.expect("a pinset")
}

async fn read(mode: &CacheMode, cid: &Cid) {
    match mode.open(&(*cid).into()).await.expect("a file") {
        Node::File(file) => drop(file.read_at(0, usize::MAX).await.expect("its bytes")),
        other => panic!("{other:?}"),
    }
}

async fn measure(place: &Path, size: usize, mib: usize) {
    let blocks = (mib << 20) / size;
    let budget = (mib as u64 + mib as u64 / 8) << 20;
    let node = MockNode::builder()
        .recording(pinner_mock::Recording::Counters)
        .build();
    let cids: Vec<_> = (0..blocks)
        .map(|n| {
            let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(&block(n, size)));
            node.put_generated(cid, Arc::new(move || block(n, size).into()));
            cid
        })
        .collect();
    let mode = open(&node, place, budget).await;
    for cid in &cids {
        read(&mode, cid).await;
    }
    let staged = mode.stats().blocks_staged;
    assert_eq!(staged, blocks as u64, "the budget is too small");
    mode.close().await.expect("its end");
    drop(mode);

    let mut opened = [Vec::new(), Vec::new()];
    for _ in 0..TIMES {
        for (cached, times) in opened.iter_mut().enumerate() {
            if cached == 0 {
                forget(&place.join("staging"));
            }
            let start = Instant::now();
            let mode = open(&node, place, budget).await;
            times.push(start.elapsed());
            assert_eq!(mode.stats().blocks_staged, staged);
        }
    }
    let [cold, cached] = opened.map(median);

    // The follower below has half of it.
    let budget = 2 * budget;
    let mode = open(&node, place, budget).await;
    let before = mode.stats();
    let start = Instant::now();
    for cid in &cids {
        read(&mode, cid).await;
    }
    let first = start.elapsed();
    let start = Instant::now();
    for cid in &cids {
        read(&mode, cid).await;
    }
    let again = start.elapsed();
    let stats = mode.stats();
    assert_eq!(stats.blocks_reverified, staged);
    assert_eq!(stats.blocks_fetched, before.blocks_fetched);
    let along = open(&node, place, budget).await;
    let start = Instant::now();
    for cid in &cids {
        read(&along, cid).await;
    }
    let first_along = start.elapsed();
    let start = Instant::now();
    for cid in &cids {
        read(&along, cid).await;
    }
    let again_along = start.elapsed();
    assert!(along.stats().reads_along);
    assert_eq!(along.stats().blocks_reverified, staged);
    let each = |all: Duration| all.as_micros() as f64 / blocks as f64;
    println!(
        "{{\"block_bytes\": {size}, \"blocks\": {blocks}, \"open_cold_ms\": {:.1}, \"open_cached_ms\": {:.1}, \
         \"first_read_us\": {:.1}, \"read_us\": {:.1}, \"along_first_read_us\": {:.1}, \"along_read_us\": {:.1}}}",
        cold.as_secs_f64() * 1e3,
        cached.as_secs_f64() * 1e3,
        each(first),
        each(again),
        each(first_along),
        each(again_along),
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Removes the files of a directory from the page cache.
fn forget(dir: &Path) {
    for file in fs::read_dir(dir).expect("a directory") {
        let file = fs::File::open(file.expect("a file").path()).expect("a file");
        file.sync_all().expect("fsync");
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("fadvise");
    }
}
