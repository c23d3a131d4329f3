//! Several members of one directory: how they divide its total, and what is left of those that die. Two open directories
//! in one process behave like two processes: each has its own locks.

use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};

use multihash_codetable::{Code, MultihashDigest as _};

use super::*;
use crate::{
    Budget, Earlier, Follower, Key, Opened,
    budget::{Evict, Share},
    disk::{
        layout,
        shares::{Head, Seat, Shares, Table},
    },
    open, stored,
    sync::{Mutex, lock},
};

const TOTAL: u64 = 8 << 20;

fn key(bytes: &[u8]) -> Key {
    Code::Sha2_256.digest(bytes)
}

/// A block that differs from all others.
fn block(n: u64) -> Vec<u8> {
    let mut block = bytes(n, 60_000);
    block[..8].copy_from_slice(&n.to_le_bytes());
    block
}

fn writer(path: &Path, share: &Arc<Share>) -> (Staging, Earlier) {
    match open(path, share.clone()).unwrap() {
        Opened::Writer(staging, earlier) => (staging, earlier),
        Opened::Follower(_) => panic!("somebody else writes"),
    }
}

fn follower(path: &Path, share: &Arc<Share>) -> Follower {
    match open(path, share.clone()).unwrap() {
        Opened::Writer(..) => panic!("nobody else writes"),
        Opened::Follower(follower) => {
            assert!(follower.member(share).unwrap().is_some());
            follower
        }
    }
}

fn table(path: &Path) -> Table {
    let dir = StagingDir::from_dir(private_dir::open(path).unwrap(), path);
    let shares = Shares::open(&dir).unwrap();
    shares.lock().unwrap().unwrap().read().unwrap()
}

/// Waits until something is so, for what a member does by itself.
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The blocks of a member, of which it evicts the oldest.
struct Blocks {
    staging: Mutex<Option<Staging>>,
    extents: Mutex<Vec<Extent>>,
}

impl Blocks {
    fn of(share: &Share, staging: Staging) -> Arc<Self> {
        let blocks = Arc::new(Self {
            staging: Mutex::new(Some(staging)),
            extents: Mutex::default(),
        });
        let weak = Arc::downgrade(&blocks);
        share.owned_by(weak);
        blocks
    }

    fn staging(&self) -> Staging {
        lock(&self.staging).clone().unwrap()
    }

    /// Stages blocks until there is no room.
    fn fill(&self) {
        for n in 0.. {
            let block = block(n);
            let Some(room) = self.staging().reserve(block.len()) else {
                return;
            };
            match self.staging().write_as(room, &key(&block), &block) {
                Ok(extent) => lock(&self.extents).push(extent),
                Err(StagingError::NoRoomForRecord) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Evict for Blocks {
    fn evict_beyond_share(&self) -> bool {
        let staging = self.staging();
        let mut extents = lock(&self.extents);
        let charges = |extents: &[Extent]| extents.iter().map(Extent::charge).sum::<u64>();
        while charges(&extents) > staging.for_blocks() {
            let oldest = extents.remove(0);
            oldest.discard();
        }
        drop(extents);
        staging.lower();
        false
    }
}

#[test]
fn members_divide_the_total_and_come_down_for_a_newcomer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let (one, two) = (Budget::alone(TOTAL), Budget::alone(3 * TOTAL));
    let (staging, earlier) = writer(&path, &one);
    assert_eq!(earlier.len(), 0);
    let head = table(&path).head.unwrap();
    assert_eq!((head.total, head.main), (TOTAL, TOTAL));
    let blocks = Blocks::of(&one, staging);
    blocks.fill();
    assert!(disk_usage(&path) > TOTAL / 4 * 3);

    // The total stays, though the newcomer's budget is larger.
    let second = follower(&path, &two);
    until("the writer comes down", || two.cap() == TOTAL / 2);
    let at = table(&path);
    assert_eq!(at.head.unwrap().total, TOTAL);
    assert!(at.head.unwrap().main <= TOTAL / 2 && at.parts() <= TOTAL / 2);
    assert!(disk_usage(&path) <= TOTAL / 2);
    let part = second.own_part(&two).unwrap().unwrap();
    assert!(second.own_part(&two).unwrap().is_none(), "one is enough");
    let held = Blocks::of(&two, part);
    held.fill();
    blocks.fill();
    // The first has counted the part's directory, without its files.
    let whole = || {
        let part = sizes_on_disk(&path.join("part-2"));
        disk_usage(&path) + part[1..].iter().sum::<u64>()
    };
    assert!(whole() > TOTAL / 4 * 3 && whole() <= TOTAL, "{}", whole());
    let told = stored::contents(&path).unwrap();
    assert_eq!(told.allocated_bytes, whole());

    // One with a small budget takes no more than that, and the others make room for a third of the total.
    let small = Budget::alone(TOTAL / 16);
    let third = follower(&path, &small);
    until("both come down", || small.cap() == TOTAL / 16);
    until("both come down", || {
        one.cap() == TOTAL / 3 && two.cap() == TOTAL / 3
    });
    until("both come down", || whole() <= TOTAL / 3 * 2);
    drop(third);
    until("both rise", || {
        one.cap() == TOTAL / 2 && two.cap() == TOTAL / 2
    });

    // The part goes with its last block, and its share with the member.
    lock(&held.extents).clear();
    *lock(&held.staging) = None;
    until("the part is removed", || !path.join("part-2").exists());
    drop(second);
    until("the writer has all again", || one.cap() == TOTAL);
}

#[test]
fn the_remains_of_the_dead_go_before_their_share_returns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let share = Budget::alone(TOTAL);
    let (staging, _) = writer(&path, &share);
    let opened = || StagingDir::from_dir(private_dir::open(&path).unwrap(), &path);
    let leave = |seat: usize| {
        let shares = Shares::open(&opened()).unwrap();
        let locked = shares.lock().unwrap().unwrap();
        assert!(locked.take(seat).unwrap());
        let (part, process) = (TOTAL / 4, 1);
        locked.set_seat(seat, Some(Seat { part, process })).unwrap();
        let part = path.join(format!("part-{seat}"));
        fs::DirBuilder::new().mode(0o700).create(&part).unwrap();
        fs::write(part.join("slots-4096"), [1; 4096]).unwrap();
        drop(locked);
        // The process has the seat until this is dropped.
        shares
    };
    let living = leave(5);
    until("there are two", || share.cap() == TOTAL / 2);
    assert!(path.join("part-5").exists());
    drop(living);
    until("there is one", || share.cap() == TOTAL);
    assert!(!path.join("part-5").exists());
    assert_eq!(table(&path).seat(5), None);
    // A start removes what it finds, also without a share.
    fs::DirBuilder::new().create(path.join("part-9")).unwrap();
    drop(staging);
    let (_staging, _) = writer(&path, &share);
    assert!(!path.join("part-9").exists());
}

#[test]
fn who_takes_over_has_the_share_of_the_one_that_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let (one, two) = (Budget::alone(TOTAL), Budget::alone(TOTAL));
    let (staging, _) = writer(&path, &one);
    let blocks = Blocks::of(&one, staging);
    blocks.fill();
    let second = follower(&path, &two);
    until("there is a share", || two.cap() == TOTAL / 2);
    let part = second.own_part(&two).unwrap().unwrap();
    let mut all = Vec::new();
    while let Some(room) = part.reserve(50_000) {
        all.push(part.write(room, &bytes(1, 50_000)).unwrap());
    }
    assert!(second.take_over(two.clone()).unwrap().is_none());
    let staged = lock(&blocks.extents).len();
    drop(blocks);
    drop(one);
    let (staging, earlier) = second.take_over(two.clone()).unwrap().unwrap();
    assert_eq!(earlier.len(), staged, "all that the writer had");
    let head = table(&path).head.unwrap();
    assert_eq!((head.total, head.main), (TOTAL, TOTAL / 2));
    assert!(staging.reserve(50_000).is_none(), "its part has the rest");
    drop((all, part));
    until("it has all", || two.cap() == TOTAL);
    assert!(!path.join("part-2").exists());
    assert!(staging.reserve(50_000).is_some());
    let _kept: Vec<_> = earlier.collect();
    assert!(disk_usage(&path) <= TOTAL);
}

/// The member's thread looks at the journal by way of the follower, and may do so in this moment.
#[test]
fn a_follower_that_took_over_releases_the_lock_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    for _ in 0..50 {
        let share = Budget::alone(TOTAL);
        let (staging, _) = writer(&path, &share);
        let follower = follower(&path, &share);
        assert!(follower.lease(&key(b"absent")).unwrap().is_none());
        drop(staging);
        let over = follower.take_over(Budget::alone(TOTAL)).unwrap();
        let (staging, earlier) = over.expect("nobody writes");
        drop((staging, earlier, follower));
        stored::clear(&path).expect("nobody has it open");
    }
}

#[test]
fn a_start_that_fails_late_charges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let share = Budget::alone(TOTAL);
    let (staging, _) = writer(&path, &share);
    let blocks = Blocks::of(&share, staging);
    blocks.fill();
    drop(blocks);
    let share = Budget::alone(TOTAL);
    let (changes, aside) = (path.join("changes"), path.join("aside"));
    fs::rename(&changes, &aside).unwrap();
    fs::create_dir(&changes).unwrap();
    for _ in 0..3 {
        let failed = open(&path, share.clone()).unwrap_err();
        assert!(matches!(failed, StagingError::NotAFile { .. }), "{failed}");
        assert_eq!(share.used(), 0);
    }
    fs::remove_dir(&changes).unwrap();
    let (_staging, earlier) = writer(&path, &share);
    assert!(earlier.len() > 100, "{earlier:?}");
    assert!(share.used() > TOTAL / 4 * 3);
}

#[test]
fn a_directory_that_cannot_be_locked_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    // A descriptor that only names the directory cannot be locked (`EBADF`), as on some network file systems.
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let named = rustix::fs::open(dir.path(), flags, rustix::fs::Mode::empty()).unwrap();
    let named = Dir::from_std_file(fs::File::from(named));
    let refused = layout::try_lock(&StagingDir::from_dir(named, dir.path())).unwrap_err();
    assert!(
        matches!(refused, StagingError::CannotLock { .. }),
        "{refused:?}"
    );
    let message = refused.to_string();
    assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
}

#[test]
fn a_damaged_table_grants_nothing_and_is_set_by_the_next_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let (one, two) = (Budget::alone(TOTAL), Budget::alone(TOTAL));
    let (staging, _) = writer(&path, &one);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path.join("shares"))
        .unwrap();
    file.write_all_at(&[0xff; 64], 0).unwrap();
    let second = follower(&path, &two);
    thread::sleep(Duration::from_millis(600));
    assert_eq!(two.cap(), 0);
    assert!(second.own_part(&two).unwrap().is_none());
    drop((second, staging));
    let (_staging, _) = writer(&path, &one);
    let head = Head {
        total: TOTAL,
        main: TOTAL,
    };
    assert_eq!(table(&path).head, Some(head));
}

#[test]
fn what_is_cleared_is_not_punched_slot_by_slot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staging");
    let share = Budget::alone(TOTAL);
    let (staging, _) = writer(&path, &share);
    let blocks = Blocks::of(&share, staging);
    blocks.fill();
    let count = lock(&blocks.extents).len() as u64;
    drop(blocks);
    let reader = Follower::open(private_dir_of(dir.path())).unwrap();
    let block = block(0);
    let leased = reader.lease(&key(&block)).unwrap().unwrap();
    // A block that somebody reads stays, and so this goes slot by slot.
    let before = PUNCHES.get();
    assert_eq!(stored::clear(&path).unwrap().blocks, count);
    assert!(PUNCHES.get() - before >= count);
    assert_eq!(read(&leased.extent, 0, usize::MAX), block);
    drop(leased);

    let share = Budget::alone(TOTAL);
    let (staging, _) = writer(&path, &share);
    let blocks = Blocks::of(&share, staging);
    blocks.fill();
    drop(blocks);
    let before = PUNCHES.get();
    assert_eq!(stored::clear(&path).unwrap().blocks, count);
    assert!(PUNCHES.get() - before < 10);
    assert!(disk_usage(&path) < 64 << 10);
    assert!(reader.lease(&key(&block)).unwrap().is_none());
}
