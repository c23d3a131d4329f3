//! Followers: leases, updates, and how the writer respects leases. Two open directories in one process behave like two
//! processes: each has its own locks.

use multihash_codetable::{Code, MultihashDigest as _};

use super::{crash::resumed, *};
use crate::{Follower, Key, Leased, disk::layout, evict::retry, stored};

const CAPACITY: u64 = 8 << 20;

fn key(bytes: &[u8]) -> Key {
    Code::Sha2_256.digest(bytes)
}

fn stage_as(staging: &Staging, block: &[u8]) -> Extent {
    let reservation = staging.reserve(block.len()).expect("room");
    staging
        .write_as(reservation, &key(block), block)
        .expect("a written block")
}

fn follow(dir: &Path) -> Follower {
    Follower::open(private_dir_of(dir)).expect("a directory to follow")
}

fn find(follower: &Follower, block: &[u8]) -> Option<Leased> {
    follower.lease(&key(block)).expect("a look-up")
}

fn evict(extent: Extent) {
    extent.discard();
    drop(extent);
}

#[test]
fn what_comes_and_goes_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let reader = follow(dir.path());
    let block = |n: u64| bytes(n, 3000 + n as usize * 40);
    assert!(find(&reader, &block(0)).is_none(), "nobody has been here");
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let first = stage_as(&staging, &block(0));
    let found = find(&reader, &block(0)).unwrap();
    assert!(!found.verified);
    assert_eq!(found.extent.read_blocking(0, usize::MAX).unwrap(), block(0));
    assert_eq!(found.extent.charge(), 0);
    reader.mark_verified(&key(&block(0)), found.change);
    assert!(find(&reader, &block(0)).unwrap().verified);
    drop(found);
    evict(first);
    assert!(find(&reader, &block(0)).is_none());
    // The same block, staged again, counts as unverified.
    let again = stage_as(&staging, &block(0));
    let found = find(&reader, &block(0)).unwrap();
    assert!(!found.verified);
    reader.mark_verified(&key(&block(0)), found.change);
    // More changes than the ring holds: the index is read again, and a verified block stays verified.
    let more: Vec<_> = (1..1500)
        .map(|n| stage_as(&staging, &bytes(n, 1 + n as usize % 90)))
        .collect();
    assert!(find(&reader, &block(0)).unwrap().verified);
    for n in [1, 700, 1499] {
        let block = bytes(n, 1 + n as usize % 90);
        let found = find(&reader, &block).unwrap();
        assert_eq!(found.extent.read_blocking(0, usize::MAX).unwrap(), block);
    }
    reader.mark_wrong(&key(&block(0)));
    assert!(find(&reader, &block(0)).is_none(), "wrong until it changes");
    drop((again, more));
}

#[test]
fn a_leased_block_is_not_freed_before_the_lease_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let block = bytes(1, 9000);
    let extent = stage_as(&staging, &block);
    let readers = [follow(dir.path()), follow(dir.path())];
    let leases = readers
        .each_ref()
        .map(|reader| find(reader, &block).unwrap());
    let again = find(&readers[0], &block).unwrap();
    assert!(!extent.claim());
    // A wrong block is evicted even if it is leased: from the index at once, and from the disk when possible.
    evict(extent);
    let usage = staging.usage();
    let charge = staging.charge(9000);
    assert_eq!((usage.leaked_bytes, usage.slots), (charge, 0));
    assert!(find(&readers[0], &block).is_none());
    for lease in leases {
        assert!(!retry(&staging.volume));
        assert_eq!(lease.extent.read_blocking(0, usize::MAX).unwrap(), block);
        drop(lease);
    }
    assert!(!retry(&staging.volume), "the first reader has it twice");
    drop(again);
    assert!(retry(&staging.volume));
    let usage = staging.usage();
    assert_eq!((usage.leaked_bytes, usage.reserved), (0, usage.index_bytes));
    assert_eq!(usage.index_bytes, 0);
}

#[test]
fn what_is_leased_is_not_swept_by_the_one_that_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let blocks: Vec<_> = (0..4).map(|n| bytes(n, 1 << 20)).collect();
    let reader = follow(dir.path());
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let extents: Vec<_> = blocks
        .iter()
        .map(|block| stage_as(&staging, block))
        .collect();
    let leases: Vec<_> = blocks
        .iter()
        .map(|block| find(&reader, block).unwrap())
        .collect();
    drop((extents, staging));
    // The budget has room for two of the four blocks.
    let (staging, warm) = resumed(dir.path(), 5 << 19);
    assert_eq!(warm.len(), 2);
    assert_eq!(staging.usage().leaked_bytes, 2 << 20);
    assert!(staging.reserve(4096).is_none(), "it is over its budget");
    for (lease, block) in leases.iter().zip(&blocks) {
        assert!(lease.extent.read_blocking(0, usize::MAX).unwrap() == *block);
    }
    drop(leases);
    assert!(staging.reserve(4096).is_some());
    assert_eq!(staging.usage().leaked_bytes, 0);
    assert!(disk_usage(&dir.path().join("staging")) <= 5 << 19);
}

#[test]
fn only_one_holds_the_lock_however_the_files_change() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let other = private_dir_of(dir.path());
    assert!(!layout::try_lock(&other).unwrap());
    for file in fs::read_dir(dir.path().join("staging")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert!(!layout::try_lock(&other).unwrap());
    let kept = stage_as(&staging, &[1; 100]);
    drop(staging);
    assert!(
        !layout::try_lock(&other).unwrap(),
        "a block of it is in use"
    );
    drop(kept);
    assert!(layout::try_lock(&other).unwrap());
}

#[test]
fn what_the_journal_did_not_say_is_seen_under_the_lease() {
    let dir = tempfile::tempdir().unwrap();
    let ring = dir.path().join("staging/changes");
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let (one, other) = (bytes(1, 9000), bytes(2, 9000));
    let extent = stage_as(&staging, &one);
    let reader = follow(dir.path());
    drop(find(&reader, &one).unwrap());
    let before = fs::read(&ring).unwrap();
    evict(extent);
    let extent = stage_as(&staging, &other);
    fs::write(&ring, &before).unwrap();
    // The slot holds another block by now.
    assert!(find(&reader, &one).is_none());
    evict(extent);
    let again = stage_as(&staging, &one);
    fs::write(&ring, &before).unwrap();
    // The slot holds the same block again, but of another change: the follower has to fetch it, which is harmless.
    assert!(find(&reader, &one).is_none());
    drop(again);
}

#[test]
fn what_is_claimed_or_half_there_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let block = bytes(1, 9000);
    let extent = stage_as(&staging, &block);
    assert!(extent.claim());
    let reader = follow(dir.path());
    assert!(find(&reader, &block).is_none());
    let verified = stored::verify(&path, stored::Rotten::Report, |_, _| true, |_| ()).unwrap();
    assert_eq!((verified.blocks, verified.gone), (0, 1));
    evict(extent);
    // A block without a record, in a class without an index file: its eviction is not published.
    let nameless = staging.write(staging.reserve(100).unwrap(), &[1; 100]);
    evict(nameless.unwrap());
    assert!(find(&reader, &block).is_none());
    let extent = stage_as(&staging, &block);
    fs::rename(path.join("slots-16384"), path.join("aside")).unwrap();
    assert!(
        find(&reader, &block).is_none(),
        "there is a record, but no slot file"
    );
    fs::rename(path.join("aside"), path.join("slots-16384")).unwrap();
    let found = find(&follow(dir.path()), &block).unwrap();
    let shown = format!(
        "{staging:?} {extent:?} {:?} {found:?} {reader:?}",
        staging.reserve(1)
    );
    for what in ["Staging", "Extent", "Reservation", "Follower"] {
        assert!(shown.contains(what), "{shown}");
    }
}

#[test]
fn a_read_only_file_system_is_asked_again_whether_it_still_is() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    assert!(staging.takes_writes());
    staging.volume.read_only.store(true, Ordering::Relaxed);
    assert!(staging.takes_writes(), "it is not, any more");
    assert!(!staging.volume.read_only.load(Ordering::Relaxed));
}

#[test]
fn a_commit_that_fails_hides_nothing_that_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (staging, _) = resumed(dir.path(), CAPACITY);
    let reader = follow(dir.path());
    assert!(find(&reader, &bytes(1, 100)).is_none());
    // There is room for a block, but not for the unit of its record.
    let mut all: Vec<_> = std::iter::from_fn(|| staging.reserve(4096)).collect();
    all.pop();
    let block = bytes(1, 4000);
    let reservation = staging.reserve(block.len()).unwrap();
    let refused = staging.write_as(reservation, &key(&block), &block);
    assert!(matches!(refused, Err(StagingError::NoRoomForRecord)));
    drop(all);
    let _extent = stage_as(&staging, &block);
    assert!(find(&reader, &block).is_some());
}
