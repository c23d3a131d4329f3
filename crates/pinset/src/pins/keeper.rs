//! The pins on the backend: the holder's one register of them, the calls that change them, and their release on
//! closing.
//!
//! Invariant (I5): only this holder's pins are released, and no lazy pin is made that could ever make a node's garbage
//! collection fail. The [`Register`] decides on every call; no lock is held across one.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cid::Cid;
use futures_util::{FutureExt, StreamExt, stream};
use pinner_api::{Capabilities, Holder, PinDepth, Pinner, PinnerError};
use pinset_policy::register::{Outcome, Register, Releasing};
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle};
use tracing::Instrument;

use crate::{
    budget::Share,
    error::Error,
    flight::Flights,
    lock_dir::HeldLock,
    sync::{Mutex, lock},
};

/// How many releases run at once on closing. They are few, because a node makes such changes one after the other, each
/// may wait for a garbage collection, and the deadline of a release runs while it waits behind the others.
const RELEASES: usize = 4;

/// How long a lazy pin or a release may take. This is longer than for a block, because a backend makes such changes one
/// after the other for all its holders, and each may wait for a garbage collection.
pub(super) fn change_deadline(block_deadline: Duration) -> Duration {
    block_deadline.saturating_mul(4)
}

/// All pins of one holder.
pub(crate) struct Pins {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pinner: Arc<dyn Pinner>,
    pub(super) capabilities: Capabilities,
    holder: Holder,
    /// The proof that the holder lives.
    pub(super) held: HeldLock,
    change_deadline: Duration,
    pub(super) state: Mutex<State>,
    /// Told of the end of every call to the backend, and of every new claim.
    pub(super) changed: Notify,
    pub(super) ensuring: Flights<Cid, ()>,
    failures: AtomicU64,
    /// The last field, and so dropped last: it pays for the lock file.
    pub(super) share: Arc<Share>,
}

pub(super) struct State {
    pub(super) register: Register,
    pub(super) worker: Option<JoinHandle<()>>,
}

/// A call to the backend that changes the pins of one root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Pin(PinDepth),
    Release,
}

impl Pins {
    /// `most` is the most pins for which the register has room.
    pub(crate) fn new(
        pinner: Arc<dyn Pinner>,
        held: HeldLock,
        share: Arc<Share>,
        block_deadline: Duration,
        most: usize,
    ) -> Self {
        let state = State {
            register: Register::new(share.bytes(), most),
            worker: None,
        };
        Self {
            inner: Arc::new(Inner {
                capabilities: pinner.capabilities(),
                pinner,
                holder: Holder::new(held.lock_dir().id(), held.name()),
                held,
                change_deadline: change_deadline(block_deadline),
                state: Mutex::new(state),
                changed: Notify::new(),
                ensuring: Flights::new(),
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
        lock(&self.inner.state).register.held()
    }

    /// The number of lazy pins that were not made for lack of room in the queue, in the budget or among the pins.
    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.inner.state).register.dropped()
    }

    /// The number of calls that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    /// The number of pins that are being released, or could not be released yet.
    pub(crate) fn unreleased(&self) -> usize {
        lock(&self.inner.state).register.unreleased()
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
    /// Tells the register of an event, and sees to what follows from it.
    pub(super) fn tell<T>(self: &Arc<Self>, event: impl FnOnce(&mut Register) -> T) -> T {
        let mut state = lock(&self.state);
        let answer = event(&mut state.register);
        self.work(&mut state);
        if state.register.is_over() {
            // Under the lock, so that nothing is pinned meanwhile.
            self.held.no_pins_remain();
        }
        answer
    }

    /// Waits until the register answers the question with something other than `wait`. It is asked again after each
    /// call to the backend that has ended, and after each new claim.
    pub(super) async fn tell_until<T: PartialEq>(
        self: &Arc<Self>,
        wait: T,
        question: impl Fn(&mut Register) -> T,
    ) -> T {
        loop {
            // Created before the question, so that a change between the two is not missed.
            let changed = self.changed.notified();
            let answer = self.tell(&question);
            if answer != wait {
                return answer;
            }
            changed.await;
        }
    }

    /// Makes a change that the register knows to be under way, and reports how it ended, also if this is dropped.
    pub(super) async fn change(self: &Arc<Self>, cid: Cid, change: Change) -> Result<(), Error> {
        let mut under_way = UnderWay {
            inner: self,
            cid,
            outcome: Outcome::Unknown,
        };
        if let Change::Pin(_) = change
            && let Err(error) = self.pins_may_remain().await
        {
            under_way.outcome = Outcome::Refused;
            return Err(error);
        }
        let (name, span) = match change {
            Change::Pin(PinDepth::Lazy) => {
                ("pin", tracing::debug_span!("pin", %cid, depth = "lazy"))
            }
            Change::Pin(PinDepth::Recursive) => (
                "pin",
                tracing::debug_span!("pin", %cid, depth = "recursive"),
            ),
            Change::Release => ("unpin", tracing::debug_span!("release", %cid)),
        };
        let call = async {
            match change {
                Change::Pin(depth) => self.pinner.pin(&self.holder, &cid, depth).await,
                Change::Release => self.pinner.unpin(&self.holder, &cid).await,
            }
        };
        // A backend that panics fails its one call.
        let call = AssertUnwindSafe(call.instrument(span)).catch_unwind();
        let ended = if let Change::Pin(PinDepth::Recursive) = change {
            // A large DAG may take hours. The backend has a deadline for a lack of progress.
            call.await
        } else {
            let ended = tokio::time::timeout(self.change_deadline, call).await;
            ended.unwrap_or_else(|_| {
                Ok(Err(PinnerError::TimedOut {
                    operation: format!("{name} {cid}"),
                    after: self.change_deadline,
                }))
            })
        };
        let ended = ended.unwrap_or_else(|_| {
            Err(PinnerError::Unavailable {
                operation: format!("{name} {cid}: the backend panicked"),
                source: None,
            })
        });
        under_way.outcome = match &ended {
            Ok(()) => Outcome::Done,
            Err(error) if refuses(error) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        ended.map_err(|source| {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%cid, error = %source, "a pin could not be made or released");
            Error::Pin { cid, source }
        })
    }

    /// Marks the lock, so that the pins can be recovered after a crash. Every pin has to wait for this before it is
    /// made.
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
            tracing::warn!(%error, "nothing is pinned, since the lock cannot be marked");
        })
    }

    /// Ends the making of pins. Returns the worker, which ends soon.
    fn stop(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        self.tell(Register::close);
        let worker = lock(&self.state).worker.take();
        if let Some(worker) = &worker {
            worker.abort();
        }
        worker
    }

    async fn release_all(self: &Arc<Self>, worker: Option<JoinHandle<()>>) -> Result<(), Error> {
        if let Some(worker) = worker {
            // After this the worker's last pin was either made or not. A release must not overtake it.
            _ = worker.await;
        }
        let left = self.tell(|register| register.left());
        let mut releases = stream::iter(left)
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
        failed.map_or(Ok(()), Err)
    }

    /// Releases the remaining pins in a task of its own. If there is no runtime, or if it ends first, the next start
    /// finds them.
    fn release_beside(self: &Arc<Self>, worker: Option<JoinHandle<()>>) {
        if self.tell(|register| register.is_over()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let inner = self.clone();
            runtime.spawn(async move { inner.release_all(worker).await });
        }
    }

    /// Releases a pin, once the register is closed. If another call does so already, waits for it.
    pub(super) async fn release(self: &Arc<Self>, cid: Cid) -> Result<(), Error> {
        let begun = self.tell_until(Releasing::Wait, |register| register.begin_release(&cid));
        match begun.await {
            Releasing::Make => self.change(cid, Change::Release).await,
            Releasing::Wait | Releasing::Nothing => Ok(()),
        }
    }
}

/// Returns whether the error proves that the call had no effect.
fn refuses(error: &PinnerError) -> bool {
    matches!(
        error,
        PinnerError::NotFound { .. } | PinnerError::Denied { .. } | PinnerError::Unsupported { .. }
    )
}

/// A call to the backend. On drop it reports to the register how the call ended.
struct UnderWay<'a> {
    inner: &'a Arc<Inner>,
    cid: Cid,
    outcome: Outcome,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let inner = self.inner;
        let to_release = inner.tell(|register| register.ended(self.cid, self.outcome));
        inner.changed.notify_waiters();
        if to_release {
            // Closing could not wait for this pin.
            inner.release_beside(None);
        }
    }
}
