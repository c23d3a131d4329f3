//! The cache of decoded nodes: directories, HAMT shards and inner nodes of files, bounded in bytes (I9).
//!
//! A decoded node keeps the bytes of its block, so it can be used after the block has been evicted from staging.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use pinset_policy::{replacement::Admission, residents::Residents};

use crate::{
    block::{Key, KeyHash, acceptable},
    sync::{Mutex, lock},
    unixfs::{self, Codec, Malformed, Target},
};

/// The cost of an entry beyond the node itself, in bytes: its share of two hash maps and of the policy.
const OVERHEAD: u64 = 400;

/// A decoded node.
pub(crate) struct Decoded {
    pub(crate) node: unixfs::Node,
    /// The block, for a node that leads to others. The decoded node holds the same bytes.
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

    /// The node's block, for a node that leads to others.
    pub(crate) fn block(&self) -> Option<&Bytes> {
        self.block.as_ref()
    }

    /// Returns whether every link leads to a raw block, in which there is nothing to walk, by a hash function and
    /// digest that an IPFS node accepts. Then a lazy pin here can never make the garbage collection of that node fail,
    /// whatever else is fetched (I5). The links are examined once, when the target is opened.
    pub(crate) fn leads_to_raw_only(&self) -> bool {
        *self.leads_to_raw_only.get_or_init(|| {
            let Some(block) = &self.block else {
                return true;
            };
            // Only dag-pb nodes lead to others.
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

/// Decoded nodes under a budget in bytes, replaced by the same policy as the blocks.
pub(crate) struct NodeCache {
    nodes: Mutex<Residents<Key, Arc<Decoded>, KeyHash>>,
}

impl NodeCache {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self {
            nodes: Mutex::new(Residents::new(budget_bytes)),
        }
    }

    /// Returns the node, if it is here, and notes a use.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Decoded>> {
        let mut nodes = lock(&self.nodes);
        let node = nodes.get(key)?.clone();
        nodes.touch(key);
        Some(node)
    }

    /// Keeps a node, if there is room for it beside the nodes that are used more.
    pub(crate) fn insert(&self, key: Key, node: Arc<Decoded>) {
        let weight = node.node.weight() as u64 + OVERHEAD;
        let mut nodes = lock(&self.nodes);
        if nodes.admit(key, weight, Admission::Use, |_| false, |_, _| ()) {
            nodes.put(key, node);
        }
    }
}
