//! Single flight, the leases on staged blocks, and the shares of a budget, under a scheduler that tries one order of
//! events after the other ([`shuttle`]).
//!
//! These tests run the crate's own source, built a second time. The scheduler's primitives take the place of `sync`,
//! and a disk in memory takes the place of `staging`. That disk knows at every instant how much is allocated, and
//! notices a read from a hole. A failure prints its schedule, which `shuttle::replay` runs again.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each module is a part of another crate, and only some of it is used here"
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

/// The paths under which the crate has them.
mod cache {
    pub(crate) use crate::{staged, store};
}

/// The module that `budget` imports from.
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

/// Runs `model` under many schedules: random ones, and ones that change priorities only at a few points. The latter
/// find failures that need a thread to be held up for long.
fn under_many_schedules(model: impl Fn() + Send + Sync + Clone + 'static) {
    let schedules = match std::env::var_os("WASI_IPFS_QUICK") {
        Some(_) => 500,
        None => 5000,
    };
    shuttle::check_random(model.clone(), schedules);
    shuttle::check_pct(model, schedules, 3);
}
