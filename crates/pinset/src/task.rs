//! Work that runs beside its owner and ends with it.

use tokio::{runtime::Handle, task::AbortHandle};

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
