//! A file of any size that takes no memory: its leaves are generated on request.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use ipld_dagpb::{PbLink, PbNode};
use pinner_mock::MockNode;

/// The codecs of the two kinds of blocks.
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// A file of whole leaves of 1 MiB, on a node.
#[derive(Clone, Copy, Debug)]
pub struct Large {
    /// The file's root.
    pub root: Cid,
    /// How many leaves it has.
    pub leaves: u64,
}

impl Large {
    /// The length of a leaf in bytes.
    pub const LEAF: usize = 1 << 20;

    /// The most leaves in one inner node, as importers make them.
    const LINKS: usize = 1024;

    /// Makes the file on `node`: a root over at most 1024 leaves.
    pub fn make(node: &MockNode, leaves: u64) -> Self {
        assert!(leaves as usize <= Self::LINKS, "one level of links");
        let links = (0..leaves).map(|index| {
            // A scratch node computes the CID, and its block is dropped with it.
            let cid = MockNode::new().put(RAW, Self::leaf(index));
            node.put_generated(cid, Arc::new(move || Self::leaf(index)));
            PbLink {
                cid,
                name: Some(String::new()),
                size: Some(Self::LEAF as u64),
            }
        });
        // UnixFS: the type "file", the file size, and a block size for each leaf.
        let mut data = vec![0x08, 0x02, 0x18];
        varint(&mut data, leaves * Self::LEAF as u64);
        for _ in 0..leaves {
            data.push(0x20);
            varint(&mut data, Self::LEAF as u64);
        }
        let root = PbNode {
            links: links.collect(),
            data: Some(data.into()),
        };
        let root = node.put(DAG_PB, root.into_bytes());
        Self { root, leaves }
    }

    /// The bytes of a leaf: its number, repeated.
    pub fn leaf(index: u64) -> Bytes {
        (index + 1).to_le_bytes().repeat(Self::LEAF / 8).into()
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.leaves * Self::LEAF as u64
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.leaves == 0
    }
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
