//! The worker of the queue. It makes and releases pins one at a time, so that the backend never gets bursts of writes.

use std::{pin::pin, sync::Arc};

use futures_util::future::select;
use pinner_api::PinDepth;
use pinset_policy::register::Job;
use tokio::{runtime::Handle, task::JoinHandle};

use super::keeper::{Change, Inner, State};
use crate::sync::lock;

impl Inner {
    /// Starts the worker, if there is something to do and the worker is not running.
    pub(super) fn work(self: &Arc<Self>, state: &mut State) {
        let runs = |worker: &JoinHandle<()>| !worker.is_finished();
        if !state.register.has_jobs() || state.worker.as_ref().is_some_and(runs) {
            return;
        }
        // Without a runtime the jobs wait for a call from within one.
        if let Ok(runtime) = Handle::try_current() {
            let worker = run(self.clone());
            state.worker = Some(runtime.spawn(worker));
        }
    }
}

async fn run(inner: Arc<Inner>) {
    loop {
        inner.held.refresh();
        let job = {
            let mut state = lock(&inner.state);
            match state.register.next_job() {
                Some(job) => job,
                None => {
                    state.worker = None;
                    return;
                }
            }
        };
        // A change that fails is counted there. A release is tried again when the backend has released another pin, or
        // on closing.
        match job {
            Job::Pin(cid) => {
                let made = pin!(inner.change(cid, Change::Pin(PinDepth::Lazy)));
                // A whole pin does not wait for a lazy one that hangs. The lazy one is given up, since the whole one
                // covers it.
                let claimed = pin!(inner.tell_until(false, |register| register.is_claimed(&cid)));
                _ = select(made, claimed).await;
            }
            Job::Release(cid) => _ = inner.change(cid, Change::Release).await,
        }
    }
}
