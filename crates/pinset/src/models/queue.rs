//! The queue in front of a backend: no more fetches than it allows, every demand has its turn, and none of the room is
//! lost, whoever gives up and whoever is never polled again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shuttle::{
    future::{block_on, yield_now},
    thread,
};
use test_support::schedules::under_many_schedules;

use crate::{
    fetch::queue::{Party, Queue, Slot},
    flight::Flights,
};

const MOST: u64 = 2;

struct World {
    queue: Arc<Queue>,
    /// One flight for each fetch.
    flights: Flights<u64, (), Slot>,
    under_way: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Queue::new(MOST as usize),
            flights: Flights::new(),
            under_way: AtomicU64::new(0),
        })
    }

    /// Fetches `key` for a session.
    async fn fetch(self: &Arc<Self>, key: u64, session: u64) {
        let party = party(session);
        let (waiting, slot) = self.flights.join_with(key, |inside| {
            let (slot, mut arrival) = Slot::new(&inside);
            let world = self.clone();
            let work = async move {
                let room = arrival.room().await;
                let now = world.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(now <= MOST, "{now} fetches at once");
                yield_now().await;
                world.under_way.fetch_sub(1, Ordering::SeqCst);
                drop(room);
                Ok(())
            };
            (slot, work)
        });
        let _place = self.queue.enter(party, 1, &slot);
        // Whoever looks again finds the block.
        _ = waiting.result().await.unwrap();
    }

    /// Waits until nothing goes on. A flight that was given up is dropped a moment after it has left the map. If some of
    /// the room were lost, this would not end, which the scheduler reports.
    fn wait_until_idle(&self) {
        while self.flights.len() > 0 || !self.queue.is_idle() {
            thread::yield_now();
        }
    }
}

fn party(session: u64) -> Party {
    Party {
        pinset: session % 2,
        pinset_bytes: 8 << 20,
        session,
        session_fetches: 2,
    }
}

#[test]
fn every_demand_has_its_turn_and_no_room_is_lost() {
    under_many_schedules(|_| {
        let world = World::new();
        let sessions: Vec<_> = (0..3)
            .map(|session| {
                let world = world.clone();
                thread::spawn(move || {
                    block_on(async {
                        // The key 9 is wanted by all.
                        for key in [session, 9] {
                            world.fetch(key, session).await;
                        }
                    });
                })
            })
            .collect();
        for session in sessions {
            session.join().unwrap();
        }
        world.wait_until_idle();
    });
}

#[test]
fn a_waiter_that_is_never_polled_again_keeps_no_room() {
    under_many_schedules(|_| {
        let world = World::new();
        let mut paused: Vec<_> = (0..3)
            .map(|key| {
                let world = world.clone();
                Box::pin(async move { world.fetch(key, 0).await })
            })
            .collect();
        block_on(async {
            for fetch in &mut paused {
                _ = futures_util::poll!(fetch.as_mut());
            }
        });
        let other = {
            let world = world.clone();
            thread::spawn(move || block_on(world.fetch(7, 1)))
        };
        other.join().unwrap();
        drop(paused);
        world.wait_until_idle();
    });
}
