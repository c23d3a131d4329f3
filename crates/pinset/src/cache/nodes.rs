//! The decoded nodes: directories, HAMT shards and files' inner nodes, bounded in bytes (I9).
//!
//! A decoded node keeps its block's bytes, so a node that is here can be used while its block is staged no more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use crate::{
    block::{Key, KeyHash, acceptable},
    policy::replacement::{Admission, Decision, Eviction, Insertion, Replacement},
    sync::lock,
    unixfs::{self, Codec, Malformed, Target},
};

/// What an entry costs beyond the node itself, in bytes: two hash maps' shares and the policy's own.
const OVERHEAD: u64 = 400;

/// A decoded node, and what was seen of it once.
pub(crate) struct Decoded {
    pub(crate) node: unixfs::Node,
    /// Whether a lazy pin of it can never be in the way of a node's garbage collector, whatever else is fetched: every
    /// link leads to a raw block, in which there is nothing to walk, by a hash function and digest that a node takes
    /// (I5).
    pub(crate) pinnable: bool,
}

impl Decoded {
    pub(crate) fn new(codec: Codec, block: Bytes) -> Result<Self, Malformed> {
        let pinnable = unixfs::links(codec, &block)?.all(|link| match link {
            Ok(unixfs::Link { target, .. }) => {
                let taken = match &target {
                    Target::Block(cid) => acceptable(cid).is_ok(),
                    Target::Inline { .. } => true,
                };
                taken && target.codec() == Codec::Raw
            }
            Err(_) => false,
        });
        Ok(Self {
            node: unixfs::decode(codec, block)?,
            pinnable,
        })
    }
}

/// Decoded nodes under a budget of bytes, replaced by the same policy as the blocks.
pub(crate) struct NodeCache {
    state: Mutex<State>,
}

struct State {
    nodes: HashMap<Key, Arc<Decoded>, KeyHash>,
    policy: Replacement<Key, KeyHash>,
}

impl NodeCache {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self {
            state: Mutex::new(State {
                nodes: HashMap::default(),
                policy: Replacement::with_hasher(budget_bytes, KeyHash::default()),
            }),
        }
    }

    /// The node, if it is here; a use is noted.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Decoded>> {
        let mut state = lock(&self.state);
        let node = state.nodes.get(key)?.clone();
        state.policy.touch(key);
        Some(node)
    }

    /// Keeps a node, if there is room for it beside what is used more.
    pub(crate) fn insert(&self, key: Key, node: Arc<Decoded>) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let weight = node.node.weight() as u64 + OVERHEAD;
        let Decision::Admit(room) = state.policy.request(&key, weight, Admission::Use) else {
            return;
        };
        while let Eviction::Victim { key, .. } = state.policy.evict(&room, |_| false) {
            state.nodes.remove(&key);
        }
        if let Insertion::Admitted = state.policy.insert(key, room) {
            state.nodes.insert(key, node);
        }
    }
}
