//! The synchronization primitives, and the two ways to take a lock. A test builds `budget` with other primitives, to
//! run it under its own scheduler.

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

/// Locks `mutex`. Poison is ignored: a thread that panicked under the lock left the state between two statements at
/// worst, and everything behind these locks is still usable then (a list may have one block too many or too few).
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Like [`lock`], but returns `None` if another thread holds the lock.
pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        // coverage: nothing panics under a lock that is taken in this way.
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
