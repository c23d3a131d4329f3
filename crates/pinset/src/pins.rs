//! The pins on the backend: one per opened target and holder, made beside the reads, kept until replacement lets
//! go, released at the end.
//!
//! Invariant (I5): only what this holder pinned is released, and no lazy pin is made that a node's garbage collector
//! could ever stumble over. No lock is held across a call to the backend.

mod ensure;
mod worker;

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
use tokio::{runtime::Handle, task::AbortHandle};
use tracing::Instrument;

use crate::{
    budget::Share,
    error::Error,
    flight::Flights,
    lock_dir::HeldLock,
    nodes::Decoded,
    replacement::{Admission, Decision, Eviction, Insertion, Replacement},
    session::canonical,
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
    inner: Arc<Inner>,
}

struct Inner {
    pinner: Arc<dyn Pinner>,
    capabilities: Capabilities,
    holder: Holder,
    /// The proof that the holder lives.
    held: HeldLock,
    block_deadline: Duration,
    state: Mutex<State>,
    ensuring: Flights<Cid, Result<(), Error>>,
    dropped: AtomicU64,
    failures: AtomicU64,
    /// Last: the lock file is paid for out of it.
    share: Arc<Share>,
}

struct State {
    policy: Replacement<Cid>,
    /// Invariant: the same keys as are resident in `policy`.
    entries: HashMap<Cid, Entry>,
    jobs: VecDeque<Job>,
    /// Releases that were begun and have not succeeded: closing tries them again.
    unreleased: HashSet<Cid>,
    worker: Option<AbortHandle>,
    closed: bool,
}

struct Entry {
    phase: Phase,
    /// Handles open on it: it is in use.
    opens: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting, or being made.
    Queued,
    /// On the backend.
    Held(PinDepth),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Pin(Cid),
    Release(Cid),
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

    /// Releases that were begun and have not succeeded.
    pub(crate) fn unreleased(&self) -> usize {
        lock(&self.inner.state).unreleased.len()
    }

    /// Lazy pins that were not made for want of room, in the queue or in the budget.
    pub(crate) fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// Calls that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    /// Releases everything. What cannot be released stays for the next start to find.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let roots = self.inner.stop();
        self.inner.release_all(roots).await
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let roots = self.inner.stop();
        if roots.is_empty() {
            return;
        }
        // As far as that can be: without a runtime, or when it ends first, the next start finds them.
        if let Ok(runtime) = Handle::try_current() {
            let inner = self.inner.clone();
            runtime.spawn(async move { inner.release_all(roots).await });
        }
    }
}

impl State {
    /// Takes `cid` among the pins to be made, and queues the release of those that have to go for it under the budget
    /// as it is now.
    fn admit(&mut self, cid: Cid, bytes: u64, budget_bytes: u64) -> bool {
        self.policy.set_budget(budget_bytes);
        let Decision::Admit(room) = self.policy.request(&cid, bytes, Admission::Use) else {
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
    fn forget(&mut self, cid: &Cid) -> bool {
        self.policy.remove(cid);
        self.jobs.retain(|job| *job != Job::Pin(*cid));
        self.entries.remove(cid).is_some()
    }
}

impl Inner {
    /// Ends the making of pins. Gives all that may be on the backend.
    fn stop(&self) -> Vec<Cid> {
        let mut state = lock(&self.state);
        state.closed = true;
        if let Some(worker) = state.worker.take() {
            worker.abort();
        }
        let unreleased: Vec<_> = state
            .jobs
            .drain(..)
            .filter_map(|job| match job {
                Job::Release(cid) => Some(cid),
                Job::Pin(_) => None,
            })
            .collect();
        let mut roots: Vec<_> = state.entries.drain().map(|(cid, _)| cid).collect();
        roots.extend(unreleased);
        roots.extend(state.unreleased.drain());
        roots
    }

    async fn release_all(&self, roots: Vec<Cid>) -> Result<(), Error> {
        let results = stream::iter(roots)
            .map(|cid| self.release(cid))
            .buffer_unordered(RELEASES)
            .collect::<Vec<_>>()
            .await;
        for result in results {
            result?;
        }
        self.held.no_pins_remain();
        Ok(())
    }

    /// To be waited for before a pin is made: from here on a crash leaves something to recover.
    async fn pins_may_remain(&self) -> Result<(), Error> {
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
            tracing::warn!(%error, "without a mark in the lock directory nothing is pinned");
        })
    }

    async fn release(&self, cid: Cid) -> Result<(), Error> {
        let span = tracing::debug_span!("release", %cid);
        let released = self.pinner.unpin(&self.holder, &cid).instrument(span);
        let released = tokio::time::timeout(self.change_deadline(), released).await;
        released
            .unwrap_or_else(|_| Err(self.timed_out("unpin", &cid)))
            .map_err(|source| self.failed(cid, source))
    }

    /// How long a lazy pin or a release may take. A backend makes such changes one after the other, for all its
    /// holders, and each may wait for a collection: longer than for a block.
    fn change_deadline(&self) -> Duration {
        self.block_deadline.saturating_mul(CHANGE_DEADLINES)
    }

    fn timed_out(&self, what: &str, cid: &Cid) -> PinnerError {
        PinnerError::TimedOut {
            operation: format!("{what} {cid}"),
            after: self.change_deadline(),
        }
    }

    fn failed(&self, cid: Cid, source: PinnerError) -> Error {
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
