//! Lazy pins, which are queued when targets are opened, and the guards that tell how long each target is open.

use std::{fmt, sync::Arc};

use cid::Cid;

use super::keeper::{Inner, Pins};
use crate::{
    block::canonical,
    cache::nodes::Decoded,
    unixfs::{self, Codec, Target},
};

/// The least that a lazy pin weighs for each link of its root, in bytes: a block takes a page at least.
const LINK_BYTES: u64 = 4096;

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
        let (weight, budget_bytes) = (weight(decoded), inner.share.bytes());
        let counts = inner.tell(|register| {
            register.set_budget(budget_bytes);
            register.handle_opened(cid, weight)
        });
        counts.then(|| PinGuard {
            inner: inner.clone(),
            cid,
        })
    }
}

/// The size of a pin: what the author declares, but at least the root's block and a page for each of its links. A root
/// that declares nothing must not be pinned for nothing.
fn weight(decoded: &Decoded) -> u64 {
    let Some(block) = decoded.block() else {
        return 0;
    };
    let block_bytes = block.len() as u64;
    let links = match &decoded.node {
        unixfs::Node::File(file) => file.children(),
        unixfs::Node::Directory(dir) => dir.entries() + dir.skipped() as usize,
        // It has at most as many links as slots.
        unixfs::Node::Shard(_) => unixfs::links(Codec::DagPb, block).map_or(0, Iterator::count),
        unixfs::Node::Symlink(_) => 0,
    };
    let least = block_bytes.saturating_add(LINK_BYTES.saturating_mul(links as u64));
    decoded.node.declared_size(block_bytes).max(least)
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
        self.inner
            .tell(|register| register.handle_closed(&self.cid));
    }
}
