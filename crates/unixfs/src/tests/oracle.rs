//! Trees from other implementations are read here, and the result is compared with other readers'.
//!
//! `rust-unixfs` writes as Kubo does, which the roots of the golden table prove below. On the CARs of the gateway
//! conformance suite, `ipld-dagpb` and the reader of `rust-unixfs` are the other side of the comparison.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    rc::Rc,
};

use rust_unixfs::{
    dir::builder::{BufferingTreeBuilder, TreeOptions},
    file::{
        adder::{BalancedCollector, Chunker, FileAdder},
        visit::IdleFileVisit,
    },
};

use super::*;
use crate::{Found, ShardEntry, links};

/// Blocks by CID, and the number of requests for them.
#[derive(Default)]
struct Blocks {
    by_cid: HashMap<Cid, Bytes>,
    asked: Cell<usize>,
    /// The decoded nodes, so that 10,000 look-ups decode a directory only once, as with a cache.
    decoded: RefCell<HashMap<Cid, Rc<Node>>>,
}

impl Blocks {
    fn bytes(&self, target: &Target) -> Bytes {
        match target {
            Target::Block(cid) => self.by_cid[cid].clone(),
            Target::Inline { bytes, .. } => bytes.clone(),
        }
    }

    fn node(&self, target: &Target) -> Rc<Node> {
        let decode = || Rc::new(decode(target.codec(), self.bytes(target)).unwrap());
        match target {
            Target::Inline { .. } => decode(),
            Target::Block(cid) => {
                self.asked.set(self.asked.get() + 1);
                let mut decoded = self.decoded.borrow_mut();
                decoded.entry(*cid).or_insert_with(decode).clone()
            }
        }
    }

    /// The bytes from `offset` on, as many as one block has.
    fn read(&self, root: &Target, offset: u64) -> Option<Vec<u8>> {
        let (mut target, mut offset) = (root.clone(), offset);
        loop {
            let node = self.node(&target);
            let Node::File(node) = &*node else {
                panic!("no file: {node:?}")
            };
            match node.locate(offset) {
                Piece::Inline { span } => return Some(self.bytes(&target)[span].to_vec()),
                Piece::Child { index, start, .. } => {
                    target = node.child(index).unwrap().target;
                    offset -= start;
                }
                Piece::End => return None,
            }
        }
    }

    fn read_all(&self, root: &Target) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(more) = self.read(root, all.len() as u64) {
            all.extend(more);
        }
        all
    }

    /// All names of a directory of either kind.
    fn list(&self, root: &Target) -> BTreeMap<String, Link> {
        let mut listed = BTreeMap::new();
        let mut add = |name: &str, link| {
            assert_eq!(listed.insert(name.to_owned(), link), None, "{name} twice");
        };
        let mut pending = vec![(self.node(root), Prefix::ROOT)];
        while let Some((node, at)) = pending.pop() {
            match &*node {
                Node::Directory(node) => {
                    for index in 0..node.entries() {
                        let (name, link) = node.entry(index).unwrap().unwrap();
                        add(name, link);
                    }
                }
                Node::Shard(node) => {
                    for child in node.children(at) {
                        match child.unwrap() {
                            ShardEntry::Entry { name, link } => add(name, link),
                            ShardEntry::Shard { link, at, .. } => {
                                pending.push((self.node(&link.target), at));
                            }
                        }
                    }
                }
                other => panic!("no directory: {other:?}"),
            }
        }
        listed
    }

    fn find(&self, root: &Target, name: &str) -> Option<Link> {
        let (mut target, mut at) = (root.clone(), Prefix::ROOT);
        loop {
            let found = match &*self.node(&target) {
                Node::Directory(node) => return node.lookup(name).unwrap(),
                Node::Shard(node) => node.lookup(name, at).unwrap(),
                other => panic!("no directory: {other:?}"),
            };
            match found {
                Found::Entry(link) => return Some(link),
                Found::Absent => return None,
                Found::Shard { link, at: below } => (target, at) = (link.target, below),
            }
        }
    }

    /// A file as the other implementation reads it; `None` where a block is missing.
    fn read_by_the_other(&self, root: &Cid) -> Option<Vec<u8>> {
        let block = self.by_cid.get(root)?;
        let start = IdleFileVisit::default();
        let (bytes, _, _, mut visit) = if root.codec() == 0x55 {
            start.start_from_raw(block)
        } else {
            start.start(block).unwrap()
        };
        let mut all = bytes.to_vec();
        while let Some(step) = visit {
            let next = *step.pending_links().0;
            let (bytes, rest) = step
                .continue_walk(self.by_cid.get(&next)?, &mut None)
                .unwrap();
            all.extend_from_slice(bytes);
            visit = rest;
        }
        Some(all)
    }
}

impl Extend<(Cid, Vec<u8>)> for Blocks {
    fn extend<T: IntoIterator<Item = (Cid, Vec<u8>)>>(&mut self, blocks: T) {
        let blocks = blocks.into_iter().map(|(cid, bytes)| (cid, bytes.into()));
        self.by_cid.extend(blocks);
    }
}

/// Adds a file and returns its root.
fn add(blocks: &mut Blocks, mut adder: FileAdder, mut content: &[u8]) -> Cid {
    let mut root = None;
    let mut keep = |made: Vec<(Cid, Vec<u8>)>| {
        root = made.last().map(|(cid, _)| *cid).or(root);
        blocks.extend(made);
    };
    while !content.is_empty() {
        let (made, consumed) = adder.push(content);
        keep(made.collect());
        content = &content[consumed..];
    }
    keep(adder.finish().collect());
    root.expect("a file has a root")
}

/// Bytes without a period, which a chunk or a node could hide.
fn content(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn files_of_every_shape_read_back() {
    for (chunk, branching) in [(1, 2), (3, 2), (7, 3), (64, 174)] {
        for len in [0, 1, 2, 3, 4, 6, 7, 8, 9, 21, 48, 49, 63, 64, 65, 128, 300] {
            for raw_leaves in [false, true] {
                let content = content(len);
                let mut blocks = Blocks::default();
                let adder = FileAdder::builder()
                    .with_chunker(Chunker::Size(chunk))
                    .with_collector(BalancedCollector::with_branching_factor(branching))
                    .with_raw_leaves(raw_leaves)
                    .build();
                let root = add(&mut blocks, adder, &content);
                let case = format!(
                    "{len} bytes in chunks of {chunk}, {branching} links, raw {raw_leaves}"
                );
                let root = Target::Block(root);
                assert_eq!(blocks.read_all(&root), content, "{case}");
                for offset in 0..len {
                    blocks.asked.set(0);
                    let read = blocks.read(&root, offset as u64).unwrap();
                    assert!(
                        content[offset..].starts_with(&read),
                        "{case}, offset {offset}"
                    );
                    assert!(
                        !read.is_empty() && read.len() <= chunk,
                        "{case}, offset {offset}"
                    );
                    // At most one block is read for each level.
                    let leaves = len.div_ceil(chunk);
                    let levels = (1..)
                        .find(|levels| branching.pow(levels - 1) >= leaves)
                        .unwrap();
                    assert!(
                        blocks.asked.get() <= levels as usize,
                        "{case}, offset {offset}"
                    );
                }
            }
        }
    }
}

/// A directory of `count` files NNNNN.txt, like `flat(n)` of the golden table.
fn flat(count: usize, sharded: bool) -> (Blocks, Cid, BTreeMap<String, Cid>) {
    let mut blocks = Blocks::default();
    let mut options = TreeOptions::default();
    options.block_size_limit(None);
    options.shard_threshold(sharded.then_some(0));
    options.wrap_with_directory();
    let mut tree = BufferingTreeBuilder::new(options);
    let mut files = BTreeMap::new();
    for number in 0..count {
        let (name, content) = (format!("{number:05}.txt"), format!("{number}\n"));
        let root = add(&mut blocks, FileAdder::default(), content.as_bytes());
        tree.put_link(&name, root, content.len() as u64).unwrap();
        files.insert(name, root);
    }
    let mut root = None;
    for node in tree.build() {
        let node = node.unwrap();
        root = Some(node.cid);
        blocks.extend([(node.cid, node.block.into_vec())]);
    }
    (blocks, root.expect("a directory has a root"), files)
}

fn finds_all(blocks: &Blocks, root: Cid, files: &BTreeMap<String, Cid>) {
    let root = Target::Block(root);
    let listed: BTreeMap<String, Target> = blocks
        .list(&root)
        .into_iter()
        .map(|(name, link)| (name, link.target))
        .collect();
    let expected = files
        .iter()
        .map(|(name, cid)| (name.clone(), Target::Block(*cid)))
        .collect();
    assert_eq!(listed, expected);
    for (name, cid) in files {
        blocks.asked.set(0);
        let found = blocks.find(&root, name).map(|link| link.target);
        assert_eq!(found, Some(Target::Block(*cid)), "{name}");
        // The hashes of 5,000 names differ within four levels of 256.
        assert!(
            blocks.asked.get() <= 4,
            "{name} took {}",
            blocks.asked.get()
        );
        assert_eq!(blocks.find(&root, &format!("no-{name}")), None);
    }
}

/// The root is the one that Kubo 0.43.0 computes, so the directory equals Kubo's to the last shard.
#[test]
fn a_sharded_directory_of_kubo() {
    let (blocks, root, files) = flat(4947, true);
    assert_eq!(
        root.to_string(),
        "bafybeiauhoag5mqw5vygxderjnek3j2ppicyt7nsvnnfy5fbm3wnlaz2ba"
    );
    finds_all(&blocks, root, &files);
}

/// The same as above, in one block.
#[test]
fn a_plain_directory_of_kubo() {
    let (blocks, root, files) = flat(4946, false);
    assert_eq!(
        root.to_string(),
        "bafybeiglpogp6lqxlucelrrkrue575vpht7njow2peqgrmujenxd6wxo2q"
    );
    finds_all(&blocks, root, &files);
}

/// The blocks of a CARv1. It parses only as much of the format as trusted fixtures need.
fn read_car(bytes: &Bytes) -> Blocks {
    let mut blocks = Blocks::default();
    let mut rest: &[u8] = bytes;
    let header = prost::decode_length_delimiter(&mut rest).unwrap();
    rest = &rest[header..];
    while !rest.is_empty() {
        let len = prost::decode_length_delimiter(&mut rest).unwrap();
        let (section, behind) = rest.split_at(len);
        let cid = Cid::read_bytes(section).unwrap();
        blocks.extend([(cid, section[cid.encoded_len()..].to_vec())]);
        rest = behind;
    }
    blocks
}

/// The fixtures' CARs by name; prints that they did not run and returns `None` if they were not asked for.
fn fixtures() -> Option<Vec<(String, Blocks)>> {
    let Some(folder) = std::env::var_os("WASI_IPFS_FIXTURES") else {
        println!("NOT RUN: WASI_IPFS_FIXTURES names no folder with the fixtures");
        return None;
    };
    let folder = PathBuf::from(folder).join("car");
    let cars: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, read_car(&std::fs::read(&path).unwrap().into()))
        })
        .collect();
    assert!(!cars.is_empty());
    Some(cars)
}

/// Every block of every CAR has the same links as in another decoder, and every file the same bytes as in another
/// reader.
#[test]
fn the_conformance_suites_blocks_read_as_by_others() {
    let Some(cars) = fixtures() else { return };
    let (mut files, mut missing, mut shards, mut symlinks) = (0, 0, 0, 0);
    for (name, blocks) in &cars {
        for (cid, bytes) in &blocks.by_cid {
            let codec = Codec::from(cid.codec());
            if matches!(codec, Codec::Other(_)) {
                assert!(decode(codec, bytes.clone()).is_err());
                continue;
            }
            if codec == Codec::DagPb {
                let theirs = ipld_dagpb::PbNode::from_bytes(bytes.clone()).unwrap().links;
                let ours: Vec<Link> = links(codec, bytes).unwrap().map(Result::unwrap).collect();
                assert_eq!(theirs.len(), ours.len());
                for (their, our) in theirs.iter().zip(&ours) {
                    assert_eq!(
                        (&Target::Block(their.cid), their.size),
                        (&our.target, our.tsize)
                    );
                }
            }
            match decode(codec, bytes.clone())
                .unwrap_or_else(|error| panic!("{name}: {cid}: {error}"))
            {
                Node::File(_) => match blocks.read_by_the_other(cid) {
                    Some(expected) => {
                        assert_eq!(
                            blocks.read_all(&Target::Block(*cid)),
                            expected,
                            "{name}: {cid}"
                        );
                        files += 1;
                    }
                    None => missing += 1,
                },
                Node::Shard(_) => shards += 1,
                Node::Symlink(_) => symlinks += 1,
                Node::Directory(_) => {}
            }
        }
    }
    assert!(
        files > 50 && missing == 1 && shards >= 1 && symlinks >= 1,
        "{files} {missing} {shards} {symlinks}"
    );
}

/// The names of the HAMT are the parts behind the slots in its shards' links, as another decoder reads them.
#[test]
fn the_conformance_suites_hamt() {
    let Some(cars) = fixtures() else { return };
    let (_, blocks) = cars
        .iter()
        .find(|(name, _)| name.contains("single-layer-hamt"))
        .expect("the CAR with a HAMT");
    let (mut expected, mut linked) = (BTreeMap::new(), BTreeSet::new());
    let mut shards = Vec::new();
    for (cid, bytes) in &blocks.by_cid {
        let node = decode(Codec::from(cid.codec()), bytes.clone());
        if !matches!(node, Ok(Node::Shard(_))) {
            continue;
        }
        shards.push(*cid);
        for link in ipld_dagpb::PbNode::from_bytes(bytes.clone()).unwrap().links {
            match &link.name.unwrap()[2..] {
                "" => linked.extend([link.cid]),
                name => expected.extend([(name.to_owned(), link.cid)]),
            }
        }
    }
    assert!(shards.len() > 100 && expected.len() > shards.len());
    shards.retain(|shard| !linked.contains(shard));
    let [root] = shards[..] else {
        panic!("{} roots", shards.len())
    };
    finds_all(blocks, root, &expected);
}
