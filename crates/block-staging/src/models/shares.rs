//! The shares of a budget, without a disk: no member uses another's share, and no part of the total is lost.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shuttle::thread;
use test_support::schedules::under_many_schedules;

use crate::{
    budget::{Budget, Evict, Refused, Share},
    space::overhead::{Beside, Metadata, Overhead},
    sync::{Mutex, lock},
};

/// The unit of allocation of the file system, in bytes.
const UNIT: u64 = 4096;

/// The space that a block takes, in bytes. The least share has room for one block.
const BLOCK: u64 = 32 << 10;

/// A total that is enough for three members, and for three more that have left and that others still examine.
const TOTAL: u64 = 6 * Budget::MIN_SHARE;

/// Joins the budget, and retries while it is in use: the scheduler may delay a thread for long that needs only a moment
/// to release its share.
fn join(budget: &Budget) -> Arc<Share> {
    loop {
        match budget.join() {
            Ok(share) => {
                share.set_overhead(Overhead::new(UNIT, Metadata::Free, Beside::Nothing));
                return share;
            }
            Err(Refused::InUse) => thread::yield_now(),
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

/// The bytes that all members use. The scheduler does not see this counter: counting is not a step of the model.
#[derive(Clone)]
struct InUse {
    total: u64,
    bytes: Arc<AtomicU64>,
}

impl InUse {
    fn of(budget: &Budget) -> Self {
        Self {
            total: budget.total_bytes(),
            bytes: Arc::default(),
        }
    }

    /// Takes a block, if there is room.
    fn take(&self, share: &Share) -> bool {
        let taken = share.take(BLOCK);
        if taken {
            let now = self.bytes.fetch_add(BLOCK, Ordering::SeqCst) + BLOCK;
            assert!(now <= self.total, "{now} of {} bytes are used", self.total);
        }
        taken
    }

    fn give_back(&self, share: &Share) {
        self.bytes.fetch_sub(BLOCK, Ordering::SeqCst);
        share.give_back(BLOCK);
    }
}

/// A member that keeps its blocks, and evicts them when it must.
struct Member {
    share: Arc<Share>,
    in_use: InUse,
    blocks: Mutex<u64>,
}

impl Member {
    fn new(share: Arc<Share>, in_use: &InUse) -> Arc<Self> {
        let member = Arc::new(Self {
            share,
            in_use: in_use.clone(),
            blocks: Mutex::new(0),
        });
        let weak = Arc::downgrade(&member);
        member.share.owned_by(weak);
        member
    }

    fn stage(&self) -> bool {
        self.share.settle();
        let taken = self.in_use.take(&self.share);
        *lock(&self.blocks) += u64::from(taken);
        taken
    }
}

impl Evict for Member {
    fn evict_beyond_share(&self) -> bool {
        let mut blocks = lock(&self.blocks);
        let more = *blocks > 0 && self.share.used() > self.share.usable();
        if more {
            *blocks -= 1;
            self.in_use.give_back(&self.share);
        }
        drop(blocks);
        self.share.lower();
        more
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        for _ in 0..*lock(&self.blocks) {
            self.in_use.give_back(&self.share);
        }
    }
}

#[test]
fn members_that_come_and_go_never_use_more_than_the_total_and_lose_none_of_it() {
    under_many_schedules(|_| {
        let budget = Budget::new(TOTAL);
        let in_use = InUse::of(&budget);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (budget, in_use) = (budget.clone(), in_use.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let share = join(&budget);
                        for _ in 0..2 {
                            share.settle();
                            if in_use.take(&share) {
                                thread::yield_now();
                                in_use.give_back(&share);
                            }
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(budget.members(), 0);
        assert_eq!(budget.free_bytes(), budget.total_bytes());
    });
}

#[test]
fn a_newcomer_has_its_share_of_members_that_evict() {
    under_many_schedules(|_| {
        let budget = Budget::new(TOTAL);
        let in_use = InUse::of(&budget);
        let first = Member::new(join(&budget), &in_use);
        while first.stage() {}
        let newcomers: Vec<_> = (0..2)
            .map(|_| {
                let (budget, in_use) = (budget.clone(), in_use.clone());
                thread::spawn(move || {
                    let member = Member::new(join(&budget), &in_use);
                    assert!(member.stage(), "no room");
                    member
                })
            })
            .collect();
        let mut members: Vec<_> = newcomers
            .into_iter()
            .map(|newcomer| newcomer.join().unwrap())
            .collect();
        members.push(first);
        for member in &members {
            member.stage();
            assert_eq!(member.share.bytes(), budget.share_bytes());
        }
        let granted: u64 = members.iter().map(|member| member.share.granted()).sum();
        assert_eq!(granted + budget.free_bytes(), budget.total_bytes());
        drop(members);
        assert_eq!(budget.free_bytes(), budget.total_bytes());
    });
}
