//! A pinner's own knowledge of its pins: hints about the pins it made, and whose turn it is. It makes no calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use kubo_protocol::Wrapper;
use pinner_api::{Cid, Holder};

/// How many roots are remembered, each with a holder that pinned it.
const MOST_REMEMBERED: usize = 1024;

/// Hints and turns for the recursive pins. The register itself is on the node.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last holder that pinned each root here. A second holder's wrapper can be made from that holder's at once.
    pinned: Mutex<HashMap<Cid, Holder>>,
    /// Serialises the pins of each pair.
    turns: Mutex<HashMap<Wrapper, Weak<tokio::sync::Mutex<()>>>>,
}

impl Known {
    /// Returns the lock of a pair, which is held while the pair is pinned.
    pub(crate) fn turn(&self, wrapper: &Wrapper) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.turns);
        if let Some(turn) = turns.get(wrapper).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(*wrapper, Arc::downgrade(&turn));
        turn
    }

    /// Records that the wrapper was pinned here.
    pub(crate) fn remember(&self, wrapper: &Wrapper) {
        let mut pinned = lock(&self.pinned);
        if pinned.len() >= MOST_REMEMBERED && !pinned.contains_key(&wrapper.root) {
            // Any entry will do: for a root that is not remembered, the next holder needs a `pin/add`.
            if let Some(any) = pinned.keys().next().copied() {
                pinned.remove(&any);
            }
        }
        pinned.insert(wrapper.root, wrapper.holder);
    }

    /// Returns another holder's wrapper of the same root that was pinned here.
    pub(crate) fn beside(&self, wrapper: &Wrapper) -> Option<Wrapper> {
        let holder = *lock(&self.pinned).get(&wrapper.root)?;
        (holder != wrapper.holder).then_some(Wrapper::new(holder, wrapper.root))
    }

    /// Records that the wrapper is no longer pinned.
    pub(crate) fn forget(&self, wrapper: &Wrapper) {
        let mut pinned = lock(&self.pinned);
        if pinned.get(&wrapper.root) == Some(&wrapper.holder) {
            pinned.remove(&wrapper.root);
        }
    }
}

/// Locks a mutex. No code panics while it holds one of these, and they only hold hints.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The turn to write into MFS.
#[derive(Debug, Default)]
pub(crate) struct Turn(pub(crate) tokio::sync::Mutex<()>);
