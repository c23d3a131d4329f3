//! A directory's blocks: one plain block, or a HAMT of shards once that grows too large.
//!
//! Holds one directory's links, 64 bytes and the name each. Knows nothing of the file system.

use bytes::Bytes;
use cid::{Cid, Version};
use ipld_dagpb::PbLink;

use super::{
    blocks::{Blocks, Node},
    unixfs::{Attributes, Data, Type, link_size_in_block},
};
use crate::error::CarError;

/// A directory over this many bytes is sharded; one of exactly as many is plain.
const SHARDING_BYTES: usize = 262_144;

/// How the bytes of a directory are counted against that limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeEstimate {
    /// The names' and CIDs' lengths.
    Links,
    /// The plain dag-pb block's length.
    Block,
}

/// A shard has 2^8 slots, and each level takes as many bits of the hash.
const FANOUT: usize = 256;
const LEVELS: u32 = 64 / 8;
/// murmur3-x64-64 by its multicodec.
const HASH_TYPE: u64 = 0x22;

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) node: Node,
}

/// Two names that no HAMT tells apart.
#[derive(Debug)]
pub(super) struct Collision {
    pub(super) first: Box<str>,
    pub(super) second: Box<str>,
}

/// Why a directory could not be added.
#[derive(Debug)]
pub(super) enum DirectoryError {
    Collision(Collision),
    Other(CarError),
}

impl From<CarError> for DirectoryError {
    fn from(error: CarError) -> Self {
        Self::Other(error)
    }
}

/// Adds the directory of these entries, whose names are distinct, and says whether it is sharded.
pub(super) fn add<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
    entries: Vec<Entry>,
    estimate: SizeEstimate,
    attributes: Attributes,
    blocks: &mut Blocks<S>,
) -> Result<Node, DirectoryError> {
    let data = Data::new(Type::Directory, attributes);
    let version = blocks.version();
    if estimated_size(&entries, &data, estimate, version) <= SHARDING_BYTES {
        let children = entries.iter().map(|entry| entry.node.tsize).sum();
        let links = entries
            .into_iter()
            .map(|entry| entry.node.link(entry.name.into(), version))
            .collect();
        return Ok(blocks.put_dag_pb(data.into_block(links), children)?);
    }
    let mut hashed: Vec<(u64, Entry)> = entries
        .into_iter()
        .map(|entry| (hash(&entry.name), entry))
        .collect();
    hashed.sort_unstable_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    shard(&hashed, 0, attributes, blocks)
}

fn estimated_size(
    entries: &[Entry],
    data: &Data,
    estimate: SizeEstimate,
    version: Version,
) -> usize {
    let cid_length = |entry: &Entry| entry.node.id.cid(version).encoded_len();
    match estimate {
        SizeEstimate::Links => entries
            .iter()
            .map(|entry| entry.name.len() + cid_length(entry))
            .sum(),
        SizeEstimate::Block => {
            let links: usize = entries
                .iter()
                .map(|entry| link_size_in_block(&entry.name, cid_length(entry), entry.node.tsize))
                .sum();
            data.size_in_block() + links
        }
    }
}

/// One shard of the entries, which are sorted by hash and agree in the first `level` bytes of it.
fn shard<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
    entries: &[(u64, Entry)],
    level: u32,
    attributes: Attributes,
    blocks: &mut Blocks<S>,
) -> Result<Node, DirectoryError> {
    let version = blocks.version();
    let mut links: Vec<PbLink> = Vec::new();
    let mut children = 0u64;
    let mut bitfield = [0u8; FANOUT / 8];
    for slot_entries in entries.chunk_by(|a, b| slot(a.0, level) == slot(b.0, level)) {
        let slot = slot(slot_entries[0].0, level);
        bitfield[FANOUT / 8 - 1 - slot / 8] |= 1 << (slot % 8);
        let (node, name) = match slot_entries {
            [(_, entry)] => (entry.node, format!("{slot:02X}{}", entry.name)),
            [(_, first), (_, second), ..] if level + 1 == LEVELS => {
                return Err(DirectoryError::Collision(Collision {
                    first: first.name.clone(),
                    second: second.name.clone(),
                }));
            }
            several => (
                shard(several, level + 1, Attributes::default(), blocks)?,
                format!("{slot:02X}"),
            ),
        };
        children += node.tsize;
        links.push(node.link(name, version));
    }
    let leading_zeros = bitfield.iter().take_while(|byte| **byte == 0).count();
    let block = Data {
        data: Some(Bytes::copy_from_slice(&bitfield[leading_zeros..])),
        hash_type: Some(HASH_TYPE),
        fanout: Some(FANOUT as u64),
        ..Data::new(Type::HamtShard, attributes)
    }
    .into_block(links);
    Ok(blocks.put_dag_pb(block, children)?)
}

/// The first 64 bits of the name's murmur3-x64-128.
fn hash(name: &str) -> u64 {
    let both = murmur3::murmur3_x64_128(&mut name.as_bytes(), 0)
        .expect("reading from memory does not fail");
    // The crate puts the first half into the low bits.
    both as u64
}

/// Which slot of a shard at `level` the hash belongs to: most significant bits first.
fn slot(hash: u64, level: u32) -> usize {
    usize::from(hash.to_be_bytes()[level as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_hashes_to_the_slots_that_go_gives_it() {
        assert_eq!(hash("470.txt"), 0x006e_88df_5847_e67c);
        assert_eq!(slot(hash("470.txt"), 0), 0x00);
        assert_eq!(slot(hash("470.txt"), 1), 0x6e);
    }

    #[test]
    fn the_computed_size_of_a_block_is_its_length() {
        let mut blocks = Blocks::new(Version::V1, |_, _| Ok(()));
        let attributes = Attributes {
            mode: Some(0o755),
            mtime: Some((-1, 5)),
        };
        let mut entries = Vec::new();
        for length in [0, 1, 127, 128, 200, 5000] {
            let node = blocks.put_raw(vec![7; length].into()).unwrap();
            entries.push(Entry {
                name: "n".repeat(length + 1).into(),
                node,
            });
        }
        let data = Data::new(Type::Directory, attributes);
        let estimate = estimated_size(&entries, &data, SizeEstimate::Block, Version::V1);
        let links = entries
            .iter()
            .map(|entry| entry.node.link(entry.name.to_string(), Version::V1))
            .collect();
        assert_eq!(estimate, data.into_block(links).len());
    }

    /// A directory of exactly the limit is plain, and one byte more is sharded: what Kubo's `>` says.
    #[test]
    fn the_limit_itself_is_plain() {
        for (estimate, version) in [
            (SizeEstimate::Links, Version::V0),
            (SizeEstimate::Block, Version::V1),
        ] {
            let data = Data::new(Type::Directory, Attributes::default());
            for (over, wanted) in [(0, Type::Directory), (1, Type::HamtShard)] {
                let mut last = Bytes::new();
                let mut blocks = Blocks::new(version, |_, block| {
                    last = block;
                    Ok(())
                });
                let node = blocks.put_raw(Bytes::new()).unwrap();
                let entry = |name: String| Entry {
                    name: name.into(),
                    node,
                };
                let mut entries: Vec<_> = (0..900).map(|n| entry(format!("{n:0220}"))).collect();
                let size = |entries: &[Entry]| estimated_size(entries, &data, estimate, version);
                // From 16 KiB to 2 MiB, one byte more in a name is one byte more in either estimate.
                entries.push(entry("x".repeat(20_000)));
                let missing = SHARDING_BYTES + over - size(&entries);
                entries.pop();
                entries.push(entry("x".repeat(20_000 + missing)));
                assert_eq!(size(&entries), SHARDING_BYTES + over);
                add(entries, estimate, Attributes::default(), &mut blocks).unwrap();
                drop(blocks);
                let data = ipld_dagpb::PbNode::from_bytes(last).unwrap().data.unwrap();
                assert!(data.starts_with(&[8, wanted as u8]), "{estimate:?} {over}");
            }
        }
    }

    #[test]
    fn names_of_one_hash_are_an_error_and_no_endless_descent() {
        let mut blocks = Blocks::new(Version::V1, |_, _| Ok(()));
        let node = blocks.put_raw(Bytes::new()).unwrap();
        let entry = |name: &str| Entry {
            name: name.into(),
            node,
        };
        let same = [(5, entry("a")), (5, entry("b"))];
        let error = shard(&same, 0, Attributes::default(), &mut blocks).unwrap_err();
        assert!(
            matches!(&error, DirectoryError::Collision(c) if &*c.first == "a" && &*c.second == "b"),
            "{error:?}"
        );
    }
}
