//! Garbage collection: removes what no pin protects.
//!
//! Invariant: a collection that fails removes nothing.

use std::collections::HashSet;

use cid::Cid;
use pinner_api::PinDepth;

use crate::{MockError, MockNode, dag};

/// The blocks that a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The blocks' CIDs, as they were put, in no order.
    pub removed: Vec<Cid>,
}

impl MockNode {
    /// Removes every block that no pin protects.
    ///
    /// A recursive pin, or a foreign one, protects its whole DAG. A lazy pin protects the blocks that its root leads
    /// to through blocks that are there. Blocks [elsewhere](Self::put_remote) are out of a collection's reach.
    ///
    /// # Errors
    /// * [`NoCollector`](MockError::NoCollector): by its capabilities, the node does not collect.
    /// * [`Poisoned`](MockError::Poisoned): a pin leads to a block that is there but that a node does not accept:
    ///   bytes under a dag-pb CID that are not dag-pb, or a link whose hash function or digest length is not on the
    ///   list.
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
