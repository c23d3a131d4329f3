//! The primitives of what is proven under a scheduler of its own (`tests/concurrency`, which has another `sync`), and
//! the one way to take a lock here. No lock of this crate is held across an await.

use std::sync::PoisonError;

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

/// Locks `mutex`. A holder that panicked left the state between two statements at worst: everything behind these
/// locks stays usable then (a block too much or too few in a list), so poison is passed over.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
