//! The index beside the slots: its part of the budget, and the state after a record could not be written or a slot
//! could not be freed.

use multihash_codetable::{Code, MultihashDigest as _};

use super::{crash::resumed, *};
use crate::{
    Key,
    class::JOURNAL_LEN,
    disk::record::RECORD_LEN,
    evict::retry,
    steps::{Step, steps_of},
};

const CAPACITY: u64 = 8 << 20;

fn key(bytes: &[u8]) -> Key {
    Code::Sha2_256.digest(bytes)
}

fn try_stage(staging: &Staging, block: &[u8]) -> Result<Extent, StagingError> {
    let reservation = staging.reserve(block.len()).expect("room");
    staging.write_as(reservation, &key(block), block)
}

fn evict(extent: Extent) {
    extent.discard();
    drop(extent);
}

#[test]
fn a_unit_is_taken_with_its_first_record_and_given_back_with_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, warm) = resumed(dir.path(), CAPACITY);
    assert!(warm.is_empty());
    let unit = staging.charge(1);
    let a_unit = unit as usize / RECORD_LEN;
    let mut all = Vec::new();
    for n in 0..a_unit + 1 {
        all.push(try_stage(&staging, &bytes(n as u64, n + 1)).unwrap());
        let units = if n < a_unit { 1 } else { 2 };
        assert_eq!(staging.usage().index_bytes, units * unit, "{n}");
    }
    let on_disk = || fs::metadata(dir.path().join("staging/index-4096")).unwrap();
    assert_eq!(on_disk().blocks() * 512, 2 * unit);
    evict(all.pop().unwrap());
    assert_eq!(staging.usage().index_bytes, unit);
    assert_eq!(on_disk().blocks() * 512, unit);
    let usage = staging.usage();
    assert_eq!(usage.reserved, (a_unit as u64 + 1) * unit);
    assert_eq!(usage.descriptors, 2);
    // A block without a key has no record.
    let nameless = staging.write(staging.reserve(5).unwrap(), &[1; 5]).unwrap();
    assert_eq!(staging.usage().slots, a_unit as u64 + 1);
    drop((nameless, all, staging));
    let (staging, warm) = resumed(dir.path(), CAPACITY);
    assert_eq!(warm.len(), a_unit);
    assert_eq!(staging.usage().reserved, usage.reserved);
    warm.into_iter().for_each(|warm| evict(warm.extent));
    assert_eq!(staging.usage().reserved, 0);
    assert_eq!(on_disk().blocks(), 0);
}

#[test]
fn a_commit_and_an_eviction_go_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let mut extents = Vec::new();
    let commit = [
        Step::SlotTaken,
        Step::BytesWritten,
        Step::RecordWritten,
        Step::CommitPublished,
    ];
    for n in 0..2 {
        let done = steps_of(|| extents.push(try_stage(&staging, &bytes(n, 5000)).unwrap()));
        assert_eq!(done, commit);
    }
    let done = steps_of(|| evict(extents.pop().unwrap()));
    let eviction = [
        Step::SlotClaimed,
        Step::RecordCleared,
        Step::EvictionPublished,
        Step::SlotPunched,
        Step::ClaimReleased,
    ];
    assert_eq!(done, eviction);
    // The next record is the last of its unit.
    let done = steps_of(|| evict(extents.pop().unwrap()));
    assert_eq!(
        done[..3],
        [Step::SlotClaimed, Step::RecordCleared, Step::UnitPunched]
    );
    assert_eq!(done[3..], eviction[2..]);
}

#[test]
fn a_record_without_room_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let mut all = Vec::new();
    while let Some(reservation) = staging.reserve(4096) {
        all.push(reservation);
    }
    all.pop();
    let reserved = staging.usage().reserved;
    let refused = try_stage(&staging, &bytes(1, 4000)).unwrap_err();
    assert!(
        matches!(refused, StagingError::NoRoomForRecord),
        "{refused}"
    );
    let usage = staging.usage();
    assert_eq!((usage.reserved, usage.slots), (reserved, 0));
    all.pop();
    let kept = try_stage(&staging, &bytes(1, 4000)).unwrap();
    assert_eq!(read(&kept, 0, 4000), bytes(1, 4000));
}

#[test]
fn a_record_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let in_the_way = dir.path().join("staging/index-8192");
    fs::create_dir(&in_the_way).unwrap();
    let block = bytes(1, 5000);
    for _ in 0..2 {
        let refused = try_stage(&staging, &block).unwrap_err();
        assert!(
            matches!(refused, StagingError::NotAFile { .. }),
            "{refused}"
        );
        let usage = staging.usage();
        assert_eq!((usage.reserved, usage.slots), (0, 0));
    }
    // If the written bytes cannot be freed either, freeing them is tried again when there is no room.
    PUNCH_FAILS.set(true);
    try_stage(&staging, &block).unwrap_err();
    PUNCH_FAILS.set(false);
    let charge = staging.charge(5000);
    assert_eq!(staging.usage().leaked_bytes, charge);
    fs::remove_dir(&in_the_way).unwrap();
    let kept = try_stage(&staging, &block).unwrap();
    assert!(retry(&staging.volume));
    let usage = staging.usage();
    assert_eq!((usage.leaked_bytes, usage.slots), (0, 1));
    assert_eq!(usage.reserved, charge + usage.index_bytes);
    assert_eq!(read(&kept, 0, 5000), block);
}

#[test]
fn what_cannot_be_freed_is_freed_when_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let block = bytes(1, 2 * MIB);
    let room_before = staging.for_blocks();
    let extents: Vec<_> = (1..4)
        .map(|n| try_stage(&staging, &bytes(n, 2 * MIB)).unwrap())
        .collect();
    PUNCH_FAILS.set(true);
    extents.into_iter().for_each(evict);
    PUNCH_FAILS.set(false);
    let usage = staging.usage();
    assert_eq!((usage.leaked_bytes, usage.slots), (6 << 20, 0));
    // The unit of the index could not be punched either: it stays charged.
    assert_eq!(
        staging.for_blocks(),
        room_before - usage.leaked_bytes - usage.index_bytes
    );
    let kept = try_stage(&staging, &block).unwrap();
    assert_eq!(staging.usage().leaked_bytes, 0);
    evict(kept);
    assert_eq!(staging.usage().reserved, 0);
    assert_eq!(staging.for_blocks(), room_before);
}

#[test]
fn the_budget_holds_with_an_index_under_load() {
    const TEST: &str = "tests::index::the_budget_holds_with_an_index_under_load";
    on_own(TEST, "tmpfs", "size=64m,mode=700", |dir| {
        let capacity = 3 << 20;
        let (staging, _) = resumed(dir, capacity);
        let done = AtomicBool::new(false);
        let refused = AtomicU64::new(0);
        let most = thread::scope(|scope| {
            let sampler = scope.spawn(|| {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(used_of_file_system(dir));
                }
                most
            });
            let workers: Vec<_> = (1..=8)
                .map(|seed| {
                    let (staging, refused) = (&staging, &refused);
                    scope.spawn(move || {
                        let mut random = Random(seed * 0x1234_5678_9abc);
                        let mut live = Vec::new();
                        for n in 0..1500 {
                            // Mostly small blocks, since they have the most records.
                            let power = random.below(16);
                            let len = 1 + random.below(1 << power) as usize;
                            let block = bytes(seed << 32 | n, len);
                            let Some(reservation) = staging.reserve(len) else {
                                live.drain(..live.len() / 2).for_each(evict);
                                continue;
                            };
                            match staging.write_as(reservation, &key(&block), &block) {
                                Ok(extent) => live.push(extent),
                                Err(StagingError::NoRoomForRecord) => {
                                    refused.fetch_add(1, Ordering::Relaxed);
                                    live.drain(..live.len() / 2).for_each(evict);
                                }
                                Err(error) => panic!("{error}"),
                            }
                        }
                        live.into_iter().for_each(evict);
                    })
                })
                .collect();
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            done.store(true, Ordering::Relaxed);
            ended
                .into_iter()
                .for_each(|worker| worker.expect("a worker"));
            sampler.join().expect("the sampler")
        });
        assert!(most <= capacity, "{most} used of {capacity}");
        assert!(most > capacity / 2, "never under pressure: {most}");
        let usage = staging.usage();
        assert_eq!((usage.reserved, usage.slots, usage.leaked_bytes), (0, 0, 0));
        let (layout, changes) = (4096, JOURNAL_LEN);
        assert_eq!(used_of_file_system(dir), layout + changes, "left behind");
    });
}
