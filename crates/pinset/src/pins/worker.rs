//! The worker of the queue. It makes and releases pins one at a time, so that the backend never gets bursts of writes.

use std::sync::Arc;

use cid::Cid;
use pinner_api::PinDepth;
use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    keeper::Inner,
    state::{Job, Phase, State},
};
use crate::sync::lock;

impl Inner {
    /// Starts the worker, if there is something to do and the worker is not running.
    pub(super) fn work(self: &Arc<Self>, state: &mut State) {
        if state.jobs.is_empty() || state.closed || state.worker.is_some() {
            return;
        }
        // Without a runtime the jobs wait for a call from within one.
        if let Ok(runtime) = Handle::try_current() {
            let worker = run(self.clone());
            state.worker = Some(runtime.spawn(worker));
        }
    }

    /// Queues one of the releases that failed, of a root that has not been pinned again since.
    fn try_again(&self) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let mut left = state.unreleased.iter();
        let again = left.find(|cid| state.entries.get(cid).is_none());
        state.jobs.extend(again.map(|cid| Job::Release(*cid)));
    }

    async fn make(&self, cid: Cid) {
        if self.pins_may_remain().await.is_err() {
            // coverage: needs a disk that fails under the lock directory.
            lock(&self.state).forget(&cid);
            return;
        }
        let span = tracing::debug_span!("pin", %cid, depth = "lazy");
        let made = self.pinner.pin(&self.holder, &cid, PinDepth::Lazy);
        let made = made.instrument(span);
        let made = tokio::time::timeout(self.change_deadline(), made).await;
        let made = made.unwrap_or_else(|_| Err(self.timed_out("pin", &cid)));
        let mut state = lock(&self.state);
        match made {
            Ok(()) => {
                if let Some(entry) = state.entries.get_mut(&cid) {
                    if entry.phase == Phase::Queued {
                        entry.phase = Phase::Held(PinDepth::Lazy);
                    }
                    // An earlier pin on this root that could not be released is now this pin.
                    state.unreleased.remove(&cid);
                }
            }
            Err(error) => {
                // The pin may have been made all the same, if only the answer was lost.
                let uncertain = error.may_pass();
                if state.forget(&cid) && uncertain {
                    state.jobs.push_back(Job::Release(cid));
                }
                drop(state);
                _ = self.failed(cid, error);
            }
        }
    }
}

async fn run(inner: Arc<Inner>) {
    loop {
        let job = {
            let mut state = lock(&inner.state);
            match state.jobs.pop_front() {
                Some(job) => {
                    if let Job::Release(cid) = job {
                        state.unreleased.insert(cid);
                    }
                    job
                }
                None => {
                    state.worker = None;
                    return;
                }
            }
        };
        match job {
            Job::Pin(cid) => inner.make(cid).await,
            // A release that fails is counted, and tried again when the backend has released another pin, or on
            // closing.
            Job::Release(cid) => {
                if inner.release(cid).await.is_ok() {
                    inner.try_again();
                }
            }
        }
    }
}
