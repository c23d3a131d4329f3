//! The store as its users see it, over a temporary directory.

use std::{sync::Arc, time::Instant};

use cap_std::{ambient_authority, fs::Dir};
use multihash_codetable::{Code, MultihashDigest};
use test_support::{file_system::on_own, memory::resident_bytes, until};

use super::*;
use crate::{budget::Budget, lock_dir::StagingDir};

const MIB: usize = 1 << 20;

fn store_of(dir: &Path, share: Arc<Share>) -> Arc<Store> {
    let opened = Dir::open_ambient_dir(dir, ambient_authority()).unwrap();
    let staging = Staging::create_within(StagingDir::from_dir(opened, dir), share).unwrap();
    Store::new(staging)
}

fn block(n: u64, len: usize) -> (Key, Vec<u8>) {
    // No byte is zero, as those of a hole are.
    let mut bytes = n.to_le_bytes().map(|byte| byte | 0x80).repeat(len / 8 + 1);
    bytes.truncate(len);
    (Code::Sha2_256.digest(&n.to_le_bytes()), bytes)
}

fn stage(store: &Store, n: u64, len: usize) -> Option<Arc<Staged>> {
    let (key, bytes) = block(n, len);
    store.stage(key, &bytes)
}

/// Index, replacement, ghosts and places of blocks. The resident set of a process of its own is measured, since
/// allocators differ in what they add. `PINSET_MEASURED_BLOCKS` sets another number of blocks.
#[test]
fn a_staged_block_takes_at_most_200_bytes_of_memory() {
    let blocks = std::env::var("PINSET_MEASURED_BLOCKS");
    let blocks: u64 = blocks.map_or(100_000, |n| n.parse().unwrap());
    let name = "cache::store::tests::a_staged_block_takes_at_most_200_bytes_of_memory";
    let size = format!("size={},mode=700", blocks * 5000 + (8 << 20));
    on_own(name, "tmpfs", &size, |dir| memory_of(blocks, dir));
}

fn memory_of(blocks: u64, dir: &Path) {
    let budget = Budget::new(blocks * 4096 + blocks * 64 + (1 << 20));
    let store = store_of(dir, budget.join().unwrap());
    // Allocators and lazily made things are warm.
    drop(stage(&store, u64::MAX, 4096));
    let before = resident_bytes().unwrap();
    let began = Instant::now();
    // Twice as many as there is room for, each used more than once, so that there are as many ghosts as residents.
    for n in 0..2 * blocks {
        let staged = stage(&store, n, 4096).unwrap();
        store.touch(&staged.key);
        store.touch(&staged.key);
    }
    let took = began.elapsed();
    let stats = store.replacement();
    let here = store.len() as u64;
    assert!(here >= blocks * 95 / 100, "{here} of {blocks}");
    assert!(
        stats.frequent_ghosts.entries as u64 >= blocks * 9 / 10,
        "{stats:?}"
    );
    let each = (resident_bytes().unwrap() - before) / here;
    println!("{here} blocks staged in {took:?}: {each} bytes of memory each, with a ghost each");
    let began = Instant::now();
    let newcomer = budget.join().unwrap();
    println!(
        "another member joined in {:?} (without threads)",
        began.elapsed()
    );
    drop(newcomer);
    let began = Instant::now();
    store.close();
    println!("closed in {:?}", began.elapsed());
    assert!(each <= 200, "{each} bytes");
}

#[test]
fn a_block_that_lost_its_handle_is_read_and_known_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), Budget::alone(64 << 20));
    let first = stage(&store, 0, 5000).unwrap();
    first.set_leaf(3..4000);
    let watched = Arc::downgrade(&stage(&store, 1, 5000).unwrap());
    let place = Arc::downgrade(&first);
    drop((first, place));
    for n in 2..3000 {
        drop(stage(&store, n, 100));
    }
    assert!(watched.upgrade().is_some(), "somebody watches it");
    let used = store.used();
    let again = store.take_use(&block(0, 0).0, &[]).unwrap();
    assert_eq!(again.leaf(), Some(3..4000));
    assert!(again.is_verified());
    let bytes = again.extent().read_blocking(0, usize::MAX).unwrap();
    assert_eq!(bytes, block(0, 5000).1);
    assert_eq!(store.used(), used);
    // All of them are still here, and all of their space is freed in the end.
    for n in 0..3000 {
        assert!(store.peek(&block(n, 0).0).is_some(), "{n}");
    }
    drop(again);
    store.close();
    assert_eq!(store.used(), 0);
    drop(store);
}

#[test]
fn the_space_of_a_store_that_is_closed_is_free_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::new(16 << 20);
    let share = budget.join().unwrap();
    let store = store_of(dir.path(), share.clone());
    for n in 0..3000 {
        drop(stage(&store, n, 4096));
    }
    let other = budget.join().unwrap();
    store.close();
    assert_eq!(share.bytes(), 8 << 20);
    other.settle();
    share.settle();
    assert_eq!(other.bytes(), 8 << 20, "the first still counts its blocks");
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let allocated = std::os::unix::fs::MetadataExt::blocks(&entry.unwrap().metadata().unwrap());
        assert_eq!(allocated, 0, "nothing is left");
    }
}

#[test]
fn a_block_is_forgotten_and_not_a_newer_one_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), Budget::alone(16 << 20));
    let old = stage(&store, 1, 4096).unwrap();
    store.forget(&old);
    assert!(store.peek(&old.key).is_none());
    let new = stage(&store, 1, 4096).unwrap();
    // Another reader of the old block finds the same error a moment later.
    store.forget(&old);
    let here = store.peek(&new.key).unwrap();
    assert!(Arc::ptr_eq(&here, &new));
    drop((old, new, here));
    // It is replaced like any other.
    for n in 2..5000 {
        drop(stage(&store, n, 4096));
    }
    assert!(store.peek(&block(1, 0).0).is_none());
}

#[test]
fn blocks_are_listed_evicted_and_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), Budget::alone(16 << 20));
    for n in 0..1000 {
        drop(stage(&store, n, 4096));
    }
    let mut keys = Vec::new();
    let mut cursor = Some(usize::MAX);
    while let Some(at) = cursor {
        let (some, next) = store.keys_from(at, 64);
        assert!(some.len() <= 64);
        keys.extend(some);
        // A block that is evicted between two steps costs no other block its place.
        if keys.len() == 128 {
            assert!(store.evict(&keys[0]) && !store.evict(&keys[0]));
        }
        cursor = next;
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((keys.len(), store.len()), (1000, 999));
    let read = stage(&store, 5000, 4096).unwrap();
    assert!(!store.evict(&read.key), "it is being read");
    store.clear();
    assert_eq!(store.len(), 0);
    assert_eq!(read.extent().read_blocking(0, 8).unwrap(), block(5000, 8).1);
    drop(read);
    assert_eq!(store.used(), 0);
    assert!(stage(&store, 1, 4096).is_some(), "it goes on");
}

#[test]
fn blocks_are_bounded_in_number_by_their_least_weight() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), Budget::alone(64 << 20));
    store.set_most_blocks(500);
    for n in 0..2000 {
        assert!(stage(&store, n, 1).is_some());
    }
    assert!((400..=500).contains(&store.len()), "{}", store.len());
}

/// A guest whose blocks come faster than the disk takes them is served from memory. Meanwhile nobody waits for the disk
/// on an async thread.
#[tokio::test]
async fn a_full_queue_of_writes_leaves_blocks_unstaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), Budget::alone(64 << 20));
    let others = store.clone();
    let (locked, is_locked) = oneshot::channel();
    let (unlock, may_go_on) = std::sync::mpsc::channel();
    let disk = std::thread::spawn(move || {
        // Both writers stop here, as they would in a disk that is slow.
        let _state = lock(&others.state);
        locked.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    is_locked.await.unwrap();
    let staging: Vec<_> = (0..30)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let (key, bytes) = block(n, MIB);
                store.stage_off_thread(key, bytes.into()).await.is_some()
            })
        })
        .collect();
    until("the queue is full", || {
        store.unstaged.load(Ordering::Relaxed) >= 12
    })
    .await;
    unlock.send(()).unwrap();
    disk.join().unwrap();
    let mut staged = 0;
    for task in staging {
        staged += u64::from(task.await.unwrap());
    }
    assert!((16..=18).contains(&staged), "{staged}");
    assert_eq!(staged + store.unstaged.load(Ordering::Relaxed), 30);
    assert_eq!(store.len() as u64, staged);
}

/// The last reader of a block that was evicted meanwhile frees its slot, but not on its own thread.
#[test]
fn an_async_thread_punches_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), Budget::alone(64 << 20));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let staged = stage(&store, 1, MIB).unwrap();
        store.clear();
        assert_eq!(store.used(), MIB as u64, "it is being read");
        // The only blocking thread is busy.
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || may_go_on.recv());
        drop(staged);
        assert_eq!(store.used(), MIB as u64, "it was freed on this thread");
        drop(go_on);
        until("it is freed", || store.used() == 0).await;
        assert!(busy.await.unwrap().is_err());
        store.close_off_thread().await;
    });
}
