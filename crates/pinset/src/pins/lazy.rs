//! Lazy pins, queued as targets are opened; and the guards that say how long each is open.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use cid::Cid;

use super::{
    keeper::{Inner, Pins},
    state::Job,
};
use crate::{
    block::canonical,
    cache::nodes::Decoded,
    sync::lock,
    unixfs::{self, Target},
};

/// Pins that wait to be made. More are dropped, and counted: a pin that is late protects little.
const QUEUE: usize = 256;

impl Pins {
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
        if !has_children || !decoded.leads_to_raw_only() {
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
            state.entries.touch(&cid);
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
