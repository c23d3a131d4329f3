//! Any bytes as a block: `unixfs` accepts or refuses them, never panics, and an accepted block keeps its promises.
//!
//! Other implementations serve as oracles, where they accept the block as well: `ipld-dagpb` reads the same links, and
//! `unixfs` reads them again after `ipld-dagpb` has written them; `rust-unixfs` finds the same content and names.

#![no_main]

use std::collections::HashSet;

use bytes::Bytes;
use fuzzed::{memory::bounded, seeds};
use ipld_dagpb::PbNode;
use libfuzzer_sys::fuzz_target;
use rust_unixfs::{MaybeResolved, ResolveError, file::visit::IdleFileVisit, resolve};
use unixfs::{
    Codec, DirNode, FileNode, Found, Link, Node, Piece, Prefix, ShardEntry, ShardNode, Target,
    decode, kind, links,
};

/// A packed block size takes one byte, and eight when it is decoded, or twice that while a vector grows.
const PER_BYTE: usize = 64;

fuzz_target!(
    init: seeds::write_if_asked(|| {
        let blocks = seeds::blocks();
        let mut all: Vec<_> = blocks.iter().map(|(_, block)| block.to_vec()).collect();
        all.extend(seeds::others_blocks());
        all
    }),
    |data: &[u8]| {
        let block = Bytes::copy_from_slice(data);
        let (links, node) = bounded(data.len(), PER_BYTE, || check(&block));
        beside_others(&block, links, node);
    }
);

/// Checks a block. Returns its links if all are sound, and its node if that is.
fn check(block: &Bytes) -> (Option<Vec<Link>>, Option<Node>) {
    let Ok(Node::File(raw)) = decode(Codec::Raw, block.clone()) else {
        panic!("a raw block is a file");
    };
    assert!(raw.is_leaf() && raw.payload() == (0..block.len()));

    let links: Option<Vec<Link>> = links(Codec::DagPb, block)
        .expect("small enough")
        .collect::<Result<_, _>>()
        .ok();
    let kind = kind(Codec::DagPb, block);
    let node = match decode(Codec::DagPb, block.clone()) {
        Ok(node) => {
            kind.expect("a node that decodes has a kind");
            node
        }
        Err(malformed) => {
            assert!(malformed.reason().len() < 400, "{malformed}");
            return (links, None);
        }
    };
    let all = links.as_deref().expect("a node's links are sound");
    assert!(node.mode().is_none_or(|mode| mode <= 0o7777));
    assert!(node.mtime().is_none_or(|mtime| mtime.nanos < 1_000_000_000));
    let tsizes = all.iter().fold(0_u64, |sum, link| {
        sum.saturating_add(link.tsize.unwrap_or(0))
    });
    let len = block.len() as u64;
    assert_eq!(node.declared_size(len), len.saturating_add(tsizes));
    match &node {
        Node::File(file) => check_file(file, block, all),
        Node::Directory(directory) => check_directory(directory, all),
        Node::Shard(shard) => check_shard(shard, all),
        Node::Symlink(link) => {
            assert!(all.is_empty() && link.target().len() <= block.len());
        }
    }
    (links, Some(node))
}

/// Asserts that the pieces cover the file without a gap, and that every child is the link at its index.
fn check_file(file: &FileNode, block: &Bytes, links: &[Link]) {
    assert_eq!(file.children(), links.len());
    assert_eq!(file.is_leaf(), links.is_empty());
    for (index, link) in links.iter().enumerate() {
        assert_eq!(file.child(index).as_ref(), Ok(link));
        assert_eq!(file.child_target(index).as_ref(), Ok(&link.target));
        assert!(file.child_len(index).is_some());
    }
    assert!(file.child(links.len()).is_err() && file.child_len(links.len()).is_none());
    let mut offset = 0;
    let mut next_child = 0;
    loop {
        match file.locate(offset) {
            Piece::Inline { span } => {
                assert!(offset == 0 && span == file.payload() && !span.is_empty());
                assert!(span.end <= block.len());
                assert_eq!(
                    file.locate(span.len() as u64 - 1),
                    Piece::Inline {
                        span: span.end - 1..span.end
                    }
                );
                offset += span.len() as u64;
            }
            Piece::Child { index, start, len } => {
                assert!(index >= next_child && start == offset && len > 0);
                assert!((next_child..index).all(|empty| file.child_len(empty) == Some(0)));
                assert_eq!(file.child_len(index), Some(len));
                let last = file.locate(offset + (len - 1));
                assert_eq!(last, Piece::Child { index, start, len });
                next_child = index + 1;
                offset += len;
            }
            Piece::End => break,
        }
    }
    assert_eq!(offset, file.len());
    assert_eq!(file.locate(u64::MAX), Piece::End);
}

fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Asserts that listing and look-up agree.
fn check_directory(directory: &DirNode, links: &[Link]) {
    let mut names = HashSet::new();
    for index in 0..directory.entries() {
        let entry = directory.entry(index).expect("a decoded entry");
        let (name, link) = entry.expect("an entry below the count");
        assert!(is_segment(name) && names.insert(name), "{name:?}");
        assert!(links.contains(&link));
        assert_eq!(directory.lookup(name), Ok(Some(link)));
    }
    assert_eq!(directory.entry(directory.entries()), Ok(None));
    assert_eq!(
        directory.entries() + directory.skipped() as usize,
        links.len()
    );
    for name in ["", ".", "..", "a/b"] {
        assert_eq!(directory.lookup(name), Ok(None));
    }
}

fn check_shard(shard: &ShardNode, links: &[Link]) {
    assert!(links.len() <= shard.fanout() as usize);
    let mut listed = 0;
    for child in shard.children(Prefix::ROOT) {
        let Ok(child) = child else {
            return;
        };
        listed += 1;
        match child {
            ShardEntry::Entry { name, link } => {
                assert!(is_segment(name) && links.contains(&link));
                let found = shard.lookup(name, Prefix::ROOT);
                assert_eq!(found, Ok(Found::Entry(link)));
            }
            ShardEntry::Shard { link, at, .. } => {
                assert!(links.contains(&link) && !at.is_root());
            }
        }
    }
    assert_eq!(listed + shard.skipped() as usize, links.len());
}

fn beside_others(block: &Bytes, links_of_ours: Option<Vec<Link>>, node: Option<Node>) {
    let (Some(ours), Ok(theirs)) = (links_of_ours, PbNode::from_bytes(block.clone())) else {
        return;
    };
    let of_theirs = |node: &PbNode| -> Vec<(Target, Option<u64>)> {
        let targets = node.links.iter().map(|link| {
            let target = unixfs::parse_cid_bytes(&link.cid.to_bytes().into());
            (target.expect("a CID"), link.size)
        });
        targets.collect()
    };
    let ours: Vec<_> = ours
        .into_iter()
        .map(|link| (link.target, link.tsize))
        .collect();
    assert_eq!(ours, of_theirs(&theirs));

    // `ipld-dagpb` writes links sorted by name; apart from that they read back the same.
    let mut sorted = theirs.clone();
    sorted.links.sort_by(|a, b| {
        let name = |link: &ipld_dagpb::PbLink| link.name.clone().unwrap_or_default();
        name(a).cmp(&name(b))
    });
    let written = Bytes::from(theirs.clone().into_bytes());
    let again: Vec<_> = links(Codec::DagPb, &written)
        .expect("small enough")
        .map(|link| link.expect("a sound link, written anew"))
        .map(|link| (link.target, link.tsize))
        .collect();
    assert_eq!(again, of_theirs(&sorted));
    let Some(node) = node else {
        return;
    };
    let rewritten = decode(Codec::DagPb, written).expect("a sound node, written anew");
    assert_eq!(
        std::mem::discriminant(&node),
        std::mem::discriminant(&rewritten)
    );
    assert_eq!(
        (node.mode(), node.mtime()),
        (rewritten.mode(), rewritten.mtime())
    );

    match &node {
        Node::File(file) => {
            if let Ok((bytes, len, _, visit)) = IdleFileVisit::default().start(block) {
                assert_eq!(bytes, &block[file.payload()]);
                assert_eq!((len, visit.is_none()), (file.len(), file.is_leaf()));
            }
        }
        Node::Directory(directory) => {
            for link in &theirs.links {
                let name = link.name.as_deref().unwrap_or_default();
                if !is_segment(name) {
                    continue;
                }
                let found = match resolve(block, name, &mut None) {
                    Ok(MaybeResolved::Found(cid)) => cid,
                    Ok(MaybeResolved::NeedToLoadMore(_)) => panic!("it is in one block"),
                    Ok(MaybeResolved::NotFound) => panic!("{name:?} is not found"),
                    Err(ResolveError::Lookup(_) | ResolveError::Read(_) | _) => continue,
                };
                let ours = directory.lookup(name).expect("a decoded directory");
                let target = unixfs::parse_cid_bytes(&found.to_bytes().into());
                assert_eq!(ours.map(|link| link.target), target.ok());
            }
        }
        _ => {}
    }
}
