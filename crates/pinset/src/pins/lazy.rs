//! Lazy pins, which are queued when targets are opened, and the guards that tell how long each target is open.

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

/// The most pins that wait to be made. Further pins are dropped and counted: a late pin protects little.
const QUEUE: usize = 256;

impl Pins {
    /// Queues a lazy pin on a target that was opened and whose root block is verified, unless the target consists of
    /// one block, has a pin already, or cannot have one. The target counts as open as long as the guard exists.
    ///
    /// A block is pinned only if all its links lead to raw blocks. The whole garbage collection fails if the collector
    /// meets, below a pin, a block that it cannot read; and deeper blocks are known only once they are on the node,
    /// which is too late.
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
            // coverage: needs a pinset that is closed just then.
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
            // A pin that was released and made again meanwhile counts only the newer handles.
            entry.opens = entry.opens.saturating_sub(1);
        }
    }
}
