//! What one pinner knows of its pins: which it made, as hints, and whose turn it is. It makes no call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use kubo_protocol::Wrapper;
use pinner_api::{Cid, Holder};

/// How many roots are remembered, with a holder that pinned them.
const MOST_REMEMBERED: usize = 1024;

/// What this value knows of the recursive pins: hints, and turns. The register itself is on the node.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last holder that pinned a root here: whose wrapper a second holder's can be made from at once.
    pinned: Mutex<HashMap<Cid, Holder>>,
    /// One pin of a pair at a time.
    turns: Mutex<HashMap<Wrapper, Weak<tokio::sync::Mutex<()>>>>,
}

impl Known {
    /// The turn of a pair, which is held while it is pinned.
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

    /// The wrapper was pinned here.
    pub(crate) fn remember(&self, wrapper: &Wrapper) {
        let mut pinned = lock(&self.pinned);
        if pinned.len() >= MOST_REMEMBERED && !pinned.contains_key(&wrapper.root) {
            // Any will do: a root that is not remembered costs its next holder a `pin/add`.
            if let Some(any) = pinned.keys().next().copied() {
                pinned.remove(&any);
            }
        }
        pinned.insert(wrapper.root, wrapper.holder);
    }

    /// A wrapper of the same root that was pinned here, of another holder.
    pub(crate) fn beside(&self, wrapper: &Wrapper) -> Option<Wrapper> {
        let holder = *lock(&self.pinned).get(&wrapper.root)?;
        (holder != wrapper.holder).then_some(Wrapper::new(holder, wrapper.root))
    }

    /// The wrapper is no longer pinned.
    pub(crate) fn forget(&self, wrapper: &Wrapper) {
        let mut pinned = lock(&self.pinned);
        if pinned.get(&wrapper.root) == Some(&wrapper.holder) {
            pinned.remove(&wrapper.root);
        }
    }
}

/// Nothing panics while it holds one of these; and what they hold are hints.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose turn it is to write into MFS.
#[derive(Debug, Default)]
pub(crate) struct Turn(pub(crate) tokio::sync::Mutex<()>);
