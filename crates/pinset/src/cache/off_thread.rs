//! Work on the disk is done on threads that may wait. Invariant: an async thread punches no hole and unlinks no file.

use std::cell::Cell;

use tokio::runtime::Handle;

thread_local! {
    /// Whether this thread may wait for the disk now.
    static MAY_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which may wait for the disk, on this thread: a blocking one.
pub(crate) fn waiting<T>(work: impl FnOnce() -> T) -> T {
    /// Restores the flag, also after a panic.
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            MAY_WAIT.set(self.0);
        }
    }

    let _before = Before(MAY_WAIT.replace(true));
    work()
}

/// Runs `work` on a blocking thread: this one, if it is one or if there is no runtime.
pub(crate) fn run(work: impl FnOnce() + Send + 'static) {
    match MAY_WAIT.get() {
        true => work(),
        false => run_beside(work),
    }
}

/// Runs `work` on another blocking thread; on this one, if there is no runtime.
pub(crate) fn run_beside(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(|| waiting(work))),
        Err(_) => waiting(work),
    }
}
