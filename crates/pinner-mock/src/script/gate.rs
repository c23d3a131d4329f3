//! A gate: calls wait at it until a test opens it, so tests need no sleeps.

use std::sync::Arc;

use tokio::sync::watch;

/// A gate at which calls wait ([`Fault::HangUntil`](crate::Fault::HangUntil)). It is shut at first. A clone is the
/// same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<usize>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A gate, shut.
    pub fn new() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Lets through every call that waits, and every call that comes later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Shuts the gate again for calls that come from now on.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    /// The number of calls that wait at it now. A dropped call no longer counts.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Returns once at least `calls` wait at it.
    pub async fn reached(&self, calls: usize) {
        self.wait_for(|waiting| waiting >= calls).await;
    }

    /// Returns once no call waits at it: those that did went through, or were dropped.
    pub async fn deserted(&self) {
        self.wait_for(|waiting| waiting == 0).await;
    }

    async fn wait_for(&self, enough: impl Fn(usize) -> bool) {
        let mut waiting = self.waiting.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = waiting.wait_for(|waiting| enough(*waiting)).await;
    }

    /// Waits until it is open.
    pub(crate) async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _leaves = Leaves(self);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}

/// Removes a call from those that wait, whether it goes through or is dropped.
struct Leaves<'a>(&'a Gate);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}
