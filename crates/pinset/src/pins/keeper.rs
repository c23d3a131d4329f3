//! The pins on the backend: one per opened target and holder, made beside the reads, kept until replacement lets
//! go, released at the end.
//!
//! Invariant (I5): only what this holder pinned is released, and no lazy pin is made that a node's garbage collector
//! could ever stumble over. No lock is held across a call to the backend.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cid::Cid;
use futures_util::{StreamExt, stream};
use pinner_api::{Capabilities, Holder, PinDepth, Pinner, PinnerError};
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::Instrument;

use crate::{
    block::canonical,
    budget::Share,
    cache::nodes::Decoded,
    error::Error,
    flight::Flights,
    lock_dir::HeldLock,
    policy::replacement::{Admission, Decision, Eviction, Insertion, Replacement},
    sync::lock,
    unixfs::{self, Target},
};

/// Pins that wait to be made. More are dropped, and counted: a pin that is late protects little.
const QUEUE: usize = 256;

/// Releases side by side on closing. Few: a node makes such changes one after the other, each may wait for a
/// collection, and the time of a release runs while it waits behind the others'.
const RELEASES: usize = 4;

/// The time for a change of pins, in deadlines for a block.
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
    pub(super) ensuring: Flights<Cid, Result<(), Error>>,
    pub(super) dropped: AtomicU64,
    pub(super) failures: AtomicU64,
    /// Last: the lock file is paid for out of it.
    pub(super) share: Arc<Share>,
}

pub(super) struct State {
    pub(super) policy: Replacement<Cid>,
    /// Invariant: all keys that are resident in `policy`. The others are whole pins that found no room there.
    pub(super) entries: HashMap<Cid, Entry>,
    pub(super) jobs: VecDeque<Job>,
    /// What is to be released and may be on the backend still: closing tries it again.
    pub(super) unreleased: HashSet<Cid>,
    /// Whole pins that are being made just now.
    pub(super) making: usize,
    pub(super) worker: Option<JoinHandle<()>>,
    pub(super) closed: bool,
}

pub(super) struct Entry {
    pub(super) phase: Phase,
    /// Handles open on it: it is in use.
    pub(super) opens: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting, or being made.
    Queued,
    /// On the backend.
    Held(PinDepth),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Pin(Cid),
    Release(Cid),
}

impl Job {
    fn cid(self) -> Cid {
        match self {
            Self::Pin(cid) | Self::Release(cid) => cid,
        }
    }
}

impl Pins {
    pub(crate) fn new(
        pinner: Arc<dyn Pinner>,
        held: HeldLock,
        share: Arc<Share>,
        block_deadline: Duration,
    ) -> Self {
        let state = State {
            policy: Replacement::new(share.bytes()),
            entries: HashMap::new(),
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

    /// A target was opened, and its root block is verified: queues a lazy pin, unless it has one block only, has
    /// a pin, or cannot have one. The guard says how long it is open.
    ///
    /// Only on a block that leads to raw blocks alone: a collector that comes upon a block below a pin that it cannot
    /// read fails as a whole, and what lies deeper is known only once it is on the node, where it is too late.
    pub(crate) fn opened(&self, target: &Target, decoded: &Decoded) -> Option<PinGuard> {
        let inner = &self.inner;
        let (Target::Block(cid), true) = (target, inner.capabilities.lazy_pins) else {
            return None;
        };
        let has_children = match &decoded.node {
            unixfs::Node::File(file) => !file.is_leaf(),
            unixfs::Node::Directory(dir) => dir.entries() > 0,
            unixfs::Node::Shard(_) => true,
            unixfs::Node::Symlink(_) => false,
        };
        if !has_children || !decoded.pinnable {
            return None;
        }
        let cid = canonical(*cid);
        let budget_bytes = inner.share.bytes();
        let declared_bytes = decoded.node.declared_size(0).min(budget_bytes);
        let mut state = lock(&inner.state);
        if state.closed {
            // coverage: closing has to come between.
            return None;
        }
        if let Some(entry) = state.entries.get_mut(&cid) {
            entry.opens += 1;
            state.policy.touch(&cid);
        } else {
            if state.jobs.len() >= QUEUE || !state.admit(cid, declared_bytes, budget_bytes) {
                inner.dropped.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            if let Some(entry) = state.entries.get_mut(&cid) {
                entry.opens = 1;
            }
            state.jobs.push_back(Job::Pin(cid));
            inner.work(&mut state);
        }
        Some(PinGuard {
            inner: inner.clone(),
            cid,
        })
    }

    /// Pins that are on the backend now.
    pub(crate) fn len(&self) -> usize {
        let state = lock(&self.inner.state);
        let held = |entry: &&Entry| matches!(entry.phase, Phase::Held(_));
        state.entries.values().filter(held).count()
    }

    /// Lazy pins that were not made for want of room, in the queue or in the budget.
    pub(crate) fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// Calls that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    /// Pins that are to go and could not be released yet, or are being released.
    pub(crate) fn unreleased(&self) -> usize {
        lock(&self.inner.state).unreleased.len()
    }

    /// Releases everything, also what an earlier call could not. What cannot be released stays for the next start to
    /// find.
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

impl State {
    /// Takes `cid` among the pins to be made, and queues the release of those that have to go for it under the budget
    /// as it is now.
    pub(super) fn admit(&mut self, cid: Cid, bytes: u64, budget_bytes: u64) -> bool {
        self.policy.set_budget(budget_bytes);
        let Decision::Admit(room) = self.policy.request(&cid, bytes, Admission::Use) else {
            // coverage: what is declared was cut to the budget, and what is resident has an entry.
            return false;
        };
        let entries = &mut self.entries;
        let found = loop {
            // One that is being made is not released under way.
            let in_use = |cid: &Cid| {
                let entry = entries.get(cid);
                entry.is_some_and(|entry| entry.opens > 0 || entry.phase == Phase::Queued)
            };
            match self.policy.evict(&room, in_use) {
                Eviction::Enough => break true,
                Eviction::NoneFree => break false,
                Eviction::Victim { key, .. } => {
                    entries.remove(&key);
                    self.jobs.push_back(Job::Release(key));
                }
            }
        };
        let admitted = found && matches!(self.policy.insert(cid, room), Insertion::Admitted);
        if admitted {
            let phase = Phase::Queued;
            entries.insert(cid, Entry { phase, opens: 0 });
        }
        admitted
    }

    /// Whether there was a pin, made or queued.
    pub(super) fn forget(&mut self, cid: &Cid) -> bool {
        self.policy.remove(cid);
        self.jobs.retain(|job| *job != Job::Pin(*cid));
        self.entries.remove(cid).is_some()
    }
}

impl Inner {
    /// Ends the making of pins: all that may be on the backend is to be released. Gives the worker, which ends soon.
    fn stop(&self) -> Option<JoinHandle<()>> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.closed = true;
        state.jobs.retain(|job| matches!(job, Job::Release(_)));
        let releases = state.jobs.drain(..).map(|job| job.cid());
        state.unreleased.extend(releases);
        let pinned = state.entries.drain().map(|(cid, _)| cid);
        state.unreleased.extend(pinned);
        let worker = state.worker.take();
        if let Some(worker) = &worker {
            worker.abort();
        }
        worker
    }

    async fn release_all(&self, worker: Option<JoinHandle<()>>) -> Result<(), Error> {
        if let Some(worker) = worker {
            // What it was making is made or not from now on: a release must not overtake it.
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
                // The rest would take as long, one after the other.
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

    /// Releases what is left after the end, as far as that can be: without a runtime, or when it ends first, the next
    /// start finds it.
    pub(super) fn release_beside(self: &Arc<Self>, worker: Option<JoinHandle<()>>) {
        if lock(&self.state).unreleased.is_empty() {
            return self.unmark();
        }
        if let Ok(runtime) = Handle::try_current() {
            let inner = self.clone();
            runtime.spawn(async move { inner.release_all(worker).await });
        }
    }

    /// Takes the mark off the lock, if nothing of this holder's can be on the backend any more.
    fn unmark(&self) {
        let state = lock(&self.state);
        // Under the lock: nothing is pinned meanwhile.
        if state.closed && state.unreleased.is_empty() && state.making == 0 {
            self.held.no_pins_remain();
        }
    }

    /// To be waited for before a pin is made: from here on a crash leaves something to recover.
    pub(super) async fn pins_may_remain(&self) -> Result<(), Error> {
        if self.held.says_that_pins_may_remain() {
            return Ok(());
        }
        let held = self.held.clone();
        let marked = tokio::task::spawn_blocking(move || held.pins_may_remain()).await;
        let marked = match marked {
            Ok(marked) => marked.map_err(Error::from),
            // coverage: needs a disk that fails under the lock directory; the thread does not panic.
            Err(error) => Err(Error::Staging {
                what: "the thread that marks the lock failed".to_owned(),
                source: Some(Arc::new(io::Error::other(error))),
            }),
        };
        marked.inspect_err(|error| {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "without a mark in the lock directory nothing is pinned");
        })
    }

    /// Releases a pin. Until that has succeeded it is among the unreleased.
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

    /// How long a lazy pin or a release may take. A backend makes such changes one after the other, for all its
    /// holders, and each may wait for a collection: longer than for a block.
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

/// An open handle on a pinned target.
pub(crate) struct PinGuard {
    inner: Arc<Inner>,
    cid: Cid,
}

impl fmt::Debug for PinGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinGuard({})", self.cid)
    }
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.inner.state).entries.get_mut(&self.cid) {
            // One that was released and made again meanwhile counts the newer handles only.
            entry.opens = entry.opens.saturating_sub(1);
        }
    }
}
