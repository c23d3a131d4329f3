//! The primitives of all state that threads share, and the two ways to take a lock here.
//!
//! With `--cfg shuttle` they are those of a scheduler that tries one order of things after the other: the models of this
//! crate and of its users run so.

use std::sync::{PoisonError, TryLockError};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::sleep,
};
#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
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

/// A point where the scheduler may go elsewhere, as at any use of a primitive: before a system call that it does not
/// see, and after a step. (To yield would be another thing: a thread of high priority would lose it.)
#[cfg(shuttle)]
pub(crate) fn point() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}
