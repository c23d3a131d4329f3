//! Tests of [`Replacement`] against the paper's pseudo-code, against a plain weighted model, against itself at other
//! scales, and against its own promises.

mod cost;
mod paper;
mod read_ahead;
mod weighted;

use std::{collections::HashSet, fmt::Debug};

use proptest::prelude::*;

use super::*;
use paper::Paper;

/// The outcome of one request: whether it was a hit, and which entries were evicted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome<K> {
    hit: bool,
    victims: Vec<K>,
}

type Key = u32;

fn victim_of(key: Key) -> Eviction<Key> {
    let (value, weight) = ((), 1);
    Eviction::Victim { key, value, weight }
}

fn nothing_in_use(_: &Key) -> bool {
    false
}

/// Runs one event from request to insertion, with nothing in use.
fn ask(arc: &mut Replacement<Key>, key: Key, weight: u64, admission: Admission) -> Outcome<Key> {
    let mut victims = Vec::new();
    let room = match arc.request(&key, weight, admission) {
        Decision::Resident => return Outcome { hit: true, victims },
        Decision::Oversize => {
            return Outcome {
                hit: false,
                victims,
            };
        }
        Decision::Admit(room) => room,
    };
    loop {
        match arc.evict(&room, nothing_in_use) {
            Eviction::Enough => break,
            Eviction::Victim { key, .. } => victims.push(key),
            Eviction::NoneFree => panic!("nothing is in use"),
        }
    }
    assert!(matches!(arc.insert(key, room), Insertion::Admitted));
    Outcome {
        hit: false,
        victims,
    }
}

fn uses(arc: &mut Replacement<Key>, keys: impl IntoIterator<Item = Key>) {
    for key in keys {
        let _ = ask(arc, key, 1, Admission::Use);
    }
}

/// A list of residents, or of ghosts.
#[derive(Clone, Copy, Debug)]
enum Any {
    Residents(List),
    Ghosts(Ghost),
}

const LISTS: [Any; 5] = [
    Any::Residents(List::Ahead),
    Any::Residents(List::Recent),
    Any::Residents(List::Frequent),
    Any::Ghosts(Ghost::Recent),
    Any::Ghosts(Ghost::Frequent),
];

/// The entries of a list with their weights, from cold to hot. A ghost is found among the keys below 100.
fn entries(arc: &Replacement<Key>, list: Any) -> Vec<(Key, u64)> {
    match list {
        Any::Residents(list) => {
            let entries = arc.order.iter(list);
            entries.map(|(entry, weight)| (entry.key, weight)).collect()
        }
        Any::Ghosts(list) => {
            let ghosts: Vec<_> = arc.order.ghosts_of(list).collect();
            if ghosts.is_empty() {
                return Vec::new();
            }
            let known: Vec<_> = (0..100).map(|key| arc.order.fingerprint(&key)).collect();
            let key = |fingerprint| known.iter().position(|known| *known == fingerprint);
            let ghosts = ghosts.into_iter();
            ghosts
                .map(|(fingerprint, weight)| (key(fingerprint).unwrap() as Key, weight))
                .collect()
        }
    }
}

/// The keys of a list of residents, from cold to hot.
fn keys(arc: &Replacement<Key>, list: List) -> Vec<Key> {
    arc.order.iter(list).map(|(entry, _)| entry.key).collect()
}

/// The keys of a list of ghosts, from cold to hot.
fn ghost_keys(arc: &Replacement<Key>, list: Ghost) -> Vec<Key> {
    let entries = entries(arc, Any::Ghosts(list)).into_iter();
    entries.map(|(key, _)| key).collect()
}

/// The keys of every list: read ahead, T1, T2, B1, B2.
fn all_keys(arc: &Replacement<Key>) -> [Vec<Key>; 5] {
    LISTS.map(|list| {
        let entries = entries(arc, list).into_iter();
        entries.map(|(key, _)| key).collect()
    })
}

/// Checks the invariants that hold after every event.
#[track_caller]
fn check(arc: &Replacement<Key>) {
    let mut seen = HashSet::new();
    let mut residents = 0;
    for list in LISTS {
        let entries = entries(arc, list);
        let bytes: u64 = entries.iter().map(|(_, weight)| weight).sum();
        let expected = match list {
            Any::Residents(list) => (arc.order.list_len(list), arc.order.bytes(list)),
            Any::Ghosts(list) => (arc.order.ghosts(list), arc.order.ghost_bytes(list)),
        };
        assert_eq!((entries.len(), bytes), expected);
        for (key, weight) in entries {
            assert!(seen.insert(key), "{key} is in two lists");
            let fingerprint = arc.order.fingerprint(&key);
            let slot = arc.order.find(&key, fingerprint);
            match list {
                Any::Residents(list) => {
                    let slot = slot.expect("the index has every key");
                    let entry = arc.order.resident(slot);
                    assert_eq!((entry.key, arc.order.weight(slot)), (key, weight));
                    assert_eq!(arc.order.list(slot), list);
                    assert!(entry.ghost_of.is_none() || list == List::Ahead);
                    residents += 1;
                }
                Any::Ghosts(list) => {
                    assert_eq!(slot, None);
                    let ghost = arc.order.find_ghost(fingerprint);
                    assert_eq!(ghost.map(|(_, found)| found), Some(list));
                }
            }
        }
    }
    assert_eq!(arc.order.below(usize::MAX).count(), residents);
    let budget = arc.budget();
    assert!((0.0..=budget as f64).contains(&arc.p()), "{arc:?}");
    let recent_ghosts = arc.order.ghost_bytes(Ghost::Recent);
    assert!(arc.recent_bytes() + recent_ghosts <= budget || recent_ghosts == 0);
    assert!(arc.resident_bytes() + arc.ghost_bytes() <= 2 * budget || arc.ghost_bytes() == 0);
}

proptest! {
    /// With unit weights it follows the paper's algorithm, event by event and list by list.
    #[test]
    fn with_unit_weights_it_is_the_paper(
        budget in 1_usize..12,
        trace in prop::collection::vec(0_u32..30, 1..400),
    ) {
        let mut arc = Replacement::new(budget as u64);
        let mut paper = Paper::new(budget);
        for key in trace {
            let outcome = ask(&mut arc, key, 1, Admission::Use);
            let (hit, victim) = paper.request(key);
            prop_assert_eq!(outcome, Outcome { hit, victims: Vec::from_iter(victim) });
            let [ahead, lists @ ..] = all_keys(&arc);
            prop_assert_eq!(lists, paper.lists());
            prop_assert!(ahead.is_empty());
            prop_assert_eq!(arc.p(), paper.p());
        }
        check(&arc);
    }

    /// The promises hold after any events in any order.
    #[test]
    fn every_event_keeps_the_promises(
        budget in 0_u64..40,
        events in prop::collection::vec(event(), 1..300),
    ) {
        let mut arc = Replacement::new(budget);
        let mut in_use = HashSet::new();
        for event in events {
            match event {
                Event::Ask(key, admission) => ask_around(&mut arc, key, admission, &in_use),
                Event::Touch(key) => {
                    let resident = arc.contains(&key);
                    prop_assert_eq!(arc.touch(&key), resident);
                }
                Event::Hold(key) => drop(in_use.insert(key)),
                Event::Release(key) => drop(in_use.remove(&key)),
                Event::Remove(key) => {
                    let resident = arc.contains(&key);
                    prop_assert_eq!(arc.remove(&key).is_some(), resident);
                    let fingerprint = arc.order.fingerprint(&key);
                    prop_assert!(arc.order.find(&key, fingerprint).is_none());
                    prop_assert!(arc.order.find_ghost(fingerprint).is_none());
                }
                Event::Budget(budget) => {
                    arc.set_budget(budget);
                    while let Eviction::Victim { key, .. } = arc.evict_excess(|key| in_use.contains(key)) {
                        prop_assert!(!in_use.contains(&key));
                    }
                    prop_assert!(
                        arc.resident_bytes() <= budget
                            || arc.residents().all(|(key, _)| in_use.contains(key))
                    );
                }
            }
            check(&arc);
        }
    }

    /// If nothing has to be evicted, reading a ghost ahead and then using it has the same result as using it.
    #[test]
    fn a_ghost_read_ahead_and_used_is_as_one_used(
        trace in prop::collection::vec(0_u32..25, 50..200),
        holes in 1_usize..4,
    ) {
        let mut arc = Replacement::new(8);
        uses(&mut arc, trace);
        let gone: Vec<Key> = arc.residents().map(|(key, _)| *key).take(holes).collect();
        for key in gone {
            arc.remove(&key);
        }
        for key in [Ghost::Recent, Ghost::Frequent].into_iter().flat_map(|list| ghost_keys(&arc, list)) {
            let (mut used, mut ahead) = (arc.clone(), arc.clone());
            let _ = ask(&mut used, key, 1, Admission::Use);
            let _ = ask(&mut ahead, key, 1, Admission::Ahead);
            prop_assert_eq!(ahead.p(), arc.p());
            prop_assert!(ahead.touch(&key));
            prop_assert_eq!(all_keys(&ahead), all_keys(&used));
            prop_assert_eq!(ahead.p(), used.p());
            prop_assert_eq!(ahead.stats(), used.stats());
        }
    }

    /// With all weights and the budget multiplied, the decisions and the lists are the same, and `p` is multiplied.
    #[test]
    fn it_is_the_same_at_any_scale(
        budget in 1_u64..200,
        factor in prop::sample::select(vec![4096_u64, 262_144]),
        trace in prop::collection::vec((0_u32..60, prop::sample::select(vec![
            Admission::Use, Admission::Use, Admission::Use, Admission::Ahead,
        ])), 1..600),
    ) {
        let mut small = Replacement::new(budget);
        let mut large = Replacement::new(budget * factor);
        for (key, admission) in trace {
            // (0 is charged as 1 at any scale.)
            let weight = weight_of(key).max(1);
            let outcome = ask(&mut small, key, weight, admission);
            prop_assert_eq!(outcome, ask(&mut large, key, weight * factor, admission));
            prop_assert_eq!(all_keys(&small), all_keys(&large));
            prop_assert_eq!(small.p() * factor as f64, large.p());
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Ask(Key, Admission),
    Touch(Key),
    Hold(Key),
    Release(Key),
    Remove(Key),
    Budget(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let key = || 0_u32..30;
    prop_oneof![
        12 => key().prop_map(|key| Event::Ask(key, Admission::Use)),
        4 => key().prop_map(|key| Event::Ask(key, Admission::Ahead)),
        4 => key().prop_map(Event::Touch),
        1 => key().prop_map(Event::Hold),
        2 => key().prop_map(Event::Release),
        1 => key().prop_map(Event::Remove),
        1 => (0_u64..40).prop_map(Event::Budget),
    ]
}

/// The weight of a key, from 0 to 13, always the same for one key.
fn weight_of(key: Key) -> u64 {
    u64::from(key) * 7 % 14
}

fn ask_around(arc: &mut Replacement<Key>, key: Key, admission: Admission, in_use: &HashSet<Key>) {
    let before = (arc.resident_bytes(), arc.contains(&key));
    let weight = weight_of(key);
    let room = match arc.request(&key, weight, admission) {
        Decision::Resident => return assert!(before.1),
        Decision::Oversize => {
            assert!(weight.max(1) > arc.budget());
            return assert_eq!(before, (arc.resident_bytes(), arc.contains(&key)));
        }
        Decision::Admit(room) => room,
    };
    assert!(!before.1);
    loop {
        let needed = arc.resident_bytes() + room.weight() > arc.budget();
        match arc.evict(&room, |key| in_use.contains(key)) {
            Eviction::Enough => {
                assert!(!needed);
                break assert!(matches!(arc.insert(key, room), Insertion::Admitted));
            }
            Eviction::Victim { key, weight, .. } => {
                assert!(needed && !in_use.contains(&key) && !arc.contains(&key));
                assert_eq!(weight, weight_of(key).max(1));
            }
            Eviction::NoneFree => {
                assert!(arc.residents().all(|(key, _)| in_use.contains(key)));
                break assert!(matches!(arc.insert(key, room), Insertion::NoRoom(_)));
            }
        }
        check(arc);
    }
    assert!(arc.resident_bytes() <= arc.budget().max(before.0));
}

#[test]
fn what_is_in_use_is_passed_over() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, 0..4);
    let Decision::Admit(room) = arc.request(&9, 1, Admission::Use) else {
        panic!("9 is new");
    };
    // 0 and 1 are being read: 2 is evicted, and they count as the most recently used.
    let victim = arc.evict(&room, |key| *key < 2);
    assert_eq!(victim, victim_of(2));
    assert_eq!(keys(&arc, List::Recent), [3, 0, 1]);
    assert_eq!(arc.evict(&room, |_| true), Eviction::Enough);
}

#[test]
fn the_other_list_gives_the_victim_where_all_of_one_are_in_use() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, [0, 0, 1, 1, 2, 3]);
    assert_eq!(keys(&arc, List::Frequent), [0, 1]);
    let Decision::Admit(room) = arc.request(&9, 1, Admission::Use) else {
        panic!("9 is new");
    };
    // p is 0, so the victim should come from T1, but 2 and 3 are in use.
    let victim = arc.evict(&room, |key| *key >= 2);
    assert_eq!(victim, victim_of(0));
    let Insertion::Admitted = arc.insert(9, room) else {
        panic!("there is room");
    };
    // The other way round: p is large, so the victim should come from T2, but all of T2 is in use.
    arc.p = 4.0;
    let Decision::Admit(room) = arc.request(&8, 1, Admission::Use) else {
        panic!("8 is new");
    };
    let victim = arc.evict(&room, |key| *key == 1);
    assert_eq!(victim, victim_of(2));
}

#[test]
fn with_all_in_use_nothing_is_evicted_and_nothing_admitted() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, 0..4);
    let Decision::Admit(room) = arc.request(&9, 1, Admission::Use) else {
        panic!("9 is new");
    };
    assert_eq!(arc.evict(&room, |_| true), Eviction::NoneFree);
    let Insertion::NoRoom(room) = arc.insert(9, room) else {
        panic!("there is no room");
    };
    assert_eq!(keys(&arc, List::Recent), [0, 1, 2, 3]);
    let victim = arc.evict(&room, nothing_in_use);
    assert_eq!(victim, victim_of(0));
}

/// However many entries are in use, one eviction looks at 128 of them, and the next goes on where it stopped.
#[test]
fn a_long_row_in_use_is_passed_in_steps() {
    let mut arc = Replacement::new(1000);
    uses(&mut arc, 0..1000);
    let Decision::Admit(room) = arc.request(&5000, 1, Admission::Use) else {
        panic!("it is new");
    };
    let mut looks = Vec::new();
    let victim = loop {
        let mut looked = 0;
        let eviction = arc.evict(&room, |key| {
            looked += 1;
            *key < 700
        });
        looks.push(looked);
        if eviction != Eviction::NoneFree {
            break eviction;
        }
    };
    assert_eq!(victim, victim_of(700));
    assert_eq!(looks, [128, 128, 128, 128, 128, 61]);
}

#[test]
fn what_is_heavier_than_the_budget_bypasses() {
    let mut arc = Replacement::new(10);
    let _ = ask(&mut arc, 1, 10, Admission::Use);
    for admission in [Admission::Use, Admission::Ahead] {
        assert!(matches!(arc.request(&2, 11, admission), Decision::Oversize));
    }
    assert_eq!(all_keys(&arc), [vec![], vec![1], vec![], vec![], vec![]]);
    // Everything is heavier than a budget of 0.
    let mut none = Replacement::new(0);
    assert!(matches!(
        none.request(&1, 0, Admission::Use),
        Decision::Oversize
    ));
    assert_eq!(none.evict_excess(nothing_in_use), Eviction::Enough);
}

#[test]
fn a_weight_of_0_is_charged_as_1() {
    let mut arc = Replacement::new(3);
    for key in 0..3 {
        let _ = ask(&mut arc, key, 0, Admission::Use);
    }
    assert_eq!(arc.resident_bytes(), 3);
    let outcome = ask(&mut arc, 3, 0, Admission::Use);
    assert_eq!(outcome.victims, [0]);
}

#[test]
fn one_entry_takes_the_place_of_several() {
    let mut arc = Replacement::new(10);
    uses(&mut arc, (0..10).chain([8, 9]));
    let outcome = ask(&mut arc, 20, 9, Admission::Use);
    assert_eq!(outcome.victims, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    // The residents of L1 take 9 bytes, so of the eight ghosts from T1 one byte is kept.
    assert_eq!(
        all_keys(&arc),
        [vec![], vec![20], vec![9], vec![7], vec![8]]
    );
}

#[test]
fn a_ghost_hit_moves_p_by_the_ghosts_weight() {
    let mut arc = Replacement::new(1000);
    for key in 0..3 {
        let _ = ask(&mut arc, key, 400, Admission::Use);
        let _ = arc.touch(&1);
    }
    // 0 was evicted for 2.
    assert_eq!(all_keys(&arc), [vec![], vec![2], vec![1], vec![0], vec![]]);
    let _ = ask(&mut arc, 0, 400, Admission::Use);
    assert_eq!(arc.p(), 400.0);
    assert_eq!(arc.stats().recent_ghost_hits, 1);
    // T1 weighs no more than p now, so the victim came from T2.
    assert_eq!(all_keys(&arc), [vec![], vec![2], vec![0], vec![], vec![1]]);
    // The ghost lists weigh the same, so p moves back by the same step.
    let _ = ask(&mut arc, 1, 400, Admission::Use);
    assert_eq!(arc.p(), 0.0);
    assert_eq!(arc.stats().frequent_ghost_hits, 1);
}

#[test]
fn a_ghost_hit_without_pressure_evicts_nothing() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, [0, 0, 1, 2, 3, 4]);
    assert_eq!(ghost_keys(&arc, Ghost::Recent), [1]);
    assert_eq!(arc.remove(&0), Some(1));
    let outcome = ask(&mut arc, 1, 1, Admission::Use);
    assert_eq!(outcome.victims, []);
    assert_eq!(arc.len(), 4);
}

#[test]
fn a_room_given_up_leaves_the_ghost() {
    let mut arc = Replacement::new(2);
    uses(&mut arc, [0, 0, 1, 2]);
    assert_eq!(ghost_keys(&arc, Ghost::Recent), [1]);
    let Decision::Admit(room) = arc.request(&1, 1, Admission::Use) else {
        panic!("1 is a ghost");
    };
    assert_eq!(room.ghost(), Some(Ghost::Recent));
    drop(room);
    assert_eq!(ghost_keys(&arc, Ghost::Recent), [1]);
}

#[test]
fn an_entry_that_somebody_else_admitted_is_used() {
    let mut arc = Replacement::new(2);
    let rooms = [(); 2].map(|()| match arc.request(&1, 1, Admission::Use) {
        Decision::Admit(room) => room,
        other => panic!("1 is new: {other:?}"),
    });
    let [first, second] = rooms;
    assert!(matches!(arc.insert(1, first), Insertion::Admitted));
    assert!(matches!(arc.insert(1, second), Insertion::Resident));
    assert_eq!(keys(&arc, List::Frequent), [1]);
}

#[test]
fn a_smaller_budget_sheds_residents_and_ghosts() {
    let mut arc = Replacement::new(8);
    uses(&mut arc, [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]);
    arc.p = 4.0;
    let before = all_keys(&arc);
    arc.set_budget(4);
    assert_eq!((arc.p(), arc.budget()), (2.0, 4));
    // Nothing is admitted until the residents fit into the budget again.
    let Decision::Admit(room) = arc.request(&50, 1, Admission::Use) else {
        panic!("50 is new");
    };
    let Insertion::NoRoom(_) = arc.insert(50, room) else {
        panic!("there is no room");
    };
    let mut victims = Vec::new();
    while let Eviction::Victim { key, .. } = arc.evict_excess(nothing_in_use) {
        victims.push(key);
    }
    assert_eq!(before[1], [4, 5, 6, 7, 8]);
    // T1 shrinks to p, then victims come from T2.
    assert_eq!(victims, [4, 5, 6, 0]);
    assert_eq!(arc.resident_bytes(), 4);
    check(&arc);
    arc.set_budget(8);
    assert_eq!((arc.p(), arc.resident_bytes()), (4.0, 4));
    arc.set_budget(0);
    while let Eviction::Victim { .. } = arc.evict_excess(nothing_in_use) {}
    assert!(arc.is_empty() && arc.ghost_bytes() == 0);
    check(&arc);
}

#[test]
fn a_ghost_comes_back_with_the_weight_it_has_now() {
    let mut arc = Replacement::new(4);
    uses(&mut arc, [0, 0, 1, 2, 3, 4]);
    assert_eq!(ghost_keys(&arc, Ghost::Recent), [1]);
    let outcome = ask(&mut arc, 1, 3, Admission::Use);
    // p moves by the ghost's weight; room is made for the newcomer's weight.
    assert_eq!((arc.p(), outcome.victims), (1.0, vec![2, 3, 0]));
    assert_eq!(arc.resident_bytes(), 4);
    check(&arc);
}

#[test]
fn what_is_removed_leaves_no_ghost() {
    let mut arc = Replacement::new(2);
    uses(&mut arc, [0, 0, 1, 2]);
    assert_eq!(arc.remove(&2), Some(1));
    assert_eq!(arc.remove(&1), None, "it was a ghost");
    assert_eq!(arc.remove(&7), None, "it was never there");
    assert_eq!(all_keys(&arc), [vec![], vec![], vec![0], vec![], vec![]]);
}

#[test]
fn it_is_shown_by_its_figures() {
    let mut arc = Replacement::new(2);
    uses(&mut arc, [0, 0, 1, 2]);
    let shown = format!("{arc:?}");
    assert!(shown.contains("hits: 1"), "{shown}");
    assert!(shown.len() < 1000, "{shown}");
}
