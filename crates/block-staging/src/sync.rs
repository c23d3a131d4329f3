//! The primitives of what is proven under a scheduler of its own (a build of `budget` with other ones), and the two
//! ways to take a lock here.

use std::sync::{PoisonError, TryLockError};

pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
};

/// Locks `mutex`. A holder that panicked left the state between two statements at worst, and everything behind these
/// locks stays usable then (a block too much or too few in a list). So poison is ignored.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], but `None` where another thread holds it.
pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        // coverage: nothing panics under a lock that is taken so.
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
