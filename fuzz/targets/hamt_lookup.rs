//! A name and two blocks: a look-up through shards that link to each other ends, and agrees with a listing.
//!
//! The input is a byte for the name's length, the name, two bytes (big-endian) for the first block's length, the first
//! block, and the second block. The first block is used at even levels and the second at odd ones, so that both occur
//! at depths where no honest author links them.

#![no_main]

use bytes::Bytes;
use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use unixfs::{Codec, Found, Node, Prefix, ShardEntry, ShardNode, decode};

/// The same as in `unixfs_block`, for two blocks.
const PER_BYTE: usize = 128;

/// Each level uses at least three of the hash's 64 bits.
const MOST_LEVELS: usize = 22;

fuzz_target!(
    init: seeds::write_if_asked(|| {
        let mut blocks: Vec<Vec<u8>> =
            seeds::blocks().iter().map(|(_, block)| block.to_vec()).collect();
        blocks.extend(seeds::others_blocks());
        let shards = blocks.iter().filter(|block| shard(block).is_some());
        shards.flat_map(|block| inputs(block)).collect()
    }),
    |data: &[u8]| {
        let Some((name, first, second)) = parts(data) else {
            return;
        };
        bounded(data.len(), PER_BYTE, || check(name, first, second));
    }
);

/// Inputs of a shard, for a name that it has and for one that it has not.
fn inputs(block: &[u8]) -> Vec<Vec<u8>> {
    let input = |name: &str, first: &[u8], second: &[u8]| {
        let (Ok(name_len), Ok(first_len)) = (u8::try_from(name.len()), u16::try_from(first.len()))
        else {
            return Vec::new();
        };
        [
            &[name_len][..],
            name.as_bytes(),
            &first_len.to_be_bytes(),
            first,
            second,
        ]
        .concat()
    };
    let Some(node) = shard(block) else {
        return Vec::new();
    };
    let name = node
        .children(Prefix::ROOT)
        .flatten()
        .find_map(|child| match child {
            ShardEntry::Entry { name, .. } => Some(name.to_owned()),
            _ => None,
        });
    vec![
        input(&name.unwrap_or_default(), block, block),
        input("no such name", block, b"\x0a\x02\x08\x01"),
    ]
}

fn parts(data: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (name_len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
    let (first_len, rest) = rest.split_first_chunk()?;
    let (first, second) = rest.split_at_checked(usize::from(u16::from_be_bytes(*first_len)))?;
    Some((std::str::from_utf8(name).ok()?, first, second))
}

fn shard(block: &[u8]) -> Option<ShardNode> {
    match decode(Codec::DagPb, Bytes::copy_from_slice(block)) {
        Ok(Node::Shard(shard)) => Some(shard),
        _ => None,
    }
}

fn check(name: &str, first: &[u8], second: &[u8]) {
    let (Some(even), odd) = (shard(first), shard(second)) else {
        return;
    };
    let mut levels = [Some(&even), odd.as_ref()].into_iter().cycle();
    let mut at = Prefix::ROOT;
    for _ in 0..=MOST_LEVELS {
        let Some(node) = levels.next().flatten() else {
            return;
        };
        let found = node.lookup(name, at);
        compare(node, name, at, found.as_ref().ok());
        match found {
            Ok(Found::Shard { at: below, .. }) => {
                assert_ne!(below, at);
                at = below;
            }
            _ => return,
        }
    }
    panic!("a look-up through more levels than the hash has bits for");
}

/// Asserts that a complete listing has the name if and only if a look-up finds it.
fn compare(node: &ShardNode, name: &str, at: Prefix, found: Option<&Found>) {
    let Ok(children) = node.children(at).collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let found = found.expect("a shard that can be listed can be searched");
    let listed: Vec<_> = children
        .iter()
        .filter_map(|child| match child {
            ShardEntry::Entry { name: entry, link } if *entry == name => Some(link),
            _ => None,
        })
        .collect();
    match found {
        Found::Entry(link) => assert_eq!(listed, [link]),
        Found::Shard { link, at } => {
            assert!(listed.is_empty());
            assert!(children.iter().any(|child| matches!(
                child,
                ShardEntry::Shard { link: other, at: below, .. } if other == link && below == at
            )));
        }
        Found::Absent => assert!(listed.is_empty()),
    }
}
