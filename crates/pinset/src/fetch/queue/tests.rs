//! Who has a turn, and when.

use std::{sync::Arc, time::Duration};

use super::{Arrival, Party, Place, Queue, Room, Slot};
use crate::flight::Driven;

const MIB: u64 = 1 << 20;

fn party(pinset: u64, session: u64) -> Party {
    Party {
        pinset,
        pinset_bytes: 32 * MIB,
        session,
        session_fetches: 32,
    }
}

fn take(queue: &Arc<Queue>, party: Party, bytes: u64) -> Option<Room> {
    queue.try_take(&Driven::for_test(), party, bytes)
}

/// A demand, and the place in the queue that it has.
struct Demand {
    arrival: Arrival,
    _place: Option<Place>,
}

fn demand(queue: &Arc<Queue>, party: Party, bytes: u64) -> Demand {
    let (slot, arrival) = Slot::new(&Driven::for_test());
    let _place = queue.enter(party, bytes, &slot);
    Demand { arrival, _place }
}

impl Demand {
    /// The room, if it has arrived.
    fn room(&mut self) -> Option<Room> {
        self.arrival.room.try_recv().ok()
    }
}

/// Takes as many as there are turns for, on demand.
fn take_all(queue: &Arc<Queue>, party: Party, bytes: u64) -> (Vec<Room>, Vec<Demand>) {
    let mut demands: Vec<_> = (0..100).map(|_| demand(queue, party, bytes)).collect();
    let rooms = demands.iter_mut().filter_map(Demand::room).collect();
    (rooms, demands)
}

#[test]
fn one_session_may_have_half_and_leaves_the_rest_to_newcomers() {
    let queue = Queue::new(32);
    let (rooms, waiting) = take_all(&queue, party(0, 0), 1);
    assert_eq!(rooms.len(), 16);
    // Whatever the first one holds and however long, another has its turn at once.
    let mut other = demand(&queue, party(0, 1), 1);
    assert!(other.room().is_some());
    let mut of_another_pinset = demand(&queue, party(1, 2), 1);
    assert!(of_another_pinset.room().is_some());
    drop((rooms, waiting, other, of_another_pinset));
    assert!(queue.is_idle());
}

#[test]
fn four_that_hold_all_they_can_leave_something_to_a_fifth() {
    for pinsets in [false, true] {
        let queue = Queue::new(32);
        let of = |n| if pinsets { party(n, n) } else { party(0, n) };
        let held: Vec<_> = (0..4).map(|n| take_all(&queue, of(n), 1)).collect();
        let all: usize = held.iter().map(|(rooms, _)| rooms.len()).sum();
        assert!((29..32).contains(&all), "{all}");
        let mut fifth = demand(&queue, of(4), 1);
        assert!(fifth.room().is_some());
    }
}

#[test]
fn memory_is_divided_by_what_is_known_of_the_blocks() {
    let queue = Queue::new(10_000);
    let (large, _) = take_all(&queue, party(0, 0), 2 * MIB);
    assert_eq!(large.len(), 8);
    drop(large);
    let (small, _) = take_all(&queue, party(1, 0), 4096);
    assert_eq!(small.len(), 32);
    assert_eq!(queue.held_bytes(1), 32 * (16 << 10));
}

#[test]
fn a_block_counts_for_its_length_once_it_is_known() {
    let queue = Queue::new(10_000);
    let (mut rooms, mut waiting) = take_all(&queue, party(0, 0), 2 * MIB);
    rooms[0].resize(100);
    rooms[1].resize(100);
    assert!(waiting.iter_mut().any(|it| it.room().is_some()));
    drop(waiting);
    let mut longer = take(&queue, party(1, 0), 1).unwrap();
    longer.resize(2 * MIB);
    assert_eq!(queue.held_bytes(1), 2 * MIB);
}

#[test]
fn read_ahead_takes_what_is_free_and_leaves_room_for_demand() {
    let queue = Queue::new(32);
    let ahead: Vec<_> = std::iter::from_fn(|| take(&queue, party(0, 0), 1)).collect();
    assert_eq!(ahead.len(), 10);
    let mut own = demand(&queue, party(0, 0), 1);
    let own = own.room();
    assert!(
        own.is_some(),
        "a session's own demand goes before its read-ahead"
    );
    // As long as its demand waits, it does not read ahead.
    let (mut rooms, waiting) = take_all(&queue, party(0, 0), 1);
    drop(ahead);
    rooms.truncate(1);
    assert!(take(&queue, party(0, 0), 1).is_none());
    drop(waiting);
    assert!(take(&queue, party(0, 0), 1).is_some());
}

#[test]
fn a_session_that_has_its_share_and_wants_more_keeps_nobody_from_reading_ahead() {
    for pinsets in [false, true] {
        let queue = Queue::new(32);
        let of = |n| if pinsets { party(n, n) } else { party(0, n) };
        let (_rooms, waiting) = take_all(&queue, of(0), 1);
        assert!(!waiting.is_empty());
        let ahead: Vec<_> = std::iter::from_fn(|| take(&queue, of(1), 1)).collect();
        assert_eq!(ahead.len(), 5);
    }
}

#[test]
fn waiting_sessions_are_served_in_turn_whoever_came_first() {
    let queue = Queue::new(1);
    let first = take(&queue, party(0, 9), 1).unwrap();
    let mut greedy: Vec<_> = (0..50).map(|_| demand(&queue, party(0, 0), MIB)).collect();
    let mut modest = demand(&queue, party(0, 1), MIB);
    drop(first);
    let mut before = 0;
    let served = loop {
        if let Some(room) = modest.room() {
            break room;
        }
        let room = greedy.iter_mut().find_map(Demand::room).unwrap();
        before += 1;
        drop(room);
    };
    assert!(before <= 1, "{before} went before it");
    drop(served);
}

#[test]
fn turns_are_divided_in_bytes() {
    let queue = Queue::new(1);
    let first = take(&queue, party(0, 9), 1).unwrap();
    let mut large: Vec<_> = (0..40)
        .map(|_| demand(&queue, party(0, 0), 2 * MIB))
        .collect();
    let mut small: Vec<_> = (0..400)
        .map(|_| demand(&queue, party(0, 1), MIB / 4))
        .collect();
    drop(first);
    let (mut large_turns, mut small_turns) = (0_u64, 0_u64);
    for _ in 0..90 {
        if let Some(room) = large.iter_mut().find_map(Demand::room) {
            large_turns += 1;
            drop(room);
        } else {
            small_turns += 1;
            drop(small.iter_mut().find_map(Demand::room).unwrap());
        }
    }
    let ratio = small_turns as f64 / large_turns as f64;
    assert!(
        (7.0..=9.0).contains(&ratio),
        "{small_turns} and {large_turns}"
    );
}

#[test]
fn blocks_that_claim_to_be_short_gain_no_turns() {
    let queue = Queue::new(1);
    let first = take(&queue, party(0, 9), 1).unwrap();
    let mut lies: Vec<_> = (0..100).map(|_| demand(&queue, party(0, 0), 1)).collect();
    let mut honest: Vec<_> = (0..100)
        .map(|_| demand(&queue, party(0, 1), 2 * MIB))
        .collect();
    drop(first);
    let mut turns = [0_u64; 2];
    for _ in 0..40 {
        if let Some(mut room) = lies.iter_mut().find_map(Demand::room) {
            turns[0] += 1;
            room.resize(2 * MIB);
        } else {
            turns[1] += 1;
            drop(honest.iter_mut().find_map(Demand::room).unwrap());
        }
    }
    assert!(turns[0].abs_diff(turns[1]) <= 2, "{turns:?}");
}

#[test]
fn a_fetch_that_two_sessions_want_has_the_turn_of_either() {
    let queue = Queue::new(4);
    let (slot, mut arrival) = Slot::new(&Driven::for_test());
    // The first session has no more turns.
    let mut poor = party(0, 0);
    poor.session_fetches = 1;
    let held = take(&queue, poor, 1).unwrap();
    let first = queue.enter(poor, 1, &slot);
    assert!(arrival.room.try_recv().is_err());
    let second = queue.enter(party(0, 1), 1, &slot);
    let room = arrival.room.try_recv();
    assert!(room.is_ok());
    assert!(
        queue.enter(party(0, 2), 1, &slot).is_none(),
        "it has its room"
    );
    drop((first, second, held, room));
    assert!(queue.is_idle());
}

#[test]
fn who_gives_up_leaves_no_place_and_who_has_ended_takes_no_room() {
    let queue = Queue::new(1);
    let first = take(&queue, party(0, 0), 1).unwrap();
    let gone = demand(&queue, party(0, 1), 1);
    drop(gone);
    // The work has ended, but its waiter is still here.
    let Demand { arrival, _place } = demand(&queue, party(0, 2), 1);
    drop(arrival);
    let mut last = demand(&queue, party(0, 3), 1);
    drop(first);
    assert!(last.room().is_some());
    drop((last, _place));
    assert!(queue.is_idle());
}

#[tokio::test]
async fn closing_a_pinset_ends_its_waits_alone() {
    let queue = Queue::new(1);
    let first = take(&queue, party(0, 0), 1).unwrap();
    let mut closed = demand(&queue, party(1, 1), 1);
    let mut open = demand(&queue, party(2, 2), 1);
    queue.close(1);
    let ended = tokio::time::timeout(Duration::from_secs(10), closed.arrival.room()).await;
    assert!(ended.unwrap().is_none());
    drop(first);
    assert!(open.room().is_some());
}
