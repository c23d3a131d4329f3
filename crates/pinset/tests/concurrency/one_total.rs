//! Several stores that come and go on one budget: the total holds at every instant (I2), no store waits for another for
//! ever, and nothing of the total is lost.

use std::sync::Arc;

use shuttle::thread;

use crate::{
    budget::{Budget, Refused},
    cache::store::Store,
    staging::{Disk, Staging, UNIT},
    under_many_schedules,
};

fn try_join(budget: &Budget, disk: &Arc<Disk>) -> Result<Arc<Store>, Refused> {
    let share = budget.join()?;
    Ok(Store::new(Staging::new(disk.clone(), share)))
}

/// Joins the budget, again and again as long as it is in use: the scheduler may hold up for long another thread that
/// needs only a moment more.
fn join(budget: &Budget, disk: &Arc<Disk>) -> Arc<Store> {
    loop {
        match try_join(budget, disk) {
            Ok(store) => return store,
            Err(Refused::InUse) => thread::yield_now(),
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

#[test]
fn stores_that_come_and_go_never_pass_the_total_and_lose_none_of_it() {
    under_many_schedules(|| {
        let total = 6 * UNIT;
        let (disk, budget) = (Disk::new(total), Budget::new(total));
        let guests: Vec<_> = (0..3_u64)
            .map(|n| {
                let (disk, budget) = (disk.clone(), budget.clone());
                thread::spawn(move || {
                    for round in 0..2 {
                        let store = join(&budget, &disk);
                        for key in 0..3 {
                            let held = store.stage(10 * n + key, &[round]);
                            drop(held);
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
        assert_eq!(last.budget_bytes(), total);
        let all: Vec<_> = (0..6).map(|key| last.stage(key, &[0])).collect();
        assert!(all.iter().all(Option::is_some), "some of the total is lost");
    });
}

#[test]
fn a_newcomer_has_its_share_at_once_of_neighbours_that_do_nothing() {
    under_many_schedules(|| {
        let total = 6 * UNIT;
        let (disk, budget) = (Disk::new(total), Budget::new(total));
        let idle = join(&budget, &disk);
        for key in 0..6 {
            // These blocks count as read ahead, and will never be read.
            let staged = idle.stage(key, &[0]).unwrap();
            std::mem::forget(staged.keep());
        }
        assert_eq!(disk.allocated(), total);
        let newcomers: Vec<_> = (0..2_u64)
            .map(|n| {
                let (disk, budget) = (disk.clone(), budget.clone());
                thread::spawn(move || {
                    let store = join(&budget, &disk);
                    assert!(store.stage(10 + n, &[0]).is_some(), "no room");
                    store
                })
            })
            .collect();
        let newcomers: Vec<_> = newcomers
            .into_iter()
            .map(|newcomer| newcomer.join().unwrap())
            .collect();
        for store in &newcomers {
            drop(store.stage(1, &[0]));
            assert_eq!(store.budget_bytes(), total / 3);
        }
        assert!(idle.used() <= total / 3);
    });
}

#[test]
fn a_block_inside_a_read_is_given_up_when_the_read_is_over() {
    under_many_schedules(|| {
        let total = 2 * UNIT;
        let (disk, budget) = (Disk::new(total), Budget::new(total));
        let busy = join(&budget, &disk);
        let reads: Vec<_> = (0..2).map(|key| busy.stage(key, &[7]).unwrap()).collect();
        // Both blocks are inside a read, so there is no room for another store.
        assert_eq!(try_join(&budget, &disk).err(), Some(Refused::InUse));
        assert_eq!(budget.members(), 1);
        let reader = thread::spawn(move || {
            for read in &reads {
                assert_eq!(read.try_read(0, 1).unwrap().unwrap()[..], [7]);
            }
        });
        let newcomer = join(&budget, &disk);
        reader.join().unwrap();
        assert!(newcomer.stage(9, &[0]).is_some());
        assert!(busy.used() <= UNIT && disk.allocated() <= total);
    });
}
