//! Garbage collection: what no pin protects goes.
//!
//! Invariant: a collection that fails removes nothing.

use std::collections::HashSet;

use cid::Cid;
use pinner_api::PinDepth;

use crate::{MockError, MockNode, dag};

/// What a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The blocks' CIDs, as they were put, in no order.
    pub removed: Vec<Cid>,
}

impl MockNode {
    /// Removes every block that no pin protects.
    ///
    /// A recursive pin, and a foreign one, protects its whole DAG; a lazy pin protects what its root leads to
    /// through blocks that are there. What lies [elsewhere](Self::put_remote) is out of a collection's reach.
    ///
    /// # Errors
    /// * [`NoCollector`](MockError::NoCollector): by its capabilities, the node does not collect.
    /// * [`Poisoned`](MockError::Poisoned): a pin leads to a block that is there and that a node does not accept:
    ///   no dag-pb under a dag-pb CID, or a link with a hash function or digest length out of the list.
    /// * [`Incomplete`](MockError::Incomplete): a block of a recursive pin was [removed](Self::remove).
    pub fn collect_garbage(&self) -> Result<Collected, MockError> {
        if !self.can().collects {
            return Err(MockError::NoCollector);
        }
        let mut state = self.state();
        let ours = state.pins.iter().map(|pin| (pin.root, pin.depth));
        let foreign = state.foreign.iter().map(|cid| (*cid, PinDepth::Recursive));
        let roots: HashSet<_> = ours.chain(foreign).collect();

        let mut kept = HashSet::new();
        for (root, depth) in roots {
            let reached = dag::reach(&root, |cid| state.here.get(cid));
            if let Some((block, reason)) = reached.poisoned {
                return Err(MockError::Poisoned {
                    root,
                    block,
                    reason,
                });
            }
            match (depth, reached.missing) {
                (PinDepth::Recursive, Some(missing)) => {
                    return Err(MockError::Incomplete { root, missing });
                }
                (PinDepth::Recursive, None) | (PinDepth::Lazy, _) => kept.extend(reached.present),
            }
        }
        let mut removed: Vec<_> = state.here.cids().collect();
        removed.retain(|cid| !kept.contains(cid.hash()));
        for cid in &removed {
            state.here.remove(cid);
        }
        Ok(Collected { removed })
    }
}
