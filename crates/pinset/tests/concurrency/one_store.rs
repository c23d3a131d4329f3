//! Readers, writers and eviction of one store: whoever holds a block can read it, and the disk never holds more than
//! the budget.

use std::sync::Arc;

use shuttle::thread;

use crate::{
    budget::Budget,
    cache::{staged::Staged, store::Store},
    staging::{Disk, Staging, UNIT},
    under_many_schedules,
};

fn block(key: u64) -> Vec<u8> {
    vec![key as u8; 1 + key as usize % 2]
}

fn read(staged: &Arc<Staged>, key: u64) {
    let bytes = staged.try_read(0, staged.len()).unwrap().unwrap();
    assert_eq!(bytes, block(key), "another block's bytes");
}

fn store(units: u64) -> (Arc<Disk>, Arc<Store>) {
    let disk = Disk::new(units * UNIT);
    let share = Budget::alone(units * UNIT);
    let store = Store::new(Staging::new(disk.clone(), share));
    (disk, store)
}

#[test]
fn a_block_that_is_held_is_never_above_a_hole_and_the_disk_never_too_full() {
    under_many_schedules(|| {
        let (disk, store) = store(3);
        let threads: Vec<_> = (0..3_u64)
            .map(|n| {
                let store = store.clone();
                thread::spawn(move || {
                    for key in [n, n + 1, 5 - n] {
                        let staged = match store.take_use(&key, &[]) {
                            Some(staged) => Some(staged),
                            None => store.stage(key, &block(key)),
                        };
                        // If there is no room, the block is served from memory.
                        if let Some(staged) = staged {
                            read(&staged, key);
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
    under_many_schedules(|| {
        let (disk, store) = store(2);
        let ahead = store.stage(1, &[1]).map(|staged| staged.keep());
        assert!(ahead.is_some());
        let others: Vec<_> = (2..4_u64)
            .map(|n| {
                let store = store.clone();
                thread::spawn(move || {
                    for key in [2 * n, 2 * n + 1] {
                        drop(store.stage(key, &[key as u8]));
                    }
                })
            })
            .collect();
        assert!(store.peek(&1).is_some(), "it was pushed out");
        for other in others {
            other.join().unwrap();
        }
        assert!(store.peek(&1).is_some(), "it was pushed out");
        drop(ahead);
        drop(store.stage(8, &[8]));
        drop(store.stage(9, &[9]));
        assert!(store.peek(&1).is_none(), "it stayed");
        assert!(disk.allocated() <= 2 * UNIT);
    });
}

#[test]
fn a_block_that_is_forgotten_while_it_is_read_is_read_to_the_end() {
    under_many_schedules(|| {
        let (disk, store) = store(2);
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                if let Some(staged) = store.stage(1, &block(1)) {
                    read(&staged, 1);
                    read(&staged, 1);
                }
            })
        };
        store.forget(&1);
        store.close();
        store.forget(&1);
        reader.join().unwrap();
        store.close();
        assert_eq!((store.used(), disk.allocated()), (0, 0));
    });
}
