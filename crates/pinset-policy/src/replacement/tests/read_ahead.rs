//! Entries that were read ahead have not been used: where they wait, which is evicted first, and what the first touch
//! means.

use super::*;

#[test]
fn the_first_touch_of_what_was_read_ahead_is_its_first_use() {
    let mut arc = Replacement::new(4);
    let _ = ask(&mut arc, 1, 1, Admission::Ahead);
    let _ = ask(&mut arc, 1, 1, Admission::Ahead);
    assert_eq!(keys(&arc, List::Ahead), [1]);
    assert!(arc.touch(&1));
    assert_eq!(keys(&arc, List::Recent), [1]);
    assert_eq!((arc.stats().hits, arc.stats().hit_bytes), (0, 0));
    assert!(arc.touch(&1));
    assert_eq!(keys(&arc, List::Frequent), [1]);
    // A hit is a use of an entry that was used before.
    let _ = ask(&mut arc, 1, 1, Admission::Use);
    let _ = ask(&mut arc, 2, 2, Admission::Use);
    assert_eq!((arc.stats().hits, arc.stats().hit_bytes), (2, 2));
    assert!(arc.touch(&2));
    assert_eq!((arc.stats().hits, arc.stats().hit_bytes), (3, 4));
}

#[test]
fn what_was_read_ahead_goes_first_the_oldest_before_the_rest_and_leaves_no_ghost() {
    let mut arc = Replacement::new(5);
    // With one entry in T2, there is room for one byte of ghosts beside a full T1.
    uses(&mut arc, [7, 7, 0, 1]);
    let _ = ask(&mut arc, 10, 1, Admission::Ahead);
    let _ = ask(&mut arc, 11, 1, Admission::Ahead);
    for (key, victim, ghosts) in [(2, 10, vec![]), (3, 11, vec![]), (4, 0, vec![0])] {
        assert_eq!(ask(&mut arc, key, 1, Admission::Use).victims, [victim]);
        assert_eq!(ghost_keys(&arc, Ghost::Recent), ghosts);
    }
    assert_eq!(keys(&arc, List::Recent), [1, 2, 3, 4]);
    assert_eq!(arc.p(), 0.0);
}

/// The ghost hit comes with the use, not with the read-ahead, and has the same effect.
#[test]
fn a_ghost_read_ahead_teaches_p_at_its_first_use() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, [0, 0, 1, 2, 3, 4]);
    assert_eq!(ghost_keys(&arc, Ghost::Recent), [1]);
    let mut ahead = arc.clone();
    assert_eq!(
        ask(&mut ahead, 1, 1, Admission::Ahead).victims,
        ask(&mut arc, 1, 1, Admission::Use).victims
    );
    assert_eq!((ahead.p(), ahead.stats().recent_ghost_hits), (0.0, 0));
    assert!(ahead.touch(&1));
    assert_eq!((ahead.p(), ahead.stats().recent_ghost_hits), (1.0, 1));
    assert_eq!(all_keys(&ahead), all_keys(&arc));
    assert_eq!(ahead.p(), arc.p());
}

#[test]
fn a_ghost_read_ahead_in_vain_is_a_ghost_again() {
    for (history, ghosts) in [
        (vec![0, 0, 1, 2, 3], Ghost::Recent),
        (vec![1, 1, 0, 0, 2, 2, 3, 3], Ghost::Frequent),
    ] {
        let mut arc = Replacement::new(3);
        uses(&mut arc, history);
        assert_eq!(ghost_keys(&arc, ghosts), [1]);
        let _ = ask(&mut arc, 1, 1, Admission::Ahead);
        assert!(arc.contains(&1));
        let Decision::Admit(room) = arc.request(&9, 1, Admission::Use) else {
            panic!("9 is new");
        };
        let victim = arc.evict(&room, nothing_in_use);
        assert_eq!(victim, victim_of(1));
        assert_eq!(ghost_keys(&arc, ghosts)[0], 1);
        assert_eq!(arc.p(), 0.0);
        check(&arc);
    }
}

/// The paper's "x in B2 and |T1| = p" is about a hit, and read-ahead is not a hit.
#[test]
fn read_ahead_of_a_frequent_ghost_replaces_as_for_a_new_key() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, [0, 0, 1, 1, 2, 2, 3, 3, 4]);
    assert_eq!(
        all_keys(&arc),
        [vec![], vec![4], vec![1, 2, 3], vec![], vec![0]]
    );
    let mut ahead = arc.clone();
    ahead.p = 1.0;
    assert_eq!(ask(&mut ahead, 0, 1, Admission::Ahead).victims, [1]);
    // The hit takes p down to 1 first.
    arc.p = 2.0;
    assert_eq!(ask(&mut arc, 0, 1, Admission::Use).victims, [4]);
}

#[test]
fn where_t1_has_to_help_out_what_was_read_ahead_goes_first() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, [0, 0, 1, 1, 2]);
    let _ = ask(&mut arc, 3, 1, Admission::Ahead);
    arc.p = 4.0;
    let Decision::Admit(room) = arc.request(&9, 1, Admission::Use) else {
        panic!("9 is new");
    };
    let victim = arc.evict(&room, |key| *key < 2);
    assert_eq!(victim, victim_of(3));
}
