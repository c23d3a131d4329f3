//! Sample content: blocks and small DAGs, made by hand, that no two cases and no two runs share.
//!
//! Knows dag-pb by `ipld-dagpb` and just enough of UnixFS's protobuf to write a file node, since some nodes refuse to
//! keep blocks that are not UnixFS. Every CID is right: the suite never lies to a backend.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use cid::Cid;
use ipld_dagpb::{PbLink, PbNode};
use multihash_codetable::{Code, MultihashDigest};

/// The multicodec of raw bytes.
pub(crate) const RAW: u64 = 0x55;
/// The multicodec of dag-pb.
pub(crate) const DAG_PB: u64 = 0x70;
/// The multicodec of dag-cbor.
pub(crate) const DAG_CBOR: u64 = 0x71;

/// A block with its right CID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its CID.
    pub cid: Cid,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Block {
    /// `bytes` under their CIDv1 with `codec` and sha2-256.
    pub fn new(codec: u64, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let cid = Cid::new_v1(codec, Code::Sha2_256.digest(&bytes));
        Self { cid, bytes }
    }

    /// A raw block of `len` bytes that was never made before, if `len` is at least 16. Shorter blocks repeat.
    pub fn unique(len: usize) -> Self {
        Self::new(RAW, unique_bytes(len))
    }

    /// A file that is one dag-pb node with `len` bytes of data, unlike any other.
    pub fn unique_dag_pb(len: usize) -> Self {
        Self::new(DAG_PB, file_node(Some(unique_bytes(len)), &[]))
    }

    /// A CID with `codec` of a block that exists nowhere: its bytes were never given to anybody.
    pub fn absent(codec: u64) -> Cid {
        Self::new(codec, unique_bytes(64)).cid
    }
}

/// A small UnixFS file: a root, nodes below it, and raw and dag-pb leaves, one of which occurs twice.
#[derive(Clone, Debug)]
pub struct Dag {
    /// The root first, then level by level; each block once.
    blocks: Vec<Block>,
}

impl Dag {
    /// The number of links of a node.
    const FANOUT: usize = 3;
    /// The number of bytes in a leaf.
    const LEAF: usize = 2000;

    /// Seven leaves under two levels of nodes, unlike any other.
    pub fn sample() -> Self {
        Self::file(7)
    }

    /// A file of `leaves` leaves of 2,000 bytes, of which every fourth is dag-pb. The first leaf occurs again at the
    /// end. The file is unlike any other.
    pub fn file(leaves: usize) -> Self {
        let mut level: Vec<(Block, u64)> = (0..leaves.max(1))
            .map(|i| match i % 4 {
                3 => Block::unique_dag_pb(Self::LEAF),
                _ => Block::unique(Self::LEAF),
            })
            .map(|leaf| (leaf, Self::LEAF as u64))
            .collect();
        level.push(level[0].clone());
        let mut blocks = Vec::new();
        while level.len() > 1 {
            let parents: Vec<_> = level
                .chunks(Self::FANOUT)
                .map(|children| {
                    let links: Vec<_> = children.iter().map(|(b, len)| (b.cid, *len)).collect();
                    let len = links.iter().map(|(_, len)| len).sum();
                    (Block::new(DAG_PB, file_node(None, &links)), len)
                })
                .collect();
            blocks.splice(0..0, level.into_iter().map(|(block, _)| block));
            level = parents;
        }
        blocks.splice(0..0, level.into_iter().map(|(block, _)| block));
        let mut seen = std::collections::HashSet::new();
        blocks.retain(|block| seen.insert(block.cid));
        Self { blocks }
    }

    /// The root's CID.
    pub fn root(&self) -> Cid {
        self.blocks[0].cid
    }

    /// Every block once, the root first and the leaves last.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Every block except that one.
    pub fn without<'a>(&'a self, cid: &'a Cid) -> impl Iterator<Item = Block> + 'a {
        self.blocks.iter().filter(move |b| b.cid != *cid).cloned()
    }
}

/// `len` bytes that begin with a sequence that no other call in any process returns.
fn unique_bytes(len: usize) -> Vec<u8> {
    static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("a run"));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = RUN.to_le_bytes().to_vec();
    bytes.extend(NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    bytes.resize(len, 0x5a);
    bytes
}

/// A number that no other call in any process returns.
pub(crate) fn unique_number() -> [u8; 16] {
    let mut number = [0; 16];
    number.copy_from_slice(&unique_bytes(16));
    number
}

/// A dag-pb node that is a UnixFS file with this data and these links (CID, length of the file below).
fn file_node(data: Option<Vec<u8>>, links: &[(Cid, u64)]) -> Vec<u8> {
    let inline = data.as_ref().map_or(0, Vec::len) as u64;
    let file_size = inline + links.iter().map(|(_, len)| len).sum::<u64>();
    // Fields of UnixFS's `Data`: 1 type (2 is a file), 2 data, 3 filesize, 4 blocksizes.
    let mut unixfs = vec![0x08, 2];
    if let Some(data) = data {
        unixfs.push(0x12);
        push_varint(&mut unixfs, inline);
        unixfs.extend(data);
    }
    unixfs.push(0x18);
    push_varint(&mut unixfs, file_size);
    for (_, len) in links {
        unixfs.push(0x20);
        push_varint(&mut unixfs, *len);
    }
    let links = links.iter().map(|(cid, len)| PbLink {
        cid: *cid,
        name: Some(String::new()),
        size: Some(*len),
    });
    let node = PbNode {
        links: links.collect(),
        data: Some(unixfs.into()),
    };
    node.into_bytes()
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_whole_dag_and_unlike_the_next() {
        let dag = Dag::sample();
        let mut reached = vec![dag.root()];
        let mut next = 0;
        while next < reached.len() {
            let block = dag.blocks().iter().find(|b| b.cid == reached[next]);
            let block = block.expect("every link leads to a block of the DAG");
            let digest = Code::Sha2_256.digest(&block.bytes);
            assert_eq!(&digest, block.cid.hash());
            if block.cid.codec() == DAG_PB {
                let node = PbNode::from_bytes(block.bytes.clone()).expect("dag-pb");
                for link in node.links {
                    if !reached.contains(&link.cid) {
                        reached.push(link.cid);
                    }
                }
            }
            next += 1;
        }
        assert_eq!(reached.len(), dag.blocks().len());
        // 7 leaves and one repeated make 3 + 1 nodes above 7 blocks.
        assert_eq!(dag.blocks().len(), 11);
        let other = Dag::sample();
        assert!(dag.blocks().iter().all(|b| !other.blocks().contains(b)));
    }

    #[test]
    fn a_file_node_is_what_unixfs_says() {
        let node = file_node(Some(vec![7; 200]), &[]);
        let node = PbNode::from_bytes(node.into()).expect("dag-pb");
        let data = node.data.expect("data");
        assert_eq!(&data[..5], [0x08, 2, 0x12, 0xc8, 1]);
        assert_eq!(&data[205..], [0x18, 0xc8, 1]);
    }
}
