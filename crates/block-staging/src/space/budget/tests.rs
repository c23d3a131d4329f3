//! The arithmetic of shares.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::{Budget, Evict, Refused, Share};

const MIB: u64 = 1 << 20;

fn granted(shares: &[Arc<Share>]) -> u64 {
    shares.iter().map(|share| share.granted()).sum()
}

#[test]
fn grants_and_what_is_free_are_the_total() {
    let budget = Budget::new(100 * MIB + 1);
    let mut shares = Vec::new();
    for n in 1..=50 {
        shares.push(budget.join().unwrap());
        assert_eq!(budget.share_bytes(), (100 * MIB + 1) / n);
        for share in &shares {
            assert_eq!(share.bytes(), budget.share_bytes(), "{n}");
        }
        let free = budget.free_bytes();
        assert_eq!(granted(&shares) + free, budget.total_bytes());
    }
    shares.truncate(3);
    assert_eq!(
        (budget.members(), budget.share_bytes()),
        (3, (100 * MIB + 1) / 3)
    );
    for share in &shares {
        assert!(
            share.bytes() < 3 * MIB,
            "it rises when the member stages something"
        );
        share.settle();
        assert_eq!(share.bytes(), budget.share_bytes());
    }
    assert!(format!("{budget:?} {:?}", shares[0]).contains("members: 3"));
    shares.clear();
    assert_eq!(budget.free_bytes(), budget.total_bytes());
}

#[test]
fn what_is_used_is_kept_until_it_is_given_back() {
    let budget = Budget::new(32 * MIB);
    let one = budget.join().unwrap();
    assert!(one.take(20 * MIB));
    let two = budget.join().unwrap();
    // The first has given up its unused bytes, and may take no more.
    assert_eq!(one.granted(), 20 * MIB + Budget::MIN_SHARE);
    assert_eq!(two.granted(), 12 * MIB - Budget::MIN_SHARE);
    assert_eq!((one.bytes(), one.used()), (16 * MIB, 20 * MIB));
    assert!(!one.take(1));
    assert!(!two.take(12 * MIB));
    one.give_back(10 * MIB);
    two.settle();
    assert_eq!((one.granted(), two.granted()), (16 * MIB, 16 * MIB));
    assert!(one.take(MIB) && two.take(12 * MIB));
}

#[test]
fn metadata_that_is_found_counts() {
    let budget = Budget::new(8 * MIB);
    let share = budget.join().unwrap();
    assert!(share.take(7 * MIB));
    share.set_excess(2 * MIB);
    assert_eq!((share.used(), share.excess()), (9 * MIB, 2 * MIB));
    assert!(!share.take(0), "more is used than there is");
    share.lower();
    assert_eq!(share.granted(), 8 * MIB);
    share.set_excess(MIB / 2);
    assert_eq!(share.used(), 7 * MIB + MIB / 2);
    assert!(share.take(0));
}

/// A member that evicts a block of a mebibyte in each step, and takes further steps only when it is told to.
struct Slow {
    share: Arc<Share>,
    blocks: AtomicU64,
    steps: AtomicUsize,
    /// Blocks inside a read.
    read: AtomicU64,
}

impl Slow {
    fn with(budget: &Budget, blocks: u64) -> Arc<Self> {
        let share = budget.join().unwrap();
        assert!(share.take(blocks * MIB));
        let slow = Arc::new(Self {
            share,
            blocks: AtomicU64::new(blocks),
            steps: AtomicUsize::new(0),
            read: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&slow);
        slow.share.owned_by(weak);
        slow
    }

    fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }
}

impl Evict for Slow {
    fn evict_beyond_share(&self) -> bool {
        self.steps.fetch_add(1, Ordering::Relaxed);
        let free = self.blocks.load(Ordering::Relaxed) > self.read.load(Ordering::Relaxed);
        let more = free && self.share.used() > self.share.usable();
        if more {
            self.blocks.fetch_sub(1, Ordering::Relaxed);
            self.share.give_back(MIB);
        }
        self.share.lower();
        more
    }

    fn go_on(self: Arc<Self>) {}
}

#[test]
fn a_newcomer_does_not_wait_for_all_that_another_must_evict() {
    let budget = Budget::new(1000 * MIB);
    let first = Slow::with(&budget, 999);
    let second = budget.join().unwrap();
    assert!(first.steps() <= 2, "{} steps", first.steps());
    assert!(second.granted() >= Budget::MIN_SHARE && second.granted() < 4 * MIB);
    assert_eq!(first.share.granted() + second.granted(), 1000 * MIB);
    // It rises as the first comes down.
    while first.evict_beyond_share() {}
    second.settle();
    assert_eq!(
        (first.share.bytes(), second.bytes()),
        (500 * MIB, 500 * MIB)
    );
}

#[test]
fn a_block_that_is_staged_costs_the_same_however_many_members_owe_bytes() {
    let budget = Budget::new(1000 * MIB);
    let others: Vec<_> = (0..100).map(|_| Slow::with(&budget, 4)).collect();
    for other in &others {
        other.read.store(4, Ordering::Relaxed);
    }
    // All are reading all that they have, and their shares become smaller than that.
    let mut newcomers = Vec::new();
    while newcomers.len() < 400 {
        newcomers.push(budget.join().unwrap());
    }
    let newcomer = &newcomers[399];
    assert!(newcomer.granted() < budget.share_bytes());
    let steps = || -> usize { others.iter().map(|other| other.steps()).sum() };
    let before = steps();
    for _ in 0..160 {
        newcomer.settle();
    }
    assert!(steps() - before <= 10, "{} steps", steps() - before);
    // When the reads are over, each newcomer gets what is due to it.
    for other in &others {
        other.read.store(0, Ordering::Relaxed);
    }
    for _ in 0..10_000 {
        newcomer.settle();
    }
    assert_eq!(newcomer.bytes(), budget.share_bytes());
}

#[test]
fn the_total_can_be_changed() {
    let budget = Budget::new(100 * MIB);
    let first = Slow::with(&budget, 40);
    let second = budget.join().unwrap();
    let all = || first.share.granted() + second.granted() + budget.free_bytes();
    budget.set_total(200 * MIB).unwrap();
    first.share.settle();
    second.settle();
    assert_eq!(
        (first.share.bytes(), second.bytes()),
        (100 * MIB, 100 * MIB)
    );
    budget.set_total(20 * MIB).unwrap();
    assert_eq!(
        (budget.total_bytes(), budget.share_bytes()),
        (20 * MIB, 10 * MIB)
    );
    assert!(first.share.bytes() <= 10 * MIB && !first.share.take(MIB));
    // The unused part is gone already, and the rest goes as it is evicted.
    assert!(all() <= 51 * MIB, "{}", all());
    while first.evict_beyond_share() {}
    first.share.settle();
    second.settle();
    assert_eq!(all(), 20 * MIB);
    assert_eq!((first.share.bytes(), second.bytes()), (10 * MIB, 10 * MIB));
    let refused = budget.set_total(2 * Budget::MIN_SHARE - 1);
    assert!(matches!(refused, Err(Refused::TooSmall { .. })));
    drop((first, second));
    assert_eq!(budget.free_bytes(), 20 * MIB);
}
