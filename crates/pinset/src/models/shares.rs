//! Several stores that come and go on one budget: the total holds at every instant (I2), no store waits for another for
//! ever, and nothing of the total is lost.

use std::{path::Path, sync::Arc};

use shuttle::thread;
use test_support::schedules::under_many_schedules;

use super::{Disk, UNIT, block, key};
use crate::{
    budget::{Budget, Refused},
    cache::{staged::Staged, store::Store},
};

/// Enough for three stores, and for as many that are done and that others just look at.
const TOTAL: u64 = 6 * Budget::MIN_SHARE;

fn shared(own: &Path, total: u64) -> (Arc<Disk>, Budget) {
    (Disk::new(own, total), Budget::new(total))
}

fn try_join(budget: &Budget, disk: &Disk) -> Result<Arc<Store>, Refused> {
    Ok(disk.store(budget.join()?))
}

/// Joins the budget, again and again as long as it is in use: the scheduler may hold up for long another thread that
/// needs only a moment more.
fn join(budget: &Budget, disk: &Disk) -> Arc<Store> {
    loop {
        match try_join(budget, disk) {
            Ok(store) => return store,
            Err(Refused::InUse) => thread::yield_now(),
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

fn stage(store: &Store, n: u64) -> Option<Arc<Staged>> {
    store.stage(key(n), &block(n, 1))
}

#[test]
fn stores_that_come_and_go_never_pass_the_total_and_lose_none_of_it() {
    under_many_schedules(|own| {
        let (disk, budget) = shared(own, TOTAL);
        let guests: Vec<_> = (0..3_u64)
            .map(|n| {
                let (disk, budget) = (disk.clone(), budget.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let store = join(&budget, &disk);
                        for m in 0..3 {
                            drop(stage(&store, 10 * n + m));
                        }
                    }
                })
            })
            .collect();
        for guest in guests {
            guest.join().unwrap();
        }
        assert_eq!((budget.members(), disk.allocated()), (0, 0));
        // The next store gets all of it.
        let last = join(&budget, &disk);
        assert_eq!(last.budget_bytes(), budget.total_bytes());
        let all: Vec<_> = (0..6).map(|n| stage(&last, n)).collect();
        assert!(all.iter().all(Option::is_some), "some of the total is lost");
    });
}

#[test]
fn a_newcomer_has_its_share_at_once_of_neighbours_that_do_nothing() {
    under_many_schedules(|own| {
        let (disk, budget) = shared(own, TOTAL);
        let idle = join(&budget, &disk);
        let mut blocks = 0;
        while let Some(staged) = stage(&idle, blocks) {
            // These blocks count as read ahead, and will never be read.
            std::mem::forget(staged.keep());
            blocks += 1;
        }
        assert_eq!(disk.allocated(), blocks * UNIT);
        assert!(disk.allocated() > TOTAL / 2);
        let newcomers: Vec<_> = (0..2_u64)
            .map(|n| {
                let (disk, budget) = (disk.clone(), budget.clone());
                thread::spawn(move || {
                    let store = join(&budget, &disk);
                    assert!(stage(&store, 20 + n).is_some(), "no room");
                    store
                })
            })
            .collect();
        let newcomers: Vec<_> = newcomers
            .into_iter()
            .map(|newcomer| newcomer.join().unwrap())
            .collect();
        for store in &newcomers {
            drop(stage(store, 1));
            assert_eq!(store.budget_bytes(), budget.total_bytes() / 3);
        }
        assert!(idle.used() <= budget.total_bytes() / 3);
    });
}

#[test]
fn a_block_inside_a_read_is_given_up_when_the_read_is_over() {
    under_many_schedules(|own| {
        // Two blocks leave less than the least share.
        let (disk, budget) = shared(own, 2 * Budget::MIN_SHARE);
        let busy = join(&budget, &disk);
        let reads: Vec<_> = (0..2).map(|n| stage(&busy, n).unwrap()).collect();
        // Both blocks are inside a read, so there is no room for another store.
        assert_eq!(try_join(&budget, &disk).err(), Some(Refused::InUse));
        assert_eq!(budget.members(), 1);
        let reader = thread::spawn(move || {
            for (n, read) in (0..).zip(&reads) {
                let bytes = read.try_read(0, read.len()).unwrap().unwrap();
                assert!(bytes == block(n, 1), "a hole, or another block's bytes");
            }
        });
        let newcomer = join(&budget, &disk);
        reader.join().unwrap();
        assert!(stage(&newcomer, 9).is_some());
        assert!(busy.used() <= UNIT && disk.allocated() <= budget.total_bytes());
    });
}
