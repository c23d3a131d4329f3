//! Large files without a disk: a balanced tree of raw leaves, put straight onto a mock node.

use cid::Cid;
use pinner_mock::MockNode;

/// The number of links in one inner node.
const FANOUT: usize = 1024;

/// A file on a node.
#[derive(Debug)]
pub struct Balanced {
    /// The CID of the whole file.
    pub root: Cid,
    /// The CIDs of its leaves, in the file's order.
    pub leaves: Vec<Cid>,
}

/// A file of `len` bytes in raw leaves of `leaf` bytes, no two equal.
pub fn file(node: &MockNode, len: usize, leaf: usize) -> Balanced {
    let mut leaves = Vec::new();
    let mut level = Vec::new();
    let mut at = 0;
    while at < len {
        let bytes = leaf_bytes(at, leaf.min(len - at));
        let size = bytes.len() as u64;
        let cid = node.put(0x55, bytes);
        leaves.push(cid);
        level.push((cid, size, size));
        at += leaf;
    }
    while level.len() > 1 {
        level = level
            .chunks(FANOUT)
            .map(|children| inner(node, children))
            .collect();
    }
    let root = level[0].0;
    Balanced { root, leaves }
}

/// The `len` bytes of the leaf at the offset `at`, which seeds their series.
pub fn leaf_bytes(at: usize, len: usize) -> Vec<u8> {
    let mut state = at as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A file's inner node above children of (CID, bytes of the file, bytes of the DAG). Returns the same triple for
/// itself.
pub fn inner(node: &MockNode, children: &[(Cid, u64, u64)]) -> (Cid, u64, u64) {
    let (mut links, mut data) = (Vec::new(), vec![0x08, 0x02]);
    let len: u64 = children.iter().map(|(_, len, _)| len).sum();
    data.push(0x18);
    varint(&mut data, len);
    for (cid, len, tsize) in children {
        data.push(0x20);
        varint(&mut data, *len);
        links.push((*cid, *tsize));
    }
    let block = dag_pb(&links, &data);
    let below: u64 = children.iter().map(|(_, _, tsize)| tsize).sum();
    let size = block.len() as u64 + below;
    (node.put(0x70, block), len, size)
}

/// A directory over these blocks, whose entries' names do not matter.
pub fn directory(node: &MockNode, children: &[Cid]) -> Cid {
    let links: Vec<_> = children.iter().map(|cid| (*cid, 1)).collect();
    node.put(0x70, dag_pb(&links, &[0x08, 0x01]))
}

/// A dag-pb block with these links (CID, Tsize) without names, and this data.
pub fn dag_pb(links: &[(Cid, u64)], data: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (cid, tsize) in links {
        let cid = cid.to_bytes();
        let mut link = vec![0x0a];
        varint(&mut link, cid.len() as u64);
        link.extend_from_slice(&cid);
        link.extend_from_slice(&[0x12, 0x00, 0x18]);
        varint(&mut link, *tsize);
        block.push(0x12);
        varint(&mut block, link.len() as u64);
        block.extend_from_slice(&link);
    }
    block.push(0x0a);
    varint(&mut block, data.len() as u64);
    block.extend_from_slice(data);
    block
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
