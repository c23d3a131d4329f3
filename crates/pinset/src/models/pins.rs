//! The register of pins, with callers who wait, give up and close, and a backend that fails, loses answers and takes
//! its time: whatever the register calls pinned is pinned, two calls never run at once for a root, and after the end
//! nothing of ours is left (I5).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cid::Cid;
use shuttle::{
    rand::{Rng, thread_rng},
    sync::{Condvar, Mutex},
    thread::{self, JoinHandle},
};
use test_support::schedules::under_many_schedules;

use super::key;
use pinset_policy::register::{Begun, Job, Outcome, Register, Releasing};

/// The weight of each pin.
const WEIGHT: u64 = 10;

const ROOTS: [u64; 2] = [1, 2];

fn root(n: u64) -> Cid {
    Cid::new_v1(0x70, key(n))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pinned {
    Lazily,
    Whole,
}

#[derive(Clone, Copy)]
enum Change {
    Pin(Pinned),
    Release,
}

#[derive(Default)]
struct Backend {
    pins: BTreeMap<Cid, BTreeSet<Pinned>>,
    busy: BTreeSet<Cid>,
    /// Whether every call succeeds.
    is_sound: bool,
}

struct World {
    register: Mutex<Register>,
    told: Condvar,
    backend: Mutex<Backend>,
}

impl World {
    fn new(budget: u64) -> Arc<Self> {
        Arc::new(Self {
            register: Mutex::new(Register::new(budget, 10)),
            told: Condvar::new(),
            backend: Mutex::default(),
        })
    }

    fn tell<T>(&self, event: impl FnOnce(&mut Register) -> T) -> T {
        let mut register = self.register.lock().unwrap();
        let answer = event(&mut register);
        self.check(&register);
        self.told.notify_all();
        answer
    }

    fn tell_until<T: PartialEq>(&self, wait: T, question: impl Fn(&mut Register) -> T) -> T {
        let mut register = self.register.lock().unwrap();
        loop {
            let answer = question(&mut register);
            self.check(&register);
            if answer != wait {
                self.told.notify_all();
                return answer;
            }
            register = self.told.wait(register).unwrap();
        }
    }

    /// Asserts what holds after each step.
    fn check(&self, register: &Register) {
        let backend = self.backend.lock().unwrap();
        for cid in ROOTS.map(root) {
            let whole = backend.has(&cid, Pinned::Whole);
            assert!(whole || !register.holds_whole(&cid), "it is not pinned");
        }
        assert!(!register.is_over() || backend.pins.is_empty(), "a leak");
    }

    /// Makes a change on the backend, which may fail with or without effect.
    fn call(&self, cid: Cid, change: Change) -> Outcome {
        let outcome = {
            let mut backend = self.backend.lock().unwrap();
            assert!(backend.busy.insert(cid), "two calls at once");
            let how = match backend.is_sound {
                true => 0,
                false => thread_rng().gen_range(0..6),
            };
            let (takes_effect, outcome) = match how {
                0..=2 => (true, Outcome::Done),
                3 => (true, Outcome::Unknown),
                4 => (false, Outcome::Unknown),
                _ => (false, Outcome::Refused),
            };
            // The effect and the answer may both be late.
            drop(backend);
            thread::yield_now();
            backend = self.backend.lock().unwrap();
            if takes_effect {
                backend.apply(cid, change);
            }
            outcome
        };
        self.check(&self.register.lock().unwrap());
        thread::yield_now();
        self.backend.lock().unwrap().busy.remove(&cid);
        outcome
    }

    fn change(&self, cid: Cid, change: Change) -> Outcome {
        let outcome = self.call(cid, change);
        if self.tell(|register| register.ended(cid, outcome)) {
            self.release(cid);
        }
        outcome
    }

    /// As `Pins::ensure`: returns whether the whole pin is held, with a claim on it.
    fn ensure(&self, cid: Cid) -> bool {
        let Some(_) = self.tell(|register| register.claim(cid, WEIGHT)) else {
            return false;
        };
        let begun = self.tell_until(Begun::Wait, |register| register.begin_whole(cid));
        match begun {
            Begun::Held => true,
            Begun::Make if self.change(cid, Change::Pin(Pinned::Whole)) == Outcome::Done => true,
            Begun::Make | Begun::Wait | Begun::Closed => {
                self.tell(|register| register.unclaim(&cid));
                false
            }
        }
    }

    /// As the worker: makes one change after the other, until the register is closed.
    fn work(&self) {
        loop {
            let job = self.tell_until(None, |register| {
                if register.is_closed() {
                    return Some(None);
                }
                register.next_job().map(Some)
            });
            match job.flatten() {
                Some(Job::Pin(cid)) => self.change(cid, Change::Pin(Pinned::Lazily)),
                Some(Job::Release(cid)) => self.change(cid, Change::Release),
                None => return,
            };
        }
    }

    fn release(&self, cid: Cid) {
        let begun = self.tell_until(Releasing::Wait, |register| register.begin_release(&cid));
        if begun == Releasing::Make {
            self.change(cid, Change::Release);
        }
    }

    fn close(&self) {
        self.tell(Register::close);
        for cid in self.tell(|register| register.left()) {
            self.release(cid);
        }
    }

    fn has(&self, cid: &Cid) -> bool {
        self.backend.lock().unwrap().has(cid, Pinned::Whole)
    }

    fn is_closed(&self) -> bool {
        self.register.lock().unwrap().is_closed()
    }
}

impl Backend {
    fn has(&self, cid: &Cid, pinned: Pinned) -> bool {
        let pins = self.pins.get(cid);
        pins.is_some_and(|pins| pins.contains(&pinned))
    }

    fn apply(&mut self, cid: Cid, change: Change) {
        match change {
            Change::Pin(pinned) => _ = self.pins.entry(cid).or_default().insert(pinned),
            Change::Release => _ = self.pins.remove(&cid),
        }
    }
}

fn start(world: &Arc<World>, run: impl FnOnce(&World) + Send + 'static) -> JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || run(&world))
}

/// Ensures a root, holds it for a moment, and lets go.
fn hold(world: &World, cid: Cid) {
    if !world.ensure(cid) {
        return;
    }
    for _ in 0..3 {
        let is_there = world.has(&cid);
        assert!(is_there || world.is_closed(), "it was released");
        thread::yield_now();
    }
    world.tell(|register| register.unclaim(&cid));
}

fn open(world: &World, cid: Cid) {
    if world.tell(|register| register.handle_opened(cid, WEIGHT)) {
        thread::yield_now();
        world.tell(|register| register.handle_closed(&cid));
    }
}

/// Closes with a backend that answers, and checks that nothing is left.
fn end(world: &World, threads: Vec<JoinHandle<()>>, worker: JoinHandle<()>) {
    for thread in threads {
        thread.join().unwrap();
    }
    world.backend.lock().unwrap().is_sound = true;
    world.close();
    worker.join().unwrap();
    // The worker's last call may have failed after that.
    world.close();
    assert!(world.register.lock().unwrap().is_over());
    assert!(world.backend.lock().unwrap().pins.is_empty(), "a leak");
}

#[test]
fn what_is_ensured_stays_pinned_until_it_is_let_go() {
    under_many_schedules(|_| {
        // There is room for one of the two.
        let world = World::new(WEIGHT);
        let worker = start(&world, World::work);
        let threads = (0..3)
            .map(|n| {
                start(&world, move |world| {
                    for round in 0..2 {
                        hold(world, root(ROOTS[(n + round) % 2]));
                    }
                })
            })
            .chain([start(&world, |world| {
                for n in ROOTS {
                    open(world, root(n));
                }
            })])
            .collect();
        end(&world, threads, worker);
    });
}

#[test]
fn what_is_kept_stays_pinned_beside_lazy_pins_and_makes_way_for_a_whole_one() {
    under_many_schedules(|_| {
        let world = World::new(WEIGHT);
        let worker = start(&world, World::work);
        let [kept, other] = ROOTS.map(root);
        let keeper = start(&world, move |world| {
            if !world.ensure(kept) {
                return;
            }
            assert!(world.tell(|register| register.keep(&kept)));
            for _ in 0..3 {
                open(world, other);
                assert!(world.has(&kept), "it made way for a lazy pin");
            }
            hold(world, other);
            hold(world, kept);
        });
        let opener = start(&world, move |world| {
            for _ in 0..2 {
                open(world, kept);
            }
        });
        end(&world, vec![keeper, opener], worker);
    });
}

#[test]
fn closing_leaves_nothing_whoever_pins_meanwhile() {
    under_many_schedules(|_| {
        let world = World::new(2 * WEIGHT);
        let worker = start(&world, World::work);
        let threads = ROOTS
            .map(|n| {
                start(&world, move |world| {
                    open(world, root(n));
                    hold(world, root(n));
                })
            })
            .into_iter()
            .chain([
                start(&world, |world| hold(world, root(1))),
                start(&world, World::close),
            ])
            .collect();
        end(&world, threads, worker);
    });
}
