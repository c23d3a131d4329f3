//! The blocks that are reachable from a root, and those among them that a node would not accept.
//!
//! Knows dag-pb's links and the hash functions that Kubo accepts. Pure: the caller says which block is where.

use std::collections::HashSet;

use cid::Cid;
use ipld_dagpb::{DAG_PB_CODE, PbNode};

use crate::store::{IDENTITY, Multihash, Stored};

/// The result of a walk over a DAG.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// The blocks that are there. A block is listed once, whatever CIDs led to it.
    pub(crate) present: HashSet<Multihash>,
    /// The first block that is not there, if any. The walk went on past it.
    pub(crate) missing: Option<Cid>,
    /// The first block that is there and would stop a node's collector, if any, and its defect.
    pub(crate) poisoned: Option<(Cid, String)>,
}

/// Walks everything below `root`, the root included, depth first, each CID once.
pub(crate) fn reach(root: &Cid, find: impl Fn(&Cid) -> Option<Stored>) -> Reached {
    let mut reached = Reached::default();
    let mut seen = HashSet::from([*root]);
    let mut ahead = vec![*root];
    while let Some(cid) = ahead.pop() {
        if let Err(reason) = accepted(&cid) {
            reached.poisoned.get_or_insert((cid, reason));
            continue;
        }
        let Some(stored) = find(&cid) else {
            reached.missing.get_or_insert(cid);
            continue;
        };
        reached.present.insert(*cid.hash());
        // The bytes are read only now, and only if they can hold links: a leaf may be generated at each read.
        if cid.codec() != DAG_PB_CODE {
            continue;
        }
        match PbNode::from_bytes(stored.bytes()) {
            Ok(node) => {
                let links = node.links.into_iter().rev().map(|link| link.cid);
                ahead.extend(links.filter(|link| seen.insert(*link)));
            }
            Err(error) => {
                let reason = format!("is not dag-pb ({error})");
                reached.poisoned.get_or_insert((cid, reason));
            }
        }
    }
    reached
}

/// Whether a node accepts a CID with this hash function and digest length, by Kubo's list (`verifcid`).
fn accepted(cid: &Cid) -> Result<(), String> {
    const SHORTEST: u8 = 20;
    let (code, len) = (cid.hash().code(), cid.hash().size());
    let known = match code {
        IDENTITY => return Ok(()),
        // sha1, sha2-256, sha2-512, sha3; shake-256, keccak, blake3; dbl-sha2-256.
        0x11..=0x17 | 0x19..=0x1e | 0x56 => true,
        // blake2b and blake2s, from 160 bits on.
        0xb214..=0xb240 | 0xb254..=0xb260 => true,
        _ => false,
    };
    match known {
        false => Err(format!(
            "has a hash function, {code:#x}, that no node accepts"
        )),
        true if len < SHORTEST => Err(format!(
            "has a digest of {len} bytes, but a node accepts no fewer than {SHORTEST}"
        )),
        true => Ok(()),
    }
}
