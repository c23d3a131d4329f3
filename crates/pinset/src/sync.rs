//! The primitives of the state that threads share, and the one way to take a lock here. No lock of this crate is held
//! across an await.
//!
//! With `--cfg shuttle` they are those of a scheduler that tries one order of things after the other: `models` run so.

use std::sync::PoisonError;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

/// Locks `mutex`. A holder that panicked left the state between two statements at worst: everything behind these
/// locks stays usable then (a block too much or too few in a list), so poison is passed over.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
