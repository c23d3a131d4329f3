//! One piece of work at a time under each key, for all who wait, whichever of them gives up (I6).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use shuttle::{
    future::{block_on, yield_now},
    thread,
};
use test_support::schedules::under_many_schedules;

use crate::flight::Flights;

/// Marks the work as under way, as long as it exists.
struct Doing<'a>(&'a AtomicBool);

impl<'a> Doing<'a> {
    fn new(doing: &'a AtomicBool) -> Self {
        let already = doing.swap(true, Ordering::SeqCst);
        assert!(!already, "one thing is done twice at a time");
        Self(doing)
    }
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

struct World {
    flights: Flights<u8, usize>,
    doing: AtomicBool,
    done: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            flights: Flights::new(),
            doing: AtomicBool::new(false),
            done: AtomicUsize::new(0),
        })
    }

    fn join(self: &Arc<Self>) -> impl Future<Output = usize> + Unpin + use<> {
        let world = self.clone();
        self.flights.join(1, move || async move {
            let _doing = Doing::new(&world.doing);
            for _ in 0..2 {
                yield_now().await;
            }
            world.done.fetch_add(1, Ordering::SeqCst) + 1
        })
    }
}

#[test]
fn the_work_is_done_once_at_a_time_and_every_waiter_has_its_answer() {
    under_many_schedules(|_| {
        let world = World::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || block_on(world.join()))
            })
            .collect();
        for waiter in waiters {
            let answer = waiter.join().unwrap();
            assert!(answer <= world.done.load(Ordering::SeqCst));
        }
        assert!((1..=3).contains(&world.done.load(Ordering::SeqCst)));
        assert_eq!(world.flights.len(), 0);
    });
}

#[test]
fn who_gives_up_takes_nothing_from_those_who_wait_on() {
    under_many_schedules(|_| {
        let world = World::new();
        // Each quitter gives up after a number of polls, whether it is the one that polls the work or not.
        let quitters: Vec<_> = (0..2)
            .map(|looks| {
                let world = world.clone();
                thread::spawn(move || {
                    block_on(async move {
                        let mut waiting = world.join();
                        for _ in 0..=looks {
                            if futures_util::poll!(&mut waiting).is_ready() {
                                return;
                            }
                            yield_now().await;
                        }
                    });
                })
            })
            .collect();
        let patient: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || block_on(world.join()))
            })
            .collect();
        for waiter in patient {
            // Without a wake-up the waiter would wait for ever, which the scheduler reports.
            assert!(waiter.join().unwrap() >= 1);
        }
        for quitter in quitters {
            quitter.join().unwrap();
        }
        assert_eq!(world.flights.len(), 0);
        assert!(!world.doing.load(Ordering::SeqCst));
    });
}
