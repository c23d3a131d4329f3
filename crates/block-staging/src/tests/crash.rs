//! The process is killed at every step of a commit, of an eviction and of a start: the next start sweeps the remains,
//! and has all committed blocks.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
};

use multihash_codetable::{Code, MultihashDigest as _};

use super::*;
use crate::{
    Key, Warm,
    disk::layout,
    space::budget::Budget,
    steps::{Step, arm},
};

/// Tells a child the step to be killed at, how often to let it pass before, its first block, and the budget.
const CRASH: &str = "PINSET_TEST_CRASH";

/// The block with this number. Its size is up to 40 KB; small blocks are more frequent.
fn block(number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let most = 1 << random.below(16);
    bytes(number, 1 + random.below(most + 7000) as usize)
}

fn key(bytes: &[u8]) -> Key {
    Code::Sha2_256.digest(bytes)
}

pub(super) fn resumed(dir: &Path, capacity: u64) -> (Staging, Vec<Warm>) {
    let dir = private_dir_of(dir);
    assert!(layout::try_lock(&dir).unwrap(), "somebody holds the lock");
    let resumed = Staging::resume(dir, Budget::alone(capacity), None);
    let (staging, earlier) = resumed.expect("a warm start");
    (staging, earlier.collect())
}

/// The space that the file system reports for the slot files and the index.
fn blocks_on_disk(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    files
        .filter(|file| {
            let name = file.file_name().into_string().unwrap();
            name.starts_with("slots-") || name.starts_with("index-")
        })
        .map(|file| file.metadata().unwrap().blocks() * 512)
        .sum()
}

/// Stages blocks from number `first` on, and evicts the oldest, until it is killed. It keeps a log: `+n` once block `n`
/// is committed, `-n` before it is evicted.
fn load(dir: &Path, first: u64, capacity: u64) {
    let mut journal = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("journal"))
        .unwrap();
    let (staging, warm) = resumed(dir, capacity);
    let mut live: VecDeque<(Option<u64>, Extent)> =
        warm.into_iter().map(|warm| (None, warm.extent)).collect();
    for number in first..first + 20_000 {
        let block = block(number);
        let charges = |live: &VecDeque<(_, Extent)>| -> u64 {
            live.iter().map(|(_, extent)| extent.charge()).sum()
        };
        while charges(&live) + staging.charge(block.len()) > staging.for_blocks() {
            let (old, extent) = live.pop_front().expect("there is room for one");
            say_evicted(&mut journal, old);
            assert!(extent.claim());
            extent.discard();
        }
        let reservation = staging.reserve(block.len()).expect("room");
        match staging.write_as(reservation, &key(&block), &block) {
            Ok(extent) => {
                live.push_back((Some(number), extent));
                let committed = format!("+{number}\n");
                journal.write_all(committed.as_bytes()).unwrap();
            }
            Err(StagingError::NoRoomForRecord) => {
                let (old, extent) = live.pop_front().expect("there is room for one");
                say_evicted(&mut journal, old);
                extent.discard();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Logs an eviction. Blocks of an earlier child have no number and are not logged.
fn say_evicted(journal: &mut fs::File, number: Option<u64>) {
    if let Some(number) = number {
        journal
            .write_all(format!("-{number}\n").as_bytes())
            .unwrap();
    }
}

/// The blocks that must be staged according to the log of one child.
fn committed(dir: &Path) -> BTreeMap<Key, Vec<u8>> {
    let journal = fs::read_to_string(dir.join("journal")).unwrap_or_default();
    let numbers = |sign: char| -> Vec<u64> {
        let lines = journal.lines().filter_map(|line| line.strip_prefix(sign));
        lines.map(|number| number.parse().unwrap()).collect()
    };
    let gone = numbers('-');
    let all = numbers('+').into_iter();
    all.filter(|number| !gone.contains(number))
        .map(|number| {
            let block = block(number);
            (key(&block), block)
        })
        .collect()
}

#[test]
fn killed_at_every_step_the_next_start_has_what_was_committed_and_nothing_else() {
    const TEST: &str = "tests::crash::\
        killed_at_every_step_the_next_start_has_what_was_committed_and_nothing_else";
    on_own(TEST, "tmpfs", "size=64m,mode=700", |dir| {
        if let Ok(crash) = env::var(CRASH) {
            let numbers: Vec<u64> = crash.split(' ').map(|n| n.parse().unwrap()).collect();
            let [step, pass, first, capacity] = numbers[..] else {
                panic!("{crash}");
            };
            arm(Step::ALL[step as usize], pass as u32);
            load(dir, first, capacity);
            panic!("the step was not reached");
        }
        let mut first = 0;
        for round in 0..3_u32 {
            for (n, step) in Step::ALL.into_iter().enumerate() {
                let often = match step {
                    Step::DroppedAtStart | Step::IndexSwept | Step::SlotsSwept => round,
                    Step::UnitPunched => 2 * round,
                    _ => 150 * round,
                };
                // A start drops blocks if its budget is smaller than the last one's.
                let capacity = match step {
                    Step::DroppedAtStart => 1 << 20,
                    _ => 2 << 20,
                };
                let _ = fs::remove_file(dir.join("journal"));
                let status = child(TEST, dir)
                    .env(CRASH, format!("{n} {often} {first} {capacity}"))
                    .status()
                    .unwrap();
                assert_eq!(status.signal(), Some(9), "{step:?} {often}: {status}");
                check(dir, step, capacity);
                first += 20_000;
            }
        }
    });
}

/// Checks the directory after a child was killed.
fn check(dir: &Path, step: Step, capacity: u64) {
    let committed = committed(dir);
    let staging_dir = dir.join("staging");
    let (staging, warm) = resumed(dir, capacity);
    let mut there = BTreeMap::new();
    for block in warm {
        let bytes = block.extent.read_blocking(0, usize::MAX).unwrap();
        assert!(key(&bytes) == block.key, "{step:?}: wrong bytes");
        assert!(
            there.insert(block.key, block.extent).is_none(),
            "{step:?}: twice"
        );
    }
    for key in committed.keys() {
        assert!(there.contains_key(key), "{step:?}: a block is lost");
    }
    let usage = staging.usage();
    assert_eq!(usage.slots, there.len() as u64, "{step:?}");
    assert_eq!(usage.leaked_bytes, 0, "{step:?}");
    assert_eq!(blocks_on_disk(&staging_dir), usage.reserved, "{step:?}");
    assert!(disk_usage(&staging_dir) <= capacity, "{step:?}");
    if matches!(step, Step::UnitPunched) {
        assert!(there.len() > 10, "{step:?}: {} blocks", there.len());
    }
}
