//! The pins on the backend: one for each opened target and holder. They are made beside the reads, kept until
//! replacement evicts them, and released on closing.
//!
//! Invariant (I5): only this holder's pins are released, and no lazy pin is made that could ever make a node's garbage
//! collection fail. No lock is held across a call to the backend.

use std::{
    collections::{HashSet, VecDeque},
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cid::Cid;
use futures_util::{StreamExt, stream};
use pinner_api::{Capabilities, Holder, Pinner, PinnerError};
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::Instrument;

use super::state::{Entry, Job, Phase, State};
use crate::{
    budget::Share,
    error::Error,
    flight::Flights,
    lock_dir::HeldLock,
    policy::residents::Residents,
    sync::{Mutex, lock},
};

/// How many releases run at once on closing. They are few, because a node makes such changes one after the other, each
/// may wait for a garbage collection, and the deadline of a release runs while it waits behind the others.
const RELEASES: usize = 4;

/// The deadline for a change of pins, in multiples of the deadline for a block.
const CHANGE_DEADLINES: u32 = 4;

/// All pins of one holder.
pub(crate) struct Pins {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) pinner: Arc<dyn Pinner>,
    pub(super) capabilities: Capabilities,
    pub(super) holder: Holder,
    /// The proof that the holder lives.
    pub(super) held: HeldLock,
    pub(super) block_deadline: Duration,
    pub(super) state: Mutex<State>,
    pub(super) ensuring: Flights<Cid, ()>,
    pub(super) dropped: AtomicU64,
    pub(super) failures: AtomicU64,
    /// The last field, and so dropped last: it pays for the lock file.
    pub(super) share: Arc<Share>,
}

impl Pins {
    pub(crate) fn new(
        pinner: Arc<dyn Pinner>,
        held: HeldLock,
        share: Arc<Share>,
        block_deadline: Duration,
    ) -> Self {
        let state = State {
            entries: Residents::new(share.bytes()),
            jobs: VecDeque::new(),
            unreleased: HashSet::new(),
            making: 0,
            worker: None,
            closed: false,
        };
        Self {
            inner: Arc::new(Inner {
                capabilities: pinner.capabilities(),
                pinner,
                holder: Holder::new(held.lock_dir().id(), held.name()),
                held,
                block_deadline,
                state: Mutex::new(state),
                ensuring: Flights::new(),
                dropped: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                share,
            }),
        }
    }

    pub(crate) fn holder(&self) -> Holder {
        self.inner.holder
    }

    /// The number of pins that are on the backend now.
    pub(crate) fn len(&self) -> usize {
        let state = lock(&self.inner.state);
        let held = |entry: &&Entry| matches!(entry.phase, Phase::Held(_));
        state.entries.values().filter(held).count()
    }

    /// The number of lazy pins that were not made because the queue or the budget had no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// The number of calls that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    /// The number of pins that are being released, or could not be released yet.
    pub(crate) fn unreleased(&self) -> usize {
        lock(&self.inner.state).unreleased.len()
    }

    /// Releases all pins, including those that an earlier call could not release. The next start finds the pins that
    /// cannot be released now.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let worker = self.inner.stop();
        self.inner.release_all(worker).await
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let worker = self.inner.stop();
        self.inner.release_beside(worker);
    }
}

impl Inner {
    /// Ends the making of pins, and marks all pins that may be on the backend for release. Returns the worker, which
    /// ends soon.
    fn stop(&self) -> Option<JoinHandle<()>> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.closed = true;
        state.jobs.retain(|job| matches!(job, Job::Release(_)));
        let releases = state.jobs.drain(..).map(|job| job.cid());
        state.unreleased.extend(releases);
        let pinned = mem::replace(&mut state.entries, Residents::new(0));
        state.unreleased.extend(pinned.into_keys());
        let worker = state.worker.take();
        if let Some(worker) = &worker {
            worker.abort();
        }
        worker
    }

    async fn release_all(&self, worker: Option<JoinHandle<()>>) -> Result<(), Error> {
        if let Some(worker) = worker {
            // After this the worker's last pin was either made or not. A release must not overtake it.
            _ = worker.await;
        }
        let roots: Vec<_> = lock(&self.state).unreleased.iter().copied().collect();
        let mut releases = stream::iter(roots)
            .map(|cid| self.release(cid))
            .buffer_unordered(RELEASES);
        let mut failed = None;
        while let Some(released) = releases.next().await {
            let Err(error) = released else { continue };
            let hangs = matches!(
                error,
                Error::Pin {
                    source: PinnerError::TimedOut { .. },
                    ..
                }
            );
            failed.get_or_insert(error);
            if hangs {
                // Each of the others would take as long, one after the other.
                break;
            }
        }
        match failed {
            None => {
                self.unmark();
                Ok(())
            }
            Some(error) => Err(error),
        }
    }

    /// Releases the remaining pins in a task of its own. If there is no runtime, or if it ends first, the next start
    /// finds them.
    pub(super) fn release_beside(self: &Arc<Self>, worker: Option<JoinHandle<()>>) {
        if lock(&self.state).unreleased.is_empty() {
            return self.unmark();
        }
        if let Ok(runtime) = Handle::try_current() {
            let inner = self.clone();
            runtime.spawn(async move { inner.release_all(worker).await });
        }
    }

    /// Removes the mark from the lock, if this holder can have no more pins on the backend.
    fn unmark(&self) {
        let state = lock(&self.state);
        // Under the lock, so that nothing is pinned meanwhile.
        if state.closed && state.unreleased.is_empty() && state.making == 0 {
            self.held.no_pins_remain();
        }
    }

    /// Marks the lock, so that the pins can be recovered after a crash. Every pin has to wait for this before it is
    /// made.
    pub(super) async fn pins_may_remain(&self) -> Result<(), Error> {
        if self.held.says_that_pins_may_remain() {
            return Ok(());
        }
        let held = self.held.clone();
        let marked = tokio::task::spawn_blocking(move || held.pins_may_remain()).await;
        let marked = match marked {
            Ok(marked) => marked.map_err(Error::from),
            Err(error) => Err(Error::Staging {
                what: "the thread that marks the lock failed".to_owned(),
                source: Some(Arc::new(io::Error::other(error))),
            }),
        };
        marked.inspect_err(|error| {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "nothing is pinned, since the lock cannot be marked");
        })
    }

    /// Releases a pin. The pin stays among the unreleased until this has succeeded.
    pub(super) async fn release(&self, cid: Cid) -> Result<(), Error> {
        let span = tracing::debug_span!("release", %cid);
        let released = self.pinner.unpin(&self.holder, &cid).instrument(span);
        let released = tokio::time::timeout(self.change_deadline(), released).await;
        match released.unwrap_or_else(|_| Err(self.timed_out("unpin", &cid))) {
            Ok(()) => {
                lock(&self.state).unreleased.remove(&cid);
                Ok(())
            }
            Err(source) => Err(self.failed(cid, source)),
        }
    }

    /// How long a lazy pin or a release may take. This is longer than for a block, because a backend makes such changes
    /// one after the other for all its holders, and each may wait for a garbage collection.
    pub(super) fn change_deadline(&self) -> Duration {
        self.block_deadline.saturating_mul(CHANGE_DEADLINES)
    }

    pub(super) fn timed_out(&self, what: &str, cid: &Cid) -> PinnerError {
        PinnerError::TimedOut {
            operation: format!("{what} {cid}"),
            after: self.change_deadline(),
        }
    }

    pub(super) fn failed(&self, cid: Cid, source: PinnerError) -> Error {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%cid, error = %source, "a pin could not be made or released");
        Error::Pin { cid, source }
    }
}
