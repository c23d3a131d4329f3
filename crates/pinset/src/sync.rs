//! The primitives of the modules that `tests/concurrency` builds with another `sync` and tests under a scheduler of its
//! own, and the one way to take a lock in this crate. No lock of this crate is held across an await.

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

/// Locks `mutex`, and ignores poison. A holder that panicked left the state between two statements at worst, and then
/// everything behind these locks is still usable (with a block too many or too few in a list).
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a number that nothing else in this process has.
pub(crate) fn new_number() -> u64 {
    use std::sync::atomic;
    static NEXT: atomic::AtomicU64 = atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, atomic::Ordering::Relaxed)
}
