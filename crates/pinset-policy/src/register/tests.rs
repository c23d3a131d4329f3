//! The register's decisions, one by one. `models/pins.rs` has it used by several threads.

use super::*;

const BUDGET: u64 = 100;

fn register() -> Register {
    Register::new(BUDGET, 10)
}

fn root(n: u8) -> Cid {
    let hash = cid::multihash::Multihash::wrap(0x12, &[n; 32]).unwrap();
    Cid::new_v1(0x70, hash)
}

/// Opens a target and closes it again.
fn open(register: &mut Register, n: u8, weight: u64) {
    assert!(register.handle_opened(root(n), weight));
    register.handle_closed(&root(n));
}

/// Takes the next job, and ends it.
fn work(register: &mut Register, job: Job, outcome: Outcome) {
    assert_eq!(register.next_job(), Some(job));
    let (Job::Pin(cid) | Job::Release(cid)) = job;
    assert!(!register.ended(cid, outcome));
}

/// Makes a whole pin that is kept.
fn whole(register: &mut Register, n: u8, weight: u64) {
    assert_eq!(register.claim(root(n), weight), Some(Claimed::Wanted));
    assert_eq!(register.begin_whole(root(n)), Begun::Make);
    register.ended(root(n), Outcome::Done);
    assert!(register.keep(&root(n)));
}

#[test]
fn a_release_that_waits_is_taken_back_and_one_under_way_is_waited_for() {
    let mut register = register();
    whole(&mut register, 1, 60);
    whole(&mut register, 2, 60);
    // Nothing has been done about the first yet.
    assert!(!register.holds_whole(&root(1)));
    assert_eq!(register.claim(root(1), 60), Some(Claimed::Held));
    assert!(register.holds_whole(&root(1)));
    // Now the second makes way, and its release begins.
    assert_eq!(register.next_job(), Some(Job::Release(root(2))));
    assert_eq!(register.claim(root(2), 60), Some(Claimed::Wanted));
    assert_eq!(register.begin_whole(root(2)), Begun::Wait);
    register.ended(root(2), Outcome::Done);
    assert_eq!(register.begin_whole(root(2)), Begun::Make);
    assert_eq!((register.next_job(), register.unreleased()), (None, 0));
}

#[test]
fn a_lazy_pin_that_waits_is_not_made_beside_a_whole_one() {
    let mut register = register();
    assert!(register.handle_opened(root(1), 10));
    assert_eq!(register.claim(root(1), 10), Some(Claimed::Wanted));
    assert_eq!(register.begin_whole(root(1)), Begun::Make);
    assert_eq!(register.next_job(), None);
    // If the whole pin is refused, the handle has its lazy one.
    register.ended(root(1), Outcome::Refused);
    register.unclaim(&root(1));
    assert_eq!(register.next_job(), Some(Job::Pin(root(1))));
    assert_eq!(register.begin_whole(root(1)), Begun::Wait);
}

#[test]
fn the_last_guard_releases_unless_the_pin_is_kept() {
    let mut register = register();
    for _ in 0..2 {
        register.claim(root(1), 10);
    }
    register.begin_whole(root(1));
    register.ended(root(1), Outcome::Done);
    register.unclaim(&root(1));
    assert!(register.holds_whole(&root(1)) && !register.has_jobs());
    register.unclaim(&root(1));
    assert_eq!(register.next_job(), Some(Job::Release(root(1))));
    register.ended(root(1), Outcome::Done);
    assert!(register.roots.is_empty());

    whole(&mut register, 2, 10);
    assert_eq!(register.claim(root(2), 10), Some(Claimed::Held));
    register.unclaim(&root(2));
    assert!(register.holds_whole(&root(2)) && !register.has_jobs());
}

#[test]
fn a_whole_pin_is_never_replaced_by_lazy_ones_and_a_claimed_one_never_at_all() {
    let mut register = register();
    whole(&mut register, 1, 60);
    assert!(!register.handle_opened(root(2), 60));
    assert_eq!(register.dropped(), 1);
    assert_eq!(register.claim(root(1), 60), Some(Claimed::Held));
    whole(&mut register, 3, 60);
    assert!(!register.has_jobs(), "both are pinned, over the budget");
    register.unclaim(&root(1));
    whole(&mut register, 4, 60);
    assert_eq!(register.next_job(), Some(Job::Release(root(1))));
}

#[test]
fn a_lazy_pin_that_fails_is_tried_again_by_the_next_open_only() {
    let mut register = register();
    register.handle_opened(root(1), 10);
    register.next_job();
    register.ended(root(1), Outcome::Unknown);
    // It may have been made.
    assert_eq!(register.next_job(), Some(Job::Release(root(1))));
    register.ended(root(1), Outcome::Unknown);
    assert_eq!((register.next_job(), register.unreleased()), (None, 1));
    register.handle_opened(root(1), 10);
    assert_eq!(register.next_job(), Some(Job::Pin(root(1))));
    // The refusal says nothing about the first attempt.
    register.ended(root(1), Outcome::Refused);
    assert_eq!(register.next_job(), Some(Job::Release(root(1))));
    register.ended(root(1), Outcome::Done);
    assert_eq!((register.next_job(), register.unreleased()), (None, 0));
    for _ in 0..2 {
        register.handle_closed(&root(1));
    }
    assert!(register.roots.is_empty());
}

#[test]
fn a_failed_release_is_tried_again_after_another_that_did_not_fail() {
    let mut register = register();
    open(&mut register, 1, 60);
    work(&mut register, Job::Pin(root(1)), Outcome::Done);
    open(&mut register, 2, 60);
    work(&mut register, Job::Release(root(1)), Outcome::Refused);
    work(&mut register, Job::Pin(root(2)), Outcome::Done);
    assert_eq!((register.next_job(), register.unreleased()), (None, 1));
    open(&mut register, 3, 60);
    work(&mut register, Job::Release(root(2)), Outcome::Done);
    work(&mut register, Job::Pin(root(3)), Outcome::Done);
    work(&mut register, Job::Release(root(1)), Outcome::Done);
    assert_eq!((register.held(), register.roots.len()), (1, 1));
}

#[test]
fn a_target_that_is_opened_while_it_is_released_is_pinned_again() {
    let mut register = register();
    open(&mut register, 1, 60);
    work(&mut register, Job::Pin(root(1)), Outcome::Done);
    open(&mut register, 2, 60);
    assert_eq!(register.next_job(), Some(Job::Release(root(1))));
    work(&mut register, Job::Pin(root(2)), Outcome::Done);
    assert!(register.handle_opened(root(1), 60));
    assert!(!register.has_jobs());
    register.ended(root(1), Outcome::Done);
    // The second makes way.
    assert_eq!(register.next_job(), Some(Job::Release(root(2))));
    assert_eq!(register.next_job(), Some(Job::Pin(root(1))));
}

#[test]
fn there_are_at_most_so_many_lazy_pins() {
    let mut register = Register::new(BUDGET, 2);
    for n in 1..=3 {
        register.handle_opened(root(n), 1);
    }
    assert_eq!((register.dropped(), register.roots.len()), (1, 2));
    // Whoever ensures something is served.
    whole(&mut register, 4, 1);
    assert!(register.holds_whole(&root(4)));
}

#[test]
fn after_the_end_a_pin_that_was_under_way_is_released_by_its_maker() {
    for outcome in [Outcome::Done, Outcome::Unknown] {
        let mut register = register();
        register.claim(root(1), 10);
        register.begin_whole(root(1));
        register.close();
        assert_eq!(register.begin_release(&root(1)), Releasing::Nothing);
        assert!(!register.is_over());
        assert!(register.ended(root(1), outcome));
        assert_eq!(register.begin_release(&root(1)), Releasing::Make);
        assert_eq!(register.begin_release(&root(1)), Releasing::Wait);
        assert!(!register.ended(root(1), Outcome::Done));
        assert!(register.is_over());
    }
    let mut register = register();
    register.claim(root(1), 10);
    register.begin_whole(root(1));
    register.close();
    assert!(!register.ended(root(1), Outcome::Refused) && register.is_over());
    assert_eq!(register.claim(root(1), 10), None);
    assert_eq!(register.begin_whole(root(1)), Begun::Closed);
}
