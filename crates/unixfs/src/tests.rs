//! Tests of the reader: known blocks, hostile ones, other implementations as oracles, properties under mutation.
//!
//! This file has the functions that build blocks, sound or not; the tests are in the modules.

mod hostile;
mod known;
mod oracle;
mod properties;

use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use prost::Message;

use crate::{
    Codec, DirNode, FileNode, Link, Malformed, Node, Piece, Prefix, ShardNode, SymlinkNode, Target,
    decode,
    message::{PbData, PbLink, PbTime},
    murmur3::hash64,
};

const FILE: u64 = 2;
const DIRECTORY: u64 = 1;
const SYMLINK: u64 = 4;
const SHARD: u64 = 5;

/// A raw-codec CID whose digest is made of `number`.
fn cid(number: u32) -> Cid {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_le_bytes());
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
}

/// The link that a block built from `pb_link(number, name)` holds.
fn link(number: u32) -> Link {
    Link {
        target: Target::Block(cid(number)),
        tsize: Some(1),
    }
}

fn pb_link(number: u32, name: impl Into<Vec<u8>>) -> PbLink {
    PbLink {
        hash: Some(cid(number).to_bytes().into()),
        name: Some(name.into().into()),
        tsize: Some(1),
    }
}

/// Links numbered from 0, with these names.
fn named(names: &[&str]) -> Vec<PbLink> {
    (0..)
        .zip(names)
        .map(|(number, name)| pb_link(number, *name))
        .collect()
}

fn data(kind: u64) -> PbData {
    PbData {
        kind: Some(kind),
        ..PbData::default()
    }
}

/// A file node's data, with a true filesize.
fn file_data(inline: &[u8], blocksizes: &[u64]) -> PbData {
    let filesize = blocksizes
        .iter()
        .fold(inline.len() as u64, |sum, size| sum.wrapping_add(*size));
    PbData {
        data: (!inline.is_empty()).then(|| Bytes::copy_from_slice(inline)),
        filesize: Some(filesize),
        blocksizes: blocksizes.to_vec(),
        ..data(FILE)
    }
}

/// A shard's data with these slots set.
fn shard_data(fanout: u64, slots: &[u16]) -> PbData {
    let mut field = vec![0; fanout as usize / 8];
    let last = field.len() - 1;
    for slot in slots {
        field[last - usize::from(slot / 8)] |= 1 << (slot % 8);
    }
    let zeros = field.iter().take_while(|byte| **byte == 0).count();
    PbData {
        data: Some(field.split_off(zeros).into()),
        hash_type: Some(0x22),
        fanout: Some(fanout),
        ..data(SHARD)
    }
}

/// A length-delimited field.
fn field(key: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![key];
    prost::encode_length_delimiter(body.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(body);
    bytes
}

/// A dag-pb block in the usual order: links, then data.
fn block(links: &[PbLink], data: &PbData) -> Bytes {
    let mut bytes: Vec<u8> = Vec::new();
    for link in links {
        bytes.extend(field(0x12, &link.encode_to_vec()));
    }
    bytes.extend(field(0x0a, &data.encode_to_vec()));
    bytes.into()
}

fn decoded(links: &[PbLink], data: &PbData) -> Result<Node, Malformed> {
    decode(Codec::DagPb, block(links, data))
}

/// The reason why a block is refused.
fn refused(links: &[PbLink], data: &PbData) -> String {
    reason(block(links, data))
}

fn reason(block: impl Into<Bytes>) -> String {
    match decode(Codec::DagPb, block.into()) {
        Ok(node) => panic!("taken as {node:?}"),
        Err(malformed) => malformed.reason().to_owned(),
    }
}

fn file(block: Bytes) -> FileNode {
    match decode(Codec::DagPb, block).unwrap() {
        Node::File(node) => node,
        other => panic!("no file: {other:?}"),
    }
}

fn directory(block: Bytes) -> DirNode {
    match decode(Codec::DagPb, block).unwrap() {
        Node::Directory(node) => node,
        other => panic!("no directory: {other:?}"),
    }
}

fn shard(block: Bytes) -> ShardNode {
    match decode(Codec::DagPb, block).unwrap() {
        Node::Shard(node) => node,
        other => panic!("no shard: {other:?}"),
    }
}

fn symlink(block: Bytes) -> SymlinkNode {
    match decode(Codec::DagPb, block).unwrap() {
        Node::Symlink(node) => node,
        other => panic!("no symlink: {other:?}"),
    }
}

/// The names of a plain directory, in the order of the block.
fn names(node: &DirNode) -> Vec<&str> {
    (0..node.entries())
        .map(|index| node.entry(index).unwrap().unwrap().0)
        .collect()
}

/// The slot of a name in the root of a HAMT.
fn root_slot(name: impl AsRef<[u8]>, fanout: u64) -> u16 {
    (hash64(name.as_ref()) >> (64 - fanout.trailing_zeros())) as u16
}

/// A HAMT of one block. Where names collide, only the first of a slot is kept.
fn one_shard(names: &[&[u8]]) -> (Vec<PbLink>, PbData) {
    let mut slots = std::collections::BTreeMap::new();
    for (number, name) in (0..).zip(names) {
        slots.entry(root_slot(name, 256)).or_insert((number, *name));
    }
    let links = slots
        .iter()
        .map(|(slot, (number, name))| {
            pb_link(*number, [format!("{slot:02X}").as_bytes(), name].concat())
        })
        .collect();
    let filled: Vec<u16> = slots.keys().copied().collect();
    (links, shard_data(256, &filled))
}
