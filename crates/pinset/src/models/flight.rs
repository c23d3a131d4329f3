//! Single flight: the work under a key is done once at a time, for all waiters, whichever of them gives up (I6), or is
//! never polled again (I11).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use shuttle::{
    future::{block_on, yield_now},
    thread,
};
use test_support::schedules::under_many_schedules;

use crate::{error::Error, flight::Flights};

/// Marks the work as in progress while it exists.
struct Doing(Arc<World>);

impl Doing {
    fn new(world: &Arc<World>) -> Self {
        let already = world.doing.swap(true, Ordering::SeqCst);
        assert!(!already, "one thing is done twice at a time");
        Self(world.clone())
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.doing.store(false, Ordering::SeqCst);
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

    fn join(self: &Arc<Self>) -> impl Future<Output = Result<Option<usize>, Error>> + use<> {
        let world = self.clone();
        let work = |_| async move {
            let _doing = Doing::new(&world);
            for _ in 0..2 {
                yield_now().await;
            }
            Ok(world.done.fetch_add(1, Ordering::SeqCst) + 1)
        };
        self.flights.join(1, work).result()
    }

    /// Waits for an answer, and looks again until there is one.
    async fn answer(self: &Arc<Self>) -> usize {
        loop {
            if let Some(answer) = self.join().await.unwrap() {
                return answer;
            }
        }
    }

    fn wait_until_idle(&self) {
        while self.flights.len() > 0 || self.doing.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}

#[test]
fn the_work_is_done_once_at_a_time_and_every_waiter_has_its_answer() {
    under_many_schedules(|_| {
        let world = World::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || block_on(world.answer()))
            })
            .collect();
        for waiter in waiters {
            let answer = waiter.join().unwrap();
            assert!(answer >= 1 && answer <= world.done.load(Ordering::SeqCst));
        }
        world.wait_until_idle();
    });
}

#[test]
fn who_gives_up_takes_nothing_from_those_who_wait_on() {
    under_many_schedules(|_| {
        let world = World::new();
        let quitters: Vec<_> = (0..2)
            .map(|looks| {
                let world = world.clone();
                thread::spawn(move || {
                    block_on(async move {
                        let mut waiting = Box::pin(world.join());
                        for _ in 0..=looks {
                            if futures_util::poll!(waiting.as_mut()).is_ready() {
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
                thread::spawn(move || block_on(world.answer()))
            })
            .collect();
        for waiter in patient {
            // Without a wake-up the waiter would wait forever, which the scheduler reports.
            assert!(waiter.join().unwrap() >= 1);
        }
        for quitter in quitters {
            quitter.join().unwrap();
        }
        world.wait_until_idle();
    });
}

#[test]
fn a_waiter_that_is_never_polled_again_delays_neither_the_work_nor_others() {
    under_many_schedules(|_| {
        let world = World::new();
        let mut paused = Box::pin(world.join());
        block_on(async {
            _ = futures_util::poll!(paused.as_mut());
        });
        let others: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || block_on(world.answer()))
            })
            .collect();
        for other in others {
            assert!(other.join().unwrap() >= 1);
        }
        // The paused waiter is still alive.
        world.wait_until_idle();
        drop(paused);
    });
}
