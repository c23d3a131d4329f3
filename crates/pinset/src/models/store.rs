//! Readers, writers and eviction of one store: a held block can be read, and the space on the disk never exceeds the
//! budget.

use std::{path::Path, sync::Arc};

use shuttle::thread;
use test_support::schedules::under_many_schedules;

use super::{Disk, UNIT, block, key, overhead};
use crate::{
    budget::Budget,
    cache::{staged::Staged, store::Store},
};

/// Returns block number `n`, of one or two units.
fn content(n: u64) -> Vec<u8> {
    block(n, 1 + n % 2)
}

fn stage(store: &Store, n: u64) -> Option<Arc<Staged>> {
    store.stage(key(n), &content(n))
}

fn read(staged: &Arc<Staged>, n: u64) {
    // Other threads go on while the block is held.
    thread::yield_now();
    let bytes = staged.try_read(0, staged.len()).unwrap().unwrap();
    assert_eq!(bytes.len(), content(n).len());
    assert!(bytes == content(n), "a hole, or another block's bytes");
}

/// Returns a store with room for `units` units.
fn store(own: &Path, units: u64) -> (Arc<Disk>, Arc<Store>) {
    let capacity = overhead(own) + units * UNIT;
    let disk = Disk::new(own, capacity);
    let store = disk.store(Budget::alone(capacity));
    (disk, store)
}

#[test]
fn a_block_that_is_held_is_never_above_a_hole_and_the_disk_never_too_full() {
    under_many_schedules(|own| {
        let (disk, store) = store(own, 3);
        let threads: Vec<_> = (0..3_u64)
            .map(|n| {
                let store = store.clone();
                thread::spawn(move || {
                    for n in [n, n + 1, 5 - n] {
                        let staged = match store.take_use(&key(n), &[]) {
                            Some(staged) => Some(staged),
                            None => stage(&store, n),
                        };
                        // Without room, the block would be served from memory.
                        if let Some(staged) = staged {
                            read(&staged, n);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(store.used(), disk.allocated());
        store.close();
        assert_eq!((store.used(), disk.allocated(), store.len()), (0, 0, 0));
    });
}

#[test]
fn what_is_read_ahead_stays_until_it_is_consumed() {
    under_many_schedules(|own| {
        let (disk, store) = store(own, 2);
        let stage = |store: &Store, n| store.stage(key(n), &block(n, 1));
        let ahead = stage(&store, 1).map(|staged| staged.keep());
        assert!(ahead.is_some());
        let others: Vec<_> = (2..4_u64)
            .map(|n| {
                let store = store.clone();
                thread::spawn(move || {
                    for n in [2 * n, 2 * n + 1] {
                        drop(stage(&store, n));
                    }
                })
            })
            .collect();
        assert!(store.peek(&key(1)).is_some(), "it was pushed out");
        for other in others {
            other.join().unwrap();
        }
        assert!(store.peek(&key(1)).is_some(), "it was pushed out");
        drop(ahead);
        drop(stage(&store, 8));
        drop(stage(&store, 9));
        assert!(store.peek(&key(1)).is_none(), "it stayed");
        assert!(disk.allocated() <= 2 * UNIT);
    });
}

#[test]
fn a_block_that_is_forgotten_while_it_is_read_is_read_to_the_end() {
    under_many_schedules(|own| {
        let (disk, store) = store(own, 2);
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                if let Some(staged) = stage(&store, 1) {
                    read(&staged, 1);
                    read(&staged, 1);
                }
            })
        };
        for _ in 0..2 {
            if let Some(staged) = store.peek(&key(1)) {
                store.forget(&staged);
            }
            store.close();
        }
        reader.join().unwrap();
        store.close();
        assert_eq!((store.used(), disk.allocated()), (0, 0));
    });
}
