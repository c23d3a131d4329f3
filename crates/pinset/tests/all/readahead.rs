//! Read-ahead, on a clock that stands still while there is anything to do: how long a reader waits, and exactly which
//! blocks are requested from the backend.

use std::time::Duration;

use pinner_api::Capabilities;
use pinner_mock::{Fault, MockNode, When};
use pinset::{Advice, File};
use test_support::{balanced, content::MIB, until};
use tokio::time::Instant;

use crate::host::Host;

const LATENCY: Duration = Duration::from_millis(42);
const LEAF: usize = 256 << 10;
const READ: usize = 64 << 10;

/// A node that takes [`LATENCY`] for each block. It makes no pins, since these would count among its calls.
fn slow_node() -> MockNode {
    let capabilities = Capabilities::blocks_only();
    let node = MockNode::builder().capabilities(capabilities).build();
    node.script(When::any_block(), Fault::Delay(LATENCY));
    node
}

/// Opens a file with this number of leaves, and clears the node's log of the calls for it.
async fn open(host: &Host, leaves: usize, leaf: usize) -> (File, balanced::Balanced) {
    let balanced = balanced::file(&host.node, leaves * leaf, leaf);
    let file = host.file(&format!("/ipfs/{}", balanced.root)).await;
    host.node.clear_log();
    (file, balanced)
}

/// Reads `range` in order, and returns how long that took.
async fn read(file: &File, range: std::ops::Range<usize>) -> Duration {
    let start = Instant::now();
    for at in range.step_by(READ) {
        let bytes = file.read_at(at as u64, READ).await.unwrap();
        assert_eq!(bytes, expected(at, bytes.len(), LEAF));
    }
    start.elapsed()
}

fn expected(at: usize, len: usize, leaf: usize) -> Vec<u8> {
    balanced::leaf_bytes(at / leaf * leaf, leaf)[at % leaf..at % leaf + len].to_vec()
}

/// Waits until everything has happened that can happen without time passing.
async fn settled() {
    tokio::time::sleep(Duration::from_nanos(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_has_16_blocks_on_their_way_after_five_and_hides_its_latency() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, _) = open(&host, 256, LEAF).await;
    let mut took = read(&file, 0..LEAF).await;
    settled().await;
    assert_eq!(
        host.node.stats().in_flight_max,
        4,
        "before the reader's pace is known"
    );
    took += read(&file, LEAF..5 * LEAF).await;
    settled().await;
    assert_eq!(host.node.stats().in_flight_max, 16);
    took += read(&file, 5 * LEAF..256 * LEAF).await;
    // The start takes two round trips; from then on 16 blocks come at a time.
    let ideal = LATENCY * (256 / 16);
    assert!(took <= ideal + 3 * LATENCY, "{took:?} for {ideal:?}");
    assert_eq!(host.node.stats().in_flight_max, 16);
    assert_eq!(host.node.stats().blocks, 256, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_file_of_4_mib_takes_three_round_trips() {
    for (leaves, round_trips) in [(1, 1), (2, 2), (5, 2), (8, 3), (16, 3), (64, 6)] {
        let host = Host::new(&slow_node(), 256 << 20).await;
        let (file, _) = open(&host, leaves, LEAF).await;
        let took = read(&file, 0..leaves * LEAF).await;
        // A file of one leaf has that leaf already, since opening the file fetched it.
        let expected = LATENCY * (round_trips - u32::from(leaves == 1));
        assert_eq!(took, expected, "{leaves}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_has_few_and_never_waits() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, _) = open(&host, 64, LEAF).await;
    for leaf in 0..64 {
        let took = read(&file, leaf * LEAF..(leaf + 1) * LEAF).await;
        assert!(leaf <= 1 || took.is_zero(), "{leaf}: {took:?}");
        tokio::time::sleep(3 * LATENCY).await;
    }
    let most = host.node.stats().in_flight_max;
    assert!(most <= 4, "{most}");
    assert_eq!(host.node.stats().blocks, 64);
}

#[tokio::test(start_paused = true)]
async fn a_fast_backend_needs_few() {
    let node = slow_node();
    let host = Host::new(&node, 256 << 20).await;
    let (file, _) = open(&host, 64, LEAF).await;
    node.clear_script();
    node.script(When::any_block(), Fault::Delay(LATENCY / 100));
    for at in (0..64 * LEAF).step_by(READ) {
        file.read_at(at as u64, READ).await.unwrap();
        // A program that reads 4 MB/s.
        tokio::time::sleep(Duration::from_millis(16)).await;
    }
    let most = host.node.stats().in_flight_max;
    assert!(most <= 4, "{most}");
}

#[tokio::test(start_paused = true)]
async fn random_reads_fetch_just_what_they_touch() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, balanced) = open(&host, 200, LEAF).await;
    let mut touched = std::collections::BTreeSet::new();
    let mut state = 1_usize;
    for _ in 0..100 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Only even leaves are read, so that a fetched neighbour would show. Each is read twice, one part behind the
        // other.
        let leaf = (state >> 33) % 100 * 2;
        let at = leaf * LEAF + (state >> 20) % (LEAF - 8192);
        for at in [at, at + 4096] {
            let bytes = file.read_at(at as u64, 4096).await.unwrap();
            assert_eq!(bytes, expected(at, 4096, LEAF));
        }
        touched.insert(leaf);
    }
    assert_eq!(host.mode.stats().read_ahead_blocks, 0);
    assert_eq!(host.node.distinct_blocks_asked(), touched.len());
    for leaf in touched {
        assert_eq!(host.node.blocks_asked(&balanced.leaves[leaf]), 1);
    }
}

/// Reads until there is much read-ahead, through a pinset with memory for 16 blocks in flight, a third of which
/// read-ahead takes.
async fn with_a_queue() -> (Host, File) {
    let host = Host::with(
        &slow_node(),
        |pinset| pinset.in_flight_bytes(4 << 20),
        256 << 20,
    )
    .await;
    let (file, _) = open(&host, 64, LEAF).await;
    read(&file, 0..4 * LEAF).await;
    settled().await;
    let in_flight = host.node.stats().in_flight;
    assert!((4..=5).contains(&in_flight), "{in_flight}");
    (host, file)
}

#[tokio::test(start_paused = true)]
async fn a_seek_cancels_what_is_queued() {
    let (host, file) = with_a_queue().await;
    let asked = host.node.stats().blocks;
    file.read_at(60 * LEAF as u64, 4096).await.unwrap();
    tokio::time::sleep(20 * LATENCY).await;
    // The two blocks in flight may have completed, but none of the queued ones was fetched.
    let more = host.node.stats().blocks - asked;
    assert!((1..=3).contains(&more), "{more}");
    assert_eq!(host.node.stats().in_flight, 0);
    assert_eq!(host.mode.stats().bytes_in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn a_drop_cancels_what_is_queued_and_on_its_way() {
    let (host, file) = with_a_queue().await;
    let asked = host.node.stats().blocks;
    drop(file);
    settled().await;
    assert_eq!(host.node.stats().in_flight, 0);
    tokio::time::sleep(20 * LATENCY).await;
    assert_eq!(host.node.stats().blocks, asked);
    assert_eq!(host.mode.stats().bytes_in_use, 0);
    assert_eq!(host.mode.stats().bytes_reserved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_skip_into_what_is_ahead_goes_on() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, _) = open(&host, 64, LEAF).await;
    read(&file, 0..3 * LEAF).await;
    settled().await;
    // Reads a header in every second leaf, as when an archive is listed.
    let start = Instant::now();
    for leaf in (3..64).step_by(2) {
        file.read_at((leaf * LEAF) as u64, 512).await.unwrap();
    }
    let took = start.elapsed();
    assert!(took <= 6 * LATENCY, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_small_budget_makes_it_small() {
    let host = Host::new(&slow_node(), 8 << 20).await;
    let (file, _) = open(&host, 32, MIB).await;
    for at in (0..32 * MIB).step_by(READ) {
        file.read_at(at as u64, READ).await.unwrap();
        let stats = host.mode.stats();
        assert!(stats.bytes_in_use <= stats.budget_bytes / 4, "{stats:?}");
    }
    // A quarter of the budget, and the block that is being read.
    let most = host.node.stats().in_flight_max;
    assert!(most <= 3, "{most}");
    assert_eq!(
        host.node.stats().blocks,
        32,
        "none was pushed out before its use"
    );
}

#[tokio::test(start_paused = true)]
async fn many_readers_keep_no_more_than_half_the_budget() {
    let host = Host::new(&slow_node(), 16 << 20).await;
    let (file, _) = open(&host, 64, MIB).await;
    let path = format!("/ipfs/{}", file.cid());
    let mut readers = Vec::new();
    for reader in 0..8 {
        let file = host.file(&path).await;
        let start = reader * 8 * MIB;
        for at in (start..start + 2 * MIB).step_by(READ) {
            file.read_at(at as u64, READ).await.unwrap();
        }
        readers.push(file);
    }
    tokio::time::sleep(20 * LATENCY).await;
    let stats = host.mode.stats();
    assert_eq!(stats.bytes_in_use, stats.budget_bytes / 2);
    // There is still room for other blocks.
    assert_eq!(stats.unstaged_blocks, 0);
    drop(readers);
    settled().await;
    assert_eq!(host.mode.stats().bytes_in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_hot_stays() {
    let host = Host::new(&slow_node(), 32 << 20).await;
    let (hot, hot_blocks) = open(&host, 48, LEAF).await;
    for _ in 0..3 {
        read(&hot, 0..48 * LEAF).await;
    }
    let (cold, _) = open(&host, 512, LEAF).await;
    read(&cold, 0..512 * LEAF).await;
    let stats = host.mode.stats();
    assert!(
        stats.evictions > 380 && stats.read_ahead_blocks > 500,
        "{stats:?}"
    );
    host.node.clear_log();
    read(&hot, 0..48 * LEAF).await;
    let again: usize = hot_blocks
        .leaves
        .iter()
        .map(|leaf| host.node.blocks_asked(leaf))
        .sum();
    assert_eq!(again, 0, "of 48 blocks of 12 MiB, after 128 MiB read once");
}

#[tokio::test(start_paused = true)]
async fn what_is_staged_is_not_asked_for_again() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, _) = open(&host, 64, LEAF).await;
    read(&file, 0..64 * LEAF).await;
    host.node.clear_log();
    let ahead = host.mode.stats().read_ahead_blocks;
    assert!(read(&file, 0..64 * LEAF).await.is_zero());
    assert_eq!(host.node.stats().blocks, 0);
    assert_eq!(host.mode.stats().read_ahead_blocks, ahead);
}

#[tokio::test(start_paused = true)]
async fn a_read_over_many_blocks_has_them_side_by_side() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, _) = open(&host, 64, 4096).await;
    let start = Instant::now();
    let bytes = file.read_at(10 * 4096, 14 * 4096).await.unwrap();
    assert_eq!(bytes.len(), 14 * 4096);
    for (n, leaf) in bytes.chunks(4096).enumerate() {
        assert_eq!(leaf, balanced::leaf_bytes((10 + n) * 4096, 4096));
    }
    assert_eq!(start.elapsed(), 2 * LATENCY);
    assert_eq!(host.node.stats().blocks, 14);
}

#[tokio::test(start_paused = true)]
async fn advice_is_heard() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (file, balanced) = open(&host, 128, LEAF).await;
    let at = |leaf: usize| (leaf * LEAF) as u64;

    // `WillNeed` starts fetches at once, side by side, wherever the reads are meanwhile.
    file.advise(at(40), 4 * LEAF as u64, Advice::WillNeed);
    file.advise(at(41), 1, Advice::WillNeed);
    settled().await;
    assert_eq!(host.node.stats().in_flight, 4);
    file.read_at(at(9), 4096).await.unwrap();
    assert!(read(&file, 40 * LEAF..44 * LEAF).await.is_zero());
    assert_eq!(host.node.blocks_asked(&balanced.leaves[41]), 1);

    // It goes no further than read-ahead may go. Leaves that have arrived make room for more.
    let fresh = host.file(&format!("/ipfs/{}", balanced.root)).await;
    settled().await;
    let others = host.node.stats().in_flight;
    fresh.advise(at(60), 0, Advice::WillNeed);
    settled().await;
    assert_eq!(host.node.stats().in_flight, others + 16);
    fresh.advise(at(80), 1, Advice::WillNeed);
    settled().await;
    assert_eq!(host.node.blocks_asked(&balanced.leaves[80]), 0);
    tokio::time::sleep(2 * LATENCY).await;
    fresh.advise(at(80), 1, Advice::WillNeed);
    settled().await;
    assert_eq!(host.node.blocks_asked(&balanced.leaves[80]), 1);
    // `DontNeed` cancels the fetches.
    fresh.advise(at(80), 0, Advice::DontNeed);
    settled().await;
    assert_eq!(host.node.stats().in_flight, 0);

    // A leaf whose fetch failed is requested again by the next advice.
    let failing = &balanced.leaves[90];
    host.node
        .script(When::block(failing).first(2), Fault::Missing);
    for asked in 1..=4 {
        fresh.advise(at(90), 1, Advice::WillNeed);
        tokio::time::sleep(2 * LATENCY).await;
        assert_eq!(host.node.blocks_asked(failing), asked.min(3));
    }

    // `Sequential` starts read-ahead at the first read.
    let fresh = host.file(&format!("/ipfs/{}", balanced.root)).await;
    fresh.advise(0, 0, Advice::Sequential);
    fresh.read_at(at(100), 10).await.unwrap();
    settled().await;
    assert_eq!(host.node.stats().in_flight, 4);
    // `Random` stops read-ahead, and cancels the fetches in flight.
    fresh.advise(0, 0, Advice::Random);
    settled().await;
    assert_eq!(host.node.stats().in_flight, 0);
    host.node.clear_log();
    fresh.advise(0, 0, Advice::NoReuse);
    for at in (110 * LEAF..114 * LEAF).step_by(READ) {
        fresh.read_at(at as u64, READ).await.unwrap();
    }
    assert_eq!(host.node.stats().blocks, 4);
    assert_eq!(host.node.stats().in_flight_max, 1);
    fresh.advise(0, 0, Advice::Normal);
    read(&fresh, 114 * LEAF..115 * LEAF).await;
    settled().await;
    assert_eq!(host.node.stats().in_flight, 4);
    drop((file, fresh));
    until("the end", || host.node.stats().in_flight == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_ahead_is_met_where_it_is() {
    let node = slow_node();
    let host = Host::new(&node, 256 << 20).await;
    let (file, balanced) = open(&host, 32, LEAF).await;
    node.remove(&balanced.leaves[9]);
    read(&file, 0..9 * LEAF).await;
    let error = file.read_at(9 * LEAF as u64, READ).await.unwrap_err();
    assert!(matches!(error, pinset::Error::Fetch { cid, .. } if cid == balanced.leaves[9]));
    read(&file, 10 * LEAF..32 * LEAF).await;
    let failures = host.mode.stats().fetch_failures_by_kind;
    assert_eq!(failures.not_found, failures.total());
    assert!(failures.not_found >= 1);

    // Read-ahead does not report a leaf of an unsupported codec either.
    let mut children: Vec<_> = balanced.leaves[..8]
        .iter()
        .map(|leaf| (*leaf, LEAF as u64, LEAF as u64))
        .collect();
    children[5].0 = cid::Cid::new_v1(0x71, *children[5].0.hash());
    let (root, ..) = balanced::inner(&node, &children);
    let file = host.file(&format!("/ipfs/{root}")).await;
    for at in (0..5 * LEAF).step_by(READ) {
        file.read_at(at as u64, READ).await.unwrap();
    }
    let error = file.read_at(5 * LEAF as u64, READ).await.unwrap_err();
    assert!(
        matches!(error, pinset::Error::Unsupported { .. }),
        "{error}"
    );
}

/// A read that ends at a block which is not here still counts, with the bytes that it served.
#[tokio::test(start_paused = true)]
async fn a_read_that_is_served_in_part_is_one() {
    let host = Host::new(&slow_node(), 256 << 20).await;
    let (other, balanced) = open(&host, 16, LEAF).await;
    let at = 3 * LEAF as u64;
    other.read_at(at, 1).await.unwrap();
    let file = host.file(&format!("/ipfs/{}", balanced.root)).await;
    file.advise(0, 0, Advice::Sequential);
    settled().await;
    host.node.clear_log();
    let served = file.try_read_at(at, LEAF + 1).unwrap().unwrap();
    assert_eq!(served, expected(3 * LEAF, LEAF, LEAF));
    settled().await;
    assert!(
        host.node.stats().blocks > 0,
        "the next ones are on their way"
    );
}
