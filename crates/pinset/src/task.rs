//! Work that runs beside its owner and ends with it.

#[cfg(not(shuttle))]
use std::time::Duration;
use std::{
    fmt, panic,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinError, JoinHandle},
};
use tracing::Instrument;

use crate::error::Error;

/// How long the result of shared work is kept for waiters that have not taken it. A waiter that is polled takes it
/// within microseconds.
#[cfg(not(shuttle))]
const GRACE: Duration = Duration::from_millis(50);

/// The runtime that drives shared work: the one in which the pinset was made.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Option<Handle>);

impl Runtime {
    /// Returns the current runtime. Without one, work goes to the runtime of whoever starts it.
    pub(crate) fn current() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Runs `work` to its end on the current thread. Returns `None` without a runtime.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.as_ref().map(|on| on.block_on(work))
    }

    /// Spawns `work`. It is dropped if there is no runtime, or if the runtime has ended.
    #[cfg(not(shuttle))]
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(on) = self.0.clone().or_else(|| Handle::try_current().ok()) {
            on.spawn(work.in_current_span());
        }
    }

    #[cfg(shuttle)]
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(work));
    }
}

/// Waits for `all_taken`, but not for long.
#[cfg(not(shuttle))]
pub(crate) async fn grace(all_taken: impl Future<Output = ()>) {
    _ = tokio::time::timeout(GRACE, all_taken).await;
}

/// A model has no clock: the wait ends after a few turns of the scheduler.
#[cfg(shuttle)]
pub(crate) async fn grace(all_taken: impl Future<Output = ()>) {
    let turns = async {
        for _ in 0..3 {
            shuttle::future::yield_now().await;
        }
    };
    let (all_taken, turns) = (std::pin::pin!(all_taken), std::pin::pin!(turns));
    futures_util::future::select(all_taken, turns).await;
}

/// A spawned task that is cancelled when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(Option<AbortHandle>);

impl Task {
    /// A task with nothing to do.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Spawns `work`. Outside a runtime `work` is dropped instead, which costs only speed.
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(
            Handle::try_current()
                .ok()
                .map(|on| on.spawn(work).abort_handle()),
        )
    }

    /// Returns whether nothing is left to be done.
    pub(crate) fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(AbortHandle::is_finished)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Runs `work` on a blocking thread. If the future is dropped, work that has not started is cancelled; the result of
/// work that has started is dropped on its thread.
///
/// # Errors
/// Those of the work; [`Error::Closed`] if the runtime is shutting down.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Answer<T> {
    Answer(Work::Spawned(tokio::task::spawn_blocking(work)))
}

/// The result of work that its caller polls once. If it has to wait, a task of its own goes on with it, so that a caller
/// that keeps this without polling it delays nobody (I11). Dropping it cancels the work.
pub(crate) struct Answer<T>(Work<T>);

enum Work<T> {
    Fresh(Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>),
    Spawned(JoinHandle<Result<T, Error>>),
    Over,
}

impl<T: Send + 'static> Answer<T> {
    pub(crate) fn of(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self(Work::Fresh(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Answer<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Work::Fresh(work) = &mut self.0 {
            if let Poll::Ready(answer) = work.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            // Outside a runtime it is polled here.
            let Ok(runtime) = Handle::try_current() else {
                return Poll::Pending;
            };
            if let Work::Fresh(work) = std::mem::replace(&mut self.0, Work::Over) {
                self.0 = Work::Spawned(runtime.spawn(work.in_current_span()));
            }
        }
        match &mut self.0 {
            Work::Spawned(task) => {
                let answer = ready!(Pin::new(task).poll(context));
                Poll::Ready(answer.unwrap_or_else(|error| Err(ended(error))))
            }
            Work::Fresh(_) | Work::Over => Poll::Pending,
        }
    }
}

/// Hands a panic on. Without one, the runtime is ending.
fn ended(error: JoinError) -> Error {
    if let Ok(panic) = error.try_into_panic() {
        panic::resume_unwind(panic);
    }
    Error::Closed
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Work::Spawned(task) = &self.0 {
            task.abort();
        }
    }
}
