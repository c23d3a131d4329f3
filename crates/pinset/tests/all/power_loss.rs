//! A simulated power loss. Nothing in persistent staging is ever synced, so after a power loss any write may be
//! missing, torn, or lost with the bytes that it replaced. Whatever is left, no wrong byte is served, and intact blocks
//! are used.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use cid::Cid;
use pinner_mock::MockNode;
use pinset::CacheMode;
use test_support::staged::{Place, block, put};

use crate::pinsets::{open, read};

const BUDGET: u64 = 4 << 20;
const SEEDS: u64 = 24;
const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A small generator, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % end
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn size(number: usize) -> usize {
    1 + (number * 7919) % 13_000 + if number.is_multiple_of(20) { 90_000 } else { 0 }
}

/// A file's length, and its bytes up to the last one that is not zero.
#[derive(Default)]
struct Content {
    len: usize,
    bytes: Vec<u8>,
}

impl Content {
    /// Returns `len` bytes from `start`, as a read would.
    fn at(&self, start: usize, len: usize) -> Vec<u8> {
        let from = self.bytes.get(start..).unwrap_or(&[]);
        let mut bytes = from[..len.min(from.len())].to_vec();
        bytes.resize(len, 0);
        bytes
    }
}

/// The content of each file of a directory.
type Snapshot = BTreeMap<String, Content>;

fn snapshot(dir: &Path) -> Snapshot {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            let mut bytes = fs::read(file.path()).unwrap();
            let len = bytes.len();
            let end = bytes.iter().rposition(|byte| *byte != 0);
            bytes.truncate(end.map_or(0, |last| last + 1));
            (name, Content { len, bytes })
        })
        .collect()
}

/// Writes a state that the disk may have if the power fails on the way from `old` to `new`.
fn lose(random: &mut Random, old: &Snapshot, new: &Snapshot, to: &Path) {
    // The share of pages that reached the disk, and the shares that are torn and lost.
    let written = random.below(101);
    let (torn, lost) = (random.below(30), random.below(30));
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for (name, new) in new {
        // This file was synced when it was made.
        let synced = name == "layout";
        let none = Content::default();
        let before = old.get(name);
        if before.is_none() && !synced && random.percent(20) {
            continue;
        }
        let old = before.unwrap_or(&none);
        let len = match random.percent(80) || synced {
            true => new.len,
            false => old.len,
        };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(to.join(name)).unwrap();
        file.set_len(len as u64).unwrap();
        let end = len.min(old.bytes.len().max(new.bytes.len()));
        for start in (0..end).step_by(PAGE) {
            let mut page = match random.percent(written) || synced {
                true => new.at(start, PAGE),
                false => old.at(start, PAGE),
            };
            if random.percent(lost) && !synced {
                page.fill(0);
            }
            if random.percent(torn) && !synced {
                for sector in (0..PAGE).step_by(SECTOR) {
                    let from = if random.percent(50) { new } else { old };
                    let bytes = from.at(start + sector, SECTOR);
                    page[sector..sector + SECTOR].copy_from_slice(&bytes);
                }
            }
            page.truncate(len - start);
            if page.iter().any(|byte| *byte != 0) {
                file.write_all_at(&page, start as u64).unwrap();
            }
        }
    }
}

async fn all_is_right(
    mode: &CacheMode,
    cids: &[Cid],
    which: impl Iterator<Item = usize>,
    seed: u64,
) {
    for n in which {
        let bytes = read(mode, &cids[n]).await.unwrap();
        assert!(
            bytes == block(n, size(n)),
            "seed {seed}: block {n} is wrong"
        );
    }
}

#[tokio::test]
async fn any_subset_of_the_writes_may_be_missing_or_torn() {
    let node = MockNode::new();
    let cids: Vec<_> = (0..900).map(|n| put(&node, n, size(n))).collect();
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    // Two states under a full budget. Between them slots have been freed, and taken by other blocks.
    let mut states = Vec::new();
    for range in [0..500, 300..900] {
        let mode = open(&place, &node, BUDGET).await;
        all_is_right(&mode, &cids, range, 0).await;
        assert!(mode.stats().evictions > 20, "{:?}", mode.stats());
        place.end(mode).await;
        states.push(snapshot(&place.staging()));
    }
    let [old, new] = &states[..] else {
        unreachable!()
    };
    let (mut rotten, mut reverified) = (0, 0);
    for seed in 1..=SEEDS {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let lost = tempfile::tempdir().unwrap();
        let place = Place(lost.path().to_owned());
        lose(&mut random, old, new, &place.staging());
        let mode = open(&place, &node, BUDGET).await;
        assert!(place.disk_usage() <= BUDGET, "seed {seed}");
        // The youngest blocks first, before anything is evicted for the others.
        all_is_right(&mode, &cids, (0..cids.len()).rev(), seed).await;
        assert!(place.disk_usage() <= BUDGET, "seed {seed}");
        let stats = mode.stats();
        rotten += stats.blocks_rotten;
        reverified += stats.blocks_reverified;
        place.end(mode).await;
        // The repaired blocks stay right.
        let mode = open(&place, &node, BUDGET).await;
        all_is_right(&mode, &cids, (0..100).rev(), seed).await;
        assert_eq!(mode.stats().blocks_rotten, 0, "seed {seed}");
        place.end(mode).await;
    }
    // Both must happen, or the test shows nothing.
    assert!(rotten > 100, "{rotten} rotten");
    assert!(reverified > 200, "{reverified} reverified");
}
