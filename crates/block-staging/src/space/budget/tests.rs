//! The arithmetic of shares.

use std::sync::Arc;

use super::{Budget, Share};

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
