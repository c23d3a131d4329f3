//! Properties under mutation: no block makes the reader panic, and a block that it accepts keeps its promises.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{
    Found, Kind, ShardEntry, kind, links,
    read::pbnode::{Section, Sections},
};

/// Sound blocks of every kind, to mutate.
fn sound() -> Vec<Bytes> {
    let dir = named(&["a", "b.txt", "dir", "ü"]);
    let mut unsorted = named(&["z", "a", "z", "..", "m", "a/b"]);
    unsorted.push(PbLink {
        name: None,
        tsize: None,
        ..pb_link(9, "")
    });
    let mut inline = pb_link(0, "id");
    inline.hash = Some(Bytes::from_static(&[1, 0x55, 0, 3, 7, 8, 9]));
    let (shard_links, sharded) = one_shard(&[b"a", b"b", b"470.txt", b"\xc3\xbc", b".."]);
    let dated = PbData {
        mode: Some(0o644),
        mtime: Some(PbTime {
            seconds: Some(-5),
            nanos: Some(7),
        }),
        ..file_data(b"inline", &[4, 0, 6])
    };
    vec![
        block(&[], &file_data(b"hello", &[])),
        block(&named(&["", "", ""]), &dated),
        block(&named(&[""; 30]), &file_data(b"", &[262_144; 30])),
        block(&dir, &data(DIRECTORY)),
        block(&unsorted, &data(DIRECTORY)),
        block(&[inline], &data(DIRECTORY)),
        block(&shard_links, &sharded),
        block(&[pb_link(1, "00")], &shard_data(256, &[0])),
        block(
            &[],
            &PbData {
                data: Some("../x".into()),
                ..data(SYMLINK)
            },
        ),
    ]
}

#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Splice(Index, Index, Index, Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, others: &[Bytes]) {
        let between = |len: usize, a: &Index, b: &Index| {
            let (a, b) = (a.index(len + 1), b.index(len + 1));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(_, _) | Self::Set(_, _) if bytes.is_empty() => {}
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Set(at, value) => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Self::Cut(from, to) => {
                let range = between(bytes.len(), from, to);
                bytes.drain(range);
            }
            Self::Insert(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Splice(at, other, from, to) => {
                let other = &others[other.index(others.len())];
                let at = at.index(bytes.len() + 1);
                let part = other[between(other.len(), from, to)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Mutation::Set(at, value)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..4)).prop_map(|(at, more)| Mutation::Insert(at, more)),
        1 => (any::<Index>(), any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, other, from, to)| Mutation::Splice(at, other, from, to)),
    ]
}

/// Messages whose fields are well-formed and have arbitrary values.
fn any_node() -> impl Strategy<Value = Bytes> {
    let sizes = prop_oneof![8 => 0..50_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let names = prop_oneof!["[0-9A-F]{2}[a-c./]{0,3}", "[a-c./]{0,3}"];
    let links = vec((0..5_u32, names), 0..8).prop_map(|links| {
        links
            .into_iter()
            .map(|(number, name)| pb_link(number, name))
            .collect::<Vec<PbLink>>()
    });
    let head = (
        proptest::option::weighted(0.95, 0..7_u64),
        proptest::option::of(vec(any::<u8>(), 0..34)),
        vec(sizes, 0..8),
        proptest::option::of(prop_oneof![Just(0x22), any::<u64>()]),
        proptest::option::of(prop_oneof![Just(256), Just(8), any::<u64>()]),
        any::<bool>(),
    );
    (links, head).prop_map(
        |(links, (kind, inline, mut blocksizes, hash_type, fanout, honest))| {
            if honest {
                blocksizes.resize(links.len(), 3);
            }
            let filesize = honest.then(|| {
                let inline = inline.as_ref().map_or(0, Vec::len) as u64;
                blocksizes
                    .iter()
                    .fold(inline, |sum, size| sum.wrapping_add(*size))
            });
            let data = PbData {
                kind,
                data: inline.map(Bytes::from),
                filesize,
                blocksizes: if kind == Some(FILE) {
                    blocksizes
                } else {
                    Vec::new()
                },
                hash_type,
                fanout,
                ..PbData::default()
            };
            block(&links, &data)
        },
    )
}

/// Asserts the promises of [`decode`] about every block that it accepts. Returns whether it accepted this one.
fn keeps_its_promises(bytes: &Bytes) -> bool {
    let walked: Result<Vec<Link>, Malformed> =
        links(Codec::DagPb, bytes).and_then(|links| links.collect());
    let kind = kind(Codec::DagPb, bytes);
    let Ok(node) = decode(Codec::DagPb, bytes.clone()) else {
        return false;
    };
    let decoded = match &node {
        Node::File(_) => Kind::File,
        Node::Directory(_) => Kind::Directory,
        Node::Shard(_) => Kind::Shard,
        Node::Symlink(_) => Kind::Symlink,
    };
    assert_eq!(kind.unwrap(), decoded);
    let walked = walked.expect("links of a node that decodes");
    strict_readers_agree(bytes, &walked);
    match &node {
        Node::File(node) => file_promises(bytes, node, &walked),
        Node::Directory(node) => directory_promises(node, walked.len()),
        Node::Shard(node) => shard_promises(node),
        Node::Symlink(node) => assert!(bytes.len() > node.target().len()),
    }
    true
}

/// Every block that is accepted here is accepted by another author's implementation, with the same links. Exceptions
/// are names that are not UTF-8 and identity digests of more than 64 bytes, which that implementation cannot represent.
fn strict_readers_agree(bytes: &Bytes, walked: &[Link]) {
    match ipld_dagpb::PbNode::from_bytes(bytes.clone()) {
        Ok(theirs) => {
            assert_eq!(theirs.links.len(), walked.len());
            for (their, our) in theirs.links.iter().zip(walked) {
                assert_eq!(their.size, our.tsize);
                if let Target::Block(cid) = our.target {
                    assert_eq!(their.cid, cid);
                }
            }
        }
        Err(error) => {
            let long = |link: &Link| matches!(&link.target, Target::Inline { bytes, .. } if bytes.len() > 64);
            let beyond = walked.iter().any(long)
                || Sections::new(bytes)
                    .unwrap()
                    .any(|section| match section.unwrap() {
                        Section::Link(link) => std::str::from_utf8(link.named.name(bytes)).is_err(),
                        Section::Data(_) => false,
                    });
            assert!(beyond, "{error} on {bytes:?}");
        }
    }
}

fn file_promises(bytes: &Bytes, node: &FileNode, walked: &[Link]) {
    let payload = node.payload();
    assert!(payload.start <= payload.end && payload.end <= bytes.len());
    assert_eq!(node.children(), walked.len());
    for (index, link) in walked.iter().enumerate() {
        assert_eq!(node.child(index).unwrap(), *link);
    }
    let mut offset = 0;
    let mut pieces = 0;
    loop {
        let piece = node.locate(offset);
        let end = match &piece {
            Piece::Inline { span } => {
                assert_eq!((offset, span), (0, &payload));
                assert!(!span.is_empty());
                span.len() as u64
            }
            Piece::Child { index, start, len } => {
                assert_eq!((*start, Some(*len)), (offset, node.child_len(*index)));
                assert!(*len > 0);
                assert_eq!(node.locate(start + len - 1), piece);
                start + len
            }
            Piece::End => break,
        };
        offset = end;
        pieces += 1;
        assert!(pieces <= node.children() + 1);
    }
    assert_eq!(offset, node.len());
    assert_eq!(node.locate(u64::MAX), Piece::End);
}

fn directory_promises(node: &DirNode, links: usize) {
    assert_eq!(node.entries() + node.skipped() as usize, links);
    let mut seen = BTreeSet::new();
    for index in 0..node.entries() {
        let (name, link) = node.entry(index).unwrap().unwrap();
        assert!(seen.insert(name), "{name} twice");
        assert!(!name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\0']));
        assert_eq!(node.lookup(name).unwrap(), Some(link));
    }
    assert_eq!(node.entry(node.entries()).unwrap(), None);
}

fn shard_promises(node: &ShardNode) {
    let mut slots = BTreeSet::new();
    for child in node.children(Prefix::ROOT) {
        match child {
            Ok(ShardEntry::Entry { name, link }) => {
                let found = node.lookup(name, Prefix::ROOT).unwrap();
                assert_eq!(found, Found::Entry(link));
            }
            Ok(ShardEntry::Shard { slot, at, .. }) => {
                assert!(u32::from(slot) < node.fanout() && slots.insert(slot));
                assert!(!at.is_root());
            }
            Err(malformed) => assert!(malformed.reason().starts_with("a HAMT entry in slot")),
        }
    }
}

#[test]
fn the_sound_blocks_are_sound() {
    for block in sound() {
        assert!(keeps_its_promises(&block), "{block:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn mutants(which in any::<Index>(), mutations in vec(mutation(), 1..4)) {
        let sound = sound();
        let mut bytes = sound[which.index(sound.len())].to_vec();
        for mutation in &mutations {
            mutation.apply(&mut bytes, &sound);
        }
        keeps_its_promises(&bytes.into());
    }

    #[test]
    fn arbitrary_values_in_sound_forms(block in any_node()) {
        keeps_its_promises(&block);
    }

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..64)) {
        keeps_its_promises(&bytes.into());
    }
}
