//! Random small trees, imported into a CAR and read back by another implementation: `rust-unixfs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::ControlFlow,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{BlockRequest, Cid, Pinner};
use pinner_car::{CarPinner, ImportOptions, Profile, import_to_car};
use proptest::prelude::*;
use rust_unixfs::walk::{ContinuedWalk, Walker};
use tokio::runtime::Runtime;

/// The thing at a path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    File(Vec<u8>),
    Symlink(String),
    Directory,
}

type Tree = BTreeMap<PathBuf, Thing>;

/// Names that need care and names that do not. There are few of them, so that paths collide.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]",
        "[a-zA-Z0-9 %&=?#\\\\:]{1,12}",
        "[äöüß漢字Ωé]{1,5}",
        Just("x".repeat(255)),
    ]
    .prop_filter("no name of a file", |name| name != "." && name != "..")
}

fn thing() -> impl Strategy<Value = Thing> {
    let size = prop_oneof![
        5 => 0..300usize,
        1 => 262_143..262_146usize,
        1 => 1_048_575..1_048_578usize,
    ];
    prop_oneof![
        4 => (size, any::<u8>()).prop_map(|(size, seed)| {
            Thing::File((0..size).map(|n| (n as u8).wrapping_mul(31) ^ (n >> 8) as u8 ^ seed).collect())
        }),
        1 => "[a-z./]{1,20}".prop_map(Thing::Symlink),
        1 => Just(Thing::Directory),
    ]
}

/// A random tree. Paths are added one after the other, and a path below a file or symlink is left out.
fn tree() -> impl Strategy<Value = Tree> {
    let path = prop::collection::vec(name(), 1..4);
    prop::collection::vec((path, thing()), 0..20).prop_map(|entries| {
        let mut tree = Tree::new();
        for (path, thing) in entries {
            let path: PathBuf = path.iter().collect();
            let parents: Vec<&Path> = path
                .ancestors()
                .skip(1)
                .filter(|parent| !parent.as_os_str().is_empty())
                .collect();
            let in_the_way =
                |parent: &&Path| !matches!(tree.get(*parent), None | Some(Thing::Directory));
            if tree.contains_key(&path) || parents.iter().any(in_the_way) {
                continue;
            }
            for parent in parents {
                tree.insert(parent.to_owned(), Thing::Directory);
            }
            tree.insert(path, thing);
        }
        tree
    })
}

fn make(tree: &Tree, root: &Path) {
    fs::create_dir(root).unwrap();
    // The map's order puts parents before their children.
    for (path, thing) in tree {
        let path = root.join(path);
        match thing {
            Thing::File(content) => fs::write(path, content).unwrap(),
            Thing::Symlink(target) => symlink(target, path).unwrap(),
            Thing::Directory => fs::create_dir(path).unwrap(),
        }
    }
}

/// Reads back the tree below `root`, and every block that was needed for it, each checked against its CID.
fn read_back(runtime: &Runtime, pinner: &CarPinner, root: Cid) -> (Tree, BTreeSet<Vec<u8>>) {
    let mut tree = Tree::new();
    let mut used = BTreeSet::new();
    let mut walker = Walker::new(root, String::new());
    let mut cache = None;
    while walker.should_continue() {
        let cid = *walker.pending_links().0;
        let block = runtime
            .block_on(pinner.block(&BlockRequest::new(cid)))
            .unwrap()
            .bytes;
        assert_eq!(*cid.hash(), Code::Sha2_256.digest(&block));
        used.insert(cid.to_bytes());
        match walker.next(&block, &mut cache).unwrap() {
            ContinuedWalk::File(segment, _, path, _, size) => {
                let file = tree.entry(path.into()).or_insert(Thing::File(Vec::new()));
                let Thing::File(content) = file else {
                    panic!("{} is two things", path.display());
                };
                content.extend_from_slice(segment.as_ref());
                if segment.is_last() {
                    assert_eq!(content.len() as u64, size);
                }
            }
            ContinuedWalk::Directory(_, path, _) | ContinuedWalk::RootDirectory(_, path, _) => {
                tree.insert(path.into(), Thing::Directory);
            }
            ContinuedWalk::Symlink(target, _, path, _) => {
                let target = String::from_utf8(target.to_vec()).unwrap();
                tree.insert(path.into(), Thing::Symlink(target));
            }
            ContinuedWalk::Bucket(..) => {}
        }
    }
    (tree, used)
}

fn round_trip(runtime: &Runtime, tree: &Tree, options: &ImportOptions) {
    let temporary = tempfile::tempdir().unwrap();
    let (source, car) = (temporary.path().join("t"), temporary.path().join("t.car"));
    make(tree, &source);
    let imported = import_to_car(&source, &car, options, |_| ControlFlow::Continue(())).unwrap();
    let pinner = CarPinner::open_blocking([&car]).unwrap();
    assert_eq!(pinner.roots(), [imported.root]);
    let (mut found, used) = read_back(runtime, &pinner, imported.root);
    assert_eq!(found.remove(Path::new("")), Some(Thing::Directory));
    assert!(
        found == *tree,
        "read back {:?}\nof {:?}",
        found.keys(),
        tree.keys()
    );
    assert_eq!(used.len() as u64, imported.blocks);
    let count = |wanted: fn(&Thing) -> bool| tree.values().filter(|t| wanted(t)).count() as u64;
    assert_eq!(
        imported.files,
        count(|thing| matches!(thing, Thing::File(_)))
    );
    assert_eq!(
        imported.symlinks,
        count(|thing| matches!(thing, Thing::Symlink(_)))
    );
    assert_eq!(
        imported.directories,
        1 + count(|thing| *thing == Thing::Directory)
    );
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn all_options() -> [ImportOptions; 4] {
    let with = |profile, raw_leaves| ImportOptions {
        profile,
        raw_leaves,
        hidden: true,
        ..ImportOptions::default()
    };
    [
        with(Profile::UnixfsV1_2025, None),
        with(Profile::UnixfsV1_2025, Some(false)),
        with(Profile::UnixfsV0_2015, None),
        with(Profile::UnixfsV0_2015, Some(true)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_come_back(tree in tree()) {
        let runtime = runtime();
        for options in all_options() {
            round_trip(&runtime, &tree, &options);
        }
    }
}

/// A directory with enough entries to need every kind of slot, read back through another HAMT implementation.
#[test]
fn a_sharded_directory_comes_back() {
    let tree: Tree = (0..6500)
        .map(|n| {
            let path = PathBuf::from(format!("{n:05} ü"));
            (path, Thing::File(format!("{}", n % 50).into_bytes()))
        })
        .collect();
    for options in all_options() {
        round_trip(&runtime(), &tree, &options);
    }
}
