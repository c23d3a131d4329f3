//! The decoded nodes: directories, HAMT shards and files' inner nodes, bounded in bytes (I9).
//!
//! A decoded node keeps its block's bytes, so a node that is here can be used while its block is staged no more.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    block::{Key, KeyHash, acceptable},
    policy::{replacement::Admission, residents::Residents},
    sync::{Mutex, lock},
    unixfs::{self, Codec, Malformed, Target},
};

/// What an entry costs beyond the node itself, in bytes: two hash maps' shares and the policy's own.
const OVERHEAD: u64 = 400;

/// A decoded node.
pub(crate) struct Decoded {
    pub(crate) node: unixfs::Node,
    /// The block of a node that leads to others, which keeps it too.
    block: Option<Bytes>,
    leads_to_raw_only: OnceLock<bool>,
}

impl Decoded {
    pub(crate) fn new(codec: Codec, block: Bytes) -> Result<Self, Malformed> {
        let node = unixfs::decode(codec, block.clone())?;
        let leads_on = match &node {
            unixfs::Node::File(file) => !file.is_leaf(),
            unixfs::Node::Directory(_) | unixfs::Node::Shard(_) => true,
            unixfs::Node::Symlink(_) => false,
        };
        Ok(Self {
            node,
            block: leads_on.then_some(block),
            leads_to_raw_only: OnceLock::new(),
        })
    }

    /// Whether every link leads to a raw block, in which there is nothing to walk, by a hash function and digest that a
    /// node takes. Then a lazy pin of it can never be in the way of a node's garbage collector, whatever else is
    /// fetched (I5). Looked at once, for what is opened.
    pub(crate) fn leads_to_raw_only(&self) -> bool {
        *self.leads_to_raw_only.get_or_init(|| {
            let Some(block) = &self.block else {
                return true;
            };
            // What leads on is dag-pb.
            unixfs::links(Codec::DagPb, block).is_ok_and(|mut links| links.all(is_raw))
        })
    }
}

fn is_raw(link: Result<unixfs::Link, Malformed>) -> bool {
    link.is_ok_and(|link| {
        let taken = match &link.target {
            Target::Block(cid) => acceptable(cid).is_ok(),
            Target::Inline { .. } => true,
        };
        taken && link.target.codec() == Codec::Raw
    })
}

/// Decoded nodes under a budget of bytes, replaced by the same policy as the blocks.
pub(crate) struct NodeCache {
    nodes: Mutex<Residents<Key, Arc<Decoded>, KeyHash>>,
}

impl NodeCache {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self {
            nodes: Mutex::new(Residents::new(budget_bytes)),
        }
    }

    /// The node, if it is here; a use is noted.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Decoded>> {
        let mut nodes = lock(&self.nodes);
        let node = nodes.get(key)?.clone();
        nodes.touch(key);
        Some(node)
    }

    /// Keeps a node, if there is room for it beside what is used more.
    pub(crate) fn insert(&self, key: Key, node: Arc<Decoded>) {
        let weight = node.node.weight() as u64 + OVERHEAD;
        let mut nodes = lock(&self.nodes);
        if nodes.admit(key, weight, Admission::Use, |_| false, |_, _| ()) {
            nodes.put(key, node);
        }
    }
}
