//! Single flight, the leases on staged blocks, and the shares of a budget, under a scheduler that tries one order of
//! things after the other ([`shuttle`]).
//!
//! What runs here is the crate's own source, built once more with the scheduler's primitives in the place of `sync`,
//! and a disk in memory in the place of `staging`, which knows at every instant what is allocated, and notices who
//! reads above a hole. A failure prints the schedule that led to it; `shuttle::replay` runs that again.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each module is a part of another crate, of which only some is used here"
)]

#[path = "../../../block-staging/src/space/budget.rs"]
mod budget;
#[path = "../../src/flight.rs"]
mod flight;
#[path = "../../src/policy/residents.rs"]
mod residents;
#[path = "../../src/cache/staged.rs"]
mod staged;
mod staging;
#[path = "../../src/cache/store.rs"]
mod store;

mod one_flight;
mod one_store;
mod one_total;

/// The scheduler's primitives.
mod sync {
    use std::sync::PoisonError;

    pub(crate) use shuttle::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        },
        thread::sleep,
    };

    pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the crate has them.
mod cache {
    pub(crate) use crate::{staged, store};
}

/// What `budget` imports.
mod space {
    pub(crate) mod overhead {
        pub(crate) use crate::staging::Overhead;
    }
}

mod block {
    pub(crate) type Key = u64;
    pub(crate) type KeyHash = foldhash::quality::FixedState;
}

mod policy {
    pub(crate) use pinset::replacement;

    pub(crate) use crate::residents;
}

/// Runs `model` under many schedules: random ones, and ones that change priorities at a few points only, which find
/// what takes a thread that is held up for long.
fn under_many_schedules(model: impl Fn() + Send + Sync + Clone + 'static) {
    let schedules = match std::env::var_os("WASI_IPFS_QUICK") {
        Some(_) => 500,
        None => 5000,
    };
    shuttle::check_random(model.clone(), schedules);
    shuttle::check_pct(model, schedules, 3);
}
