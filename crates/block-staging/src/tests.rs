//! Staging on real file systems: the one for temporary files, and ones that a test mounts.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cap_std::{ambient_authority, fs::Dir};
use test_support::file_system::{child, on_own, place};

use crate::{
    Extent, MAX_STAGED, Staging, StagingError,
    class::CLASSES,
    lock_dir::{StagingDir, private_dir},
    platform::linux::{PUNCH_FAILS, PUNCHES},
};

mod crash;
mod follower;
mod format;
mod index;
mod members;

const MIB: usize = 1 << 20;

fn staging_in(dir: &Path, capacity: u64) -> Staging {
    Staging::create(dir_of(dir), capacity).expect("a staging directory")
}

fn dir_of(dir: &Path) -> StagingDir {
    let opened = Dir::open_ambient_dir(dir, ambient_authority()).expect("a directory");
    StagingDir::from_dir(opened, dir)
}

/// A directory for persistent staging, created if it does not exist.
pub(crate) fn private_dir_of(dir: &Path) -> StagingDir {
    let opened = private_dir::open_or_make(&dir.join("staging")).expect("a directory");
    StagingDir::from_dir(opened, dir)
}

/// Bytes that are never zero, and differ by block and by offset.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (seed.wrapping_mul(31) ^ n ^ (n >> 8)) as u8 | 1)
        .collect()
}

fn stage(staging: &Staging, bytes: &[u8]) -> Extent {
    let reservation = staging.reserve(bytes.len()).expect("room");
    staging.write(reservation, bytes).expect("a written block")
}

fn read(extent: &Extent, offset: usize, len: usize) -> Vec<u8> {
    match extent.try_read(offset, len).expect("a read") {
        Some(bytes) => bytes,
        None => extent.read_blocking(offset, len).expect("a blocking read"),
    }
}

/// The space that the file system reports for a directory and the files in it.
fn disk_usage(dir: &Path) -> u64 {
    sizes_on_disk(dir).iter().sum()
}

fn sizes_on_disk(dir: &Path) -> Vec<u64> {
    let files = fs::read_dir(dir).expect("a directory");
    let paths = files.map(|file| file.expect("an entry").path());
    std::iter::once(dir.to_owned())
        .chain(paths)
        .map(|path| fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512))
        .collect()
}

/// The same under load: `None` if a block came or went while the files were examined one after the other. A block that
/// goes from an examined file makes room for another in a file not yet examined, and both would be counted.
fn disk_usage_at_once(dir: &Path) -> Option<u64> {
    let sizes = sizes_on_disk(dir);
    (sizes == sizes_on_disk(dir)).then(|| sizes.iter().sum())
}

/// The used space of the file system whose root is `dir`.
fn used_of_file_system(dir: &Path) -> u64 {
    let stat = rustix::fs::statvfs(dir).expect("statvfs");
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

/// A small random number generator, seeded so that a failure can be reproduced.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn every_interesting_size_comes_back_and_costs_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let staging = staging_in(dir.path(), 64 << 20);
    let empty = disk_usage(dir.path());
    let unit = staging.charge(1) as usize;
    let sizes = [
        0,
        1,
        4095,
        4096,
        4097,
        8191,
        8192,
        8193,
        65536,
        65537,
        MIB,
        MIB + 1,
        2 * MIB - 1,
        2 * MIB,
    ];
    let mut kept = Vec::new();
    let mut charged = 0;
    for (seed, len) in sizes.into_iter().enumerate() {
        let block = bytes(seed as u64, len);
        let extent = stage(&staging, &block);
        charged += len.next_multiple_of(unit) as u64;
        assert_eq!(extent.charge(), len.next_multiple_of(unit) as u64);
        assert_eq!((extent.len(), extent.is_empty()), (len, len == 0));
        kept.push((extent, block));
    }
    assert_eq!(staging.usage().reserved, charged);
    let on_disk = disk_usage(dir.path()) - empty;
    assert!(
        (charged..=charged + 10 * unit as u64).contains(&on_disk),
        "{on_disk} on disk for {charged} charged"
    );
    for (extent, block) in &kept {
        let len = block.len();
        assert_eq!(read(extent, 0, usize::MAX), *block);
        assert_eq!(extent.read_blocking(0, usize::MAX).unwrap(), *block);
        for offset in [
            0,
            1,
            len / 2,
            len.saturating_sub(1),
            len,
            len + 1,
            usize::MAX,
        ] {
            for want in [0, 1, 4096, 65536] {
                let end = offset.saturating_add(want).min(len);
                let expected = block
                    .get(offset.min(len)..end.max(offset.min(len)))
                    .unwrap();
                assert_eq!(
                    read(extent, offset, want),
                    expected,
                    "{len} {offset} {want}"
                );
                assert_eq!(extent.read_blocking(offset, want).unwrap(), expected);
            }
        }
    }
    let usage = staging.usage();
    assert_eq!(usage.slots, sizes.len() as u64 - 1);
    assert!(usage.descriptors <= CLASSES as u64);
    drop(kept);
    let usage = staging.usage();
    assert_eq!((usage.reserved, usage.slots), (0, 0));
    let left = disk_usage(dir.path());
    assert!(left <= empty, "{left} left on disk of {empty} at the start");
}

#[test]
fn more_than_a_block_and_more_than_there_is_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let staging = staging_in(dir.path(), 64 << 20);
    assert!(staging.reserve(MAX_STAGED + 1).is_none());
    assert!(staging.reserve(usize::MAX).is_none());

    let mut all = Vec::new();
    let unit = staging.charge(1);
    while let Some(reservation) = staging.reserve(MIB) {
        all.push(reservation);
    }
    while let Some(reservation) = staging.reserve(1) {
        all.push(reservation);
    }
    assert_eq!(staging.usage().reserved, staging.usable());
    assert!(staging.reserve(0).is_some(), "no bytes need no room");
    all.pop();
    assert_eq!(
        staging.reserve(1).expect("the unit given back").charge(),
        unit
    );
    drop(all);
    assert_eq!(staging.usage().reserved, 0);

    for capacity in [0, 1, 4096, 16 << 10, 60 << 10] {
        let small = staging_in(tempfile::tempdir().unwrap().path(), capacity);
        assert!(small.usable() <= capacity, "{capacity}");
    }
}

#[test]
fn a_reservation_serves_its_own_length_and_staging_only() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let staging = staging_in(one.path(), 16 << 20);
    let foreign = staging_in(other.path(), 16 << 20);
    let longer = staging.write(staging.reserve(10).unwrap(), &[1; 11]);
    assert!(matches!(
        longer,
        Err(StagingError::WrongLength {
            reserved: 10,
            given: 11
        })
    ));
    let elsewhere = staging.write(foreign.reserve(10).unwrap(), &[1; 10]);
    assert!(matches!(elsewhere, Err(StagingError::WrongLength { .. })));
    assert_eq!(staging.usage().reserved + foreign.usage().reserved, 0);
}

#[test]
fn slots_are_used_again_and_bound_the_length_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let capacity = 24 << 20;
    let staging = staging_in(dir.path(), capacity);
    let mut random = Random(7);
    let mut live = Vec::new();
    let block = bytes(1, 2 * MIB);
    for _ in 0..600 {
        // Just over half of its class, which is the worst case.
        let len = 256 * 1024 + 14 + random.below(4000) as usize;
        let reservation = loop {
            match staging.reserve(len) {
                Some(reservation) => break reservation,
                None => drop(live.swap_remove(random.below(live.len() as u64) as usize)),
            }
        };
        live.push(staging.write(reservation, &block[..len]).unwrap());
    }
    let usage = staging.usage();
    assert!(
        usage.logical_len <= 2 * capacity,
        "{} for {capacity}",
        usage.logical_len
    );
    assert_eq!(usage.slots, live.len() as u64);
}

/// Eight threads stage and drop blocks of all sizes in a budget far too small, while `sample` is called over and over
/// for the usage that the file system reports.
fn hammer(staging: &Staging, capacity: u64, sample: impl Fn() -> Option<u64> + Sync) {
    let done = AtomicBool::new(false);
    let (staged, sampled) = (AtomicU64::new(0), AtomicU64::new(0));
    let most = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                if let Some(used) = sample() {
                    most = most.max(used);
                    sampled.fetch_add(1, Ordering::Relaxed);
                }
            }
            most
        });
        let workers: Vec<_> = (1..=8)
            .map(|seed| {
                let staged = &staged;
                scope.spawn(move || {
                    let mut random = Random(seed * 0x1234_5678_9abc);
                    let block = bytes(seed, 2 * MIB);
                    let mut live = Vec::new();
                    for _ in 0..1500 {
                        let power = random.below(21);
                        let len = ((1 << power) + random.below(1 << power)) as usize;
                        match staging.reserve(len) {
                            // Sometimes dropped unused, as by a cancelled read.
                            Some(_unused) if random.below(10) == 0 => {}
                            Some(reservation) => {
                                staged.fetch_add(1, Ordering::Relaxed);
                                let extent = staging.write(reservation, &block[..len]);
                                live.push((extent.expect("a written block"), len));
                            }
                            None => drop(live.drain(..live.len() / 2)),
                        }
                        if !live.is_empty() && random.below(4) == 0 {
                            let (extent, len) =
                                live.swap_remove(random.below(live.len() as u64) as usize);
                            assert!(read(&extent, 0, len) == block[..len], "wrong bytes");
                        }
                    }
                })
            })
            .collect();
        // Stop the sampler before a worker's failure is passed on, or it would run forever.
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        for worker in ended {
            worker.expect("a worker");
        }
        sampler.join().expect("the sampler")
    });
    assert!(most <= capacity, "{most} used of {capacity}");
    assert!(
        most > capacity / 2,
        "the budget was never under pressure: {most}"
    );
    let (staged, sampled) = (staged.into_inner(), sampled.into_inner());
    assert!(staged > 1000 && sampled > 10, "{staged} {sampled}");
    let usage = staging.usage();
    assert_eq!((usage.reserved, usage.slots, usage.leaked_bytes), (0, 0, 0));
}

#[test]
fn the_budget_holds_on_the_file_system_for_temporary_files() {
    for capacity in [1 << 20, 12 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let staging = staging_in(dir.path(), capacity);
        hammer(&staging, capacity, || disk_usage_at_once(dir.path()));
    }
}

#[test]
fn the_budget_holds_on_a_tmpfs_of_its_own() {
    on_own(
        "tests::the_budget_holds_on_a_tmpfs_of_its_own",
        "tmpfs",
        "size=64m",
        |dir| {
            let capacity = 12 << 20;
            let staging = staging_in(dir, capacity);
            hammer(&staging, capacity, || Some(used_of_file_system(dir)));
            assert_eq!(used_of_file_system(dir), 0, "left behind");
        },
    );
}

#[test]
fn a_full_disk_leaves_nothing_and_is_recovered_from() {
    on_own(
        "tests::a_full_disk_leaves_nothing_and_is_recovered_from",
        "tmpfs",
        "size=3m",
        |dir| {
            let staging = staging_in(dir, 64 << 20);
            let block = bytes(3, 2 * MIB);
            let first = stage(&staging, &block);
            let used = used_of_file_system(dir);
            let reserved = staging.usage().reserved;
            // Half of it fits: the part that was written must be removed.
            let second = staging.write(staging.reserve(2 * MIB).unwrap(), &block);
            assert!(
                matches!(second, Err(StagingError::DiskFull { .. })),
                "{second:?}"
            );
            assert_eq!(used_of_file_system(dir), used);
            assert_eq!(staging.usage().reserved, reserved);
            assert!(read(&first, 0, 2 * MIB) == block);
            drop(first);
            let again = stage(&staging, &block);
            assert!(read(&again, 0, 2 * MIB) == block);
        },
    );
}

#[test]
fn a_file_system_without_holes_is_refused_by_name() {
    on_own(
        "tests::a_file_system_without_holes_is_refused_by_name",
        "ramfs",
        "mode=700",
        |dir| {
            let refused = Staging::create(dir_of(dir), 1 << 20).unwrap_err();
            let message = refused.to_string();
            assert!(
                matches!(refused, StagingError::Unsuitable { .. }),
                "{refused:?}"
            );
            assert!(message.contains(&dir.display().to_string()), "{message}");
            assert!(message.contains("--staging"), "{message}");
            assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "left behind");
        },
    );
}

#[test]
fn no_descriptors_left_is_said_and_recovered_from() {
    const TEST: &str = "tests::no_descriptors_left_is_said_and_recovered_from";
    let Some(dir) = place(TEST) else {
        let dir = tempfile::tempdir().unwrap();
        assert!(child(TEST, dir.path()).status().unwrap().success());
        return;
    };
    let staging = staging_in(&dir, 16 << 20);
    let mut hoard = Vec::new();
    while let Ok(file) = fs::File::open("/") {
        hoard.push(file);
    }
    let none = staging.write(staging.reserve(5000).unwrap(), &[1; 5000]);
    assert!(
        matches!(none, Err(StagingError::NoDescriptors { .. })),
        "{none:?}"
    );
    assert_eq!(staging.usage().reserved, 0);
    drop(hoard);
    assert_eq!(read(&stage(&staging, &[1; 5000]), 0, 5000), [1; 5000]);
}

#[test]
fn what_cannot_be_freed_is_counted_and_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let staging = staging_in(dir.path(), 16 << 20);
    let lost = stage(&staging, &bytes(1, 5000));
    PUNCH_FAILS.set(true);
    drop(lost);
    PUNCH_FAILS.set(false);
    let usage = staging.usage();
    let charge = staging.charge(5000);
    assert_eq!((usage.leaked_bytes, usage.reserved), (charge, charge));
    assert_eq!(usage.slots, 0);
    let next = stage(&staging, &bytes(2, 5000));
    assert_eq!(read(&next, 0, 5000), bytes(2, 5000));
    drop(next);
    assert_eq!(staging.usage().reserved, charge);
}

#[test]
fn a_directory_that_ends_is_not_punched_slot_by_slot() {
    let dir = tempfile::tempdir().unwrap();
    let share = crate::Budget::alone(16 << 20);
    let staging = Staging::create_within(dir_of(dir.path()), share.clone()).unwrap();
    let mut extents: Vec<_> = (0..50).map(|n| stage(&staging, &bytes(n, 9000))).collect();
    let before = PUNCHES.get();
    drop(extents.pop());
    assert_eq!(PUNCHES.get(), before + 1);
    let used = share.used();
    let last = extents.pop().unwrap();
    drop((staging, extents));
    assert_eq!(PUNCHES.get(), before + 1);
    // All are still on the disk, and charged.
    assert_eq!(share.used(), used);
    assert_eq!(read(&last, 0, 9000), bytes(48, 9000));
    drop(last);
    assert_eq!((PUNCHES.get(), share.used()), (before + 1, 0));
    // The directory's files are its owner's to remove, but they take nothing.
    let on_disk: u64 = sizes_on_disk(dir.path())[1..].iter().sum();
    assert_eq!(on_disk, 0);
}

#[test]
fn a_reader_that_holds_the_extent_is_never_above_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let staging = staging_in(dir.path(), 4 << 20);
    let len = 40_000;
    let block = |version: u64| bytes(version, len);
    let current = std::sync::RwLock::new((0, Arc::new(stage(&staging, &block(0)))));
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let (version, extent) = current.read().unwrap().clone();
                    // Meanwhile the owner drops it, and blocks in the neighbouring slots come and go.
                    thread::yield_now();
                    assert!(read(&extent, 0, len) == block(version), "version {version}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(2);
        let mut version = 0;
        while Instant::now() < end {
            version += 1;
            let fresh = Arc::new(stage(&staging, &block(version)));
            let old = std::mem::replace(&mut *current.write().unwrap(), (version, fresh));
            drop(old);
        }
        done.store(true, Ordering::Relaxed);
        assert!(version > 100, "{version} versions");
    });
    assert!(reads.into_inner() > 100);
    drop(current);
    assert_eq!(staging.usage().reserved, 0);
}

#[test]
fn the_files_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let staging = staging_in(dir.path(), 1 << 20);
    let _kept = stage(&staging, &[1]);
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].file_name(), "slots-4096");
    assert_eq!(files[0].metadata().unwrap().mode() & 0o777, 0o600);
}
