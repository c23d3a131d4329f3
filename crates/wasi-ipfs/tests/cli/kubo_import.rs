//! `wasi-ipfs import` prints the same CIDs as `ipfs add` of a real Kubo, for generated trees: random sizes around the
//! chunks' boundaries, names, depths, symlinks, modes and times, in both profiles.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kubo_daemon::{Daemon, Kubo, kubo_or_not_run};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

const PROFILES: [&str; 2] = ["unixfs-v1-2025", "unixfs-v0-2015"];

/// The content behind a name.
#[derive(Clone, Debug)]
enum Entry {
    File { len: usize, seed: u8 },
    Link(String),
    Dir(Tree),
}

type Tree = BTreeMap<String, Stamped>;

#[derive(Clone, Debug)]
struct Stamped {
    entry: Entry,
    /// Permissions; the owner always keeps the right to read.
    mode: u32,
    /// Nanoseconds since the epoch; some before it.
    mtime: i64,
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-zA-Z0-9]{1,12}",
        2 => "\\.[a-z]{1,6}",
        2 => "[a-z]{1,3}[ %+&#?~^-][a-zA-Z0-9.]{1,8}",
        1 => "[α-ωァ-ヶ漢字é]{1,20}",
        1 => "[a-z]{200,255}",
    ]
    .prop_filter("no name of a file", |name| {
        ![".", ".."].contains(&&**name) && name.len() < 256
    })
}

fn lengths() -> impl Strategy<Value = usize> {
    const KIB: usize = 1024;
    let around = |boundary: usize| (boundary - 2)..(boundary + 3);
    prop_oneof![
        4 => 0..3_usize,
        4 => 0..2000_usize,
        1 => around(256 * KIB),
        1 => around(512 * KIB),
        1 => around(1024 * KIB),
        1 => around(2048 * KIB),
        1 => 0..3_000_000_usize,
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        6 => (lengths(), any::<u8>()).prop_map(|(len, seed)| Entry::File { len, seed }),
        1 => "[a-z./]{1,30}".prop_map(Entry::Link),
    ];
    let entry = leaf.prop_recursive(4, 40, 8, |entry| {
        tree_of(entry, 0..8).prop_map(Entry::Dir).boxed()
    });
    tree_of(entry, 0..8)
}

fn tree_of(
    entry: impl Strategy<Value = Entry>,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = Tree> {
    let mtime = -4_000_000_000_000_000_000_i64..4_000_000_000_000_000_000;
    let stamped = (entry, 0_u32..0o1000, mtime).prop_map(|(entry, mode, mtime)| Stamped {
        entry,
        mode: mode | 0o500,
        mtime,
    });
    prop::collection::btree_map(names(), stamped, size)
}

fn make(dir: &Path, tree: &Tree) {
    fs::create_dir(dir).unwrap();
    for (name, Stamped { entry, mode, mtime }) in tree {
        let path = dir.join(name);
        match entry {
            Entry::File { len, seed } => {
                let bytes: Vec<u8> = (0..*len).map(|n| (n / 7) as u8 ^ seed).collect();
                fs::write(&path, bytes).unwrap();
            }
            Entry::Link(target) => {
                symlink(target, &path).unwrap();
                // A symlink's own times are the present. With --preserve-mtime, both sides read the same times.
                continue;
            }
            Entry::Dir(tree) => make(&path, tree),
        }
        File::open(&path)
            .unwrap()
            .set_modified(time(*mtime))
            .unwrap();
        fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
    }
}

fn time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    match nanoseconds < 0 {
        true => UNIX_EPOCH - distance,
        false => UNIX_EPOCH + distance,
    }
}

/// The options that both programs have, under the same names.
fn options() -> impl Strategy<Value = Vec<&'static str>> {
    let hidden = prop_oneof![Just(None), Just(Some("-H"))];
    let leaves = prop_oneof![
        2 => Just(vec![]),
        1 => Just(vec!["--raw-leaves=true"]),
        1 => Just(vec!["--raw-leaves=false"]),
        1 => Just(vec!["--raw-leaves=false", "--preserve-mode"]),
        1 => Just(vec!["--raw-leaves=false", "--preserve-mtime"]),
        1 => Just(vec!["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"]),
    ];
    (hidden, leaves).prop_map(|(hidden, leaves)| hidden.into_iter().chain(leaves).collect())
}

fn import(profile: &str, options: &[&str], source: &Path, car: &Path) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_wasi-ipfs"))
        .args(["import", "--profile", profile])
        .args(options)
        .arg(source)
        .arg("-o")
        .arg(car)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{options:?}: {stderr}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn add(node: &Daemon, options: &[&str], source: &Path) -> String {
    let flags = [&["--pin=false"], options].concat();
    node.add(source, &flags).unwrap().to_string()
}

fn nodes(kubo: &Kubo) -> Vec<(&'static str, Daemon)> {
    let start = |profile| (profile, kubo.node().profile(profile).start().unwrap());
    PROFILES.into_iter().map(start).collect()
}

#[test]
fn random_trees_get_the_cids_that_kubo_gives_them() {
    let kubo = kubo_or_not_run!("random trees get the CIDs that `ipfs add` gives them");
    let nodes = nodes(&kubo);
    let cases = match std::env::var_os("WASI_IPFS_QUICK") {
        Some(_) => 16,
        None => 96,
    };
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let compared = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&(trees(), options()), |(tree, options)| {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        make(&source, &tree);
        for (profile, node) in &nodes {
            let ours = import(profile, &options, &source, &dir.path().join("content.car"));
            prop_assert_eq!(
                ours,
                add(node, &options, &source),
                "{} {:?}",
                profile,
                options
            );
            compared.set(compared.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    println!("{} trees compared", compared.get());
}

/// All combinations of options of `ipfs add`, on a node that was not configured otherwise.
#[test]
fn the_options_of_an_import_are_those_of_an_add() {
    let kubo = kubo_or_not_run!("the options of an import give the CIDs of `ipfs add`");
    let node = kubo.node().start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n / 7) as u8).collect();
    fs::create_dir_all(source.join("below")).unwrap();
    fs::write(source.join("below/large"), bytes).unwrap();
    fs::write(source.join("empty"), b"").unwrap();
    symlink("empty", source.join("link")).unwrap();
    let large = source.join("below/large");

    let versions = [None, Some("--cid-version=0"), Some("--cid-version=1")];
    let leaves = [None, Some("--raw-leaves=true"), Some("--raw-leaves=false")];
    let chunkers = [
        None,
        Some("--chunker=size-1000"),
        Some("--chunker=size-2096896"),
    ];
    let wraps = [None, Some("-w")];
    let mut compared = 0;
    for (version, leaves) in versions
        .iter()
        .flat_map(|it| leaves.map(|leaves| (*it, leaves)))
    {
        let is_dag_pb = match (version, leaves) {
            (_, Some(leaves)) => leaves.ends_with("false"),
            (version, None) => version != Some("--cid-version=1"),
        };
        let kept = match is_dag_pb {
            true => &[None, Some("--preserve-mode"), Some("--preserve-mtime")][..],
            false => &[None],
        };
        for (chunker, wrap) in chunkers.iter().flat_map(|it| wraps.map(|wrap| (*it, wrap))) {
            for (kept, path) in kept.iter().flat_map(|it| [(*it, &source), (*it, &large)]) {
                let options = [version, leaves, chunker, wrap, kept];
                let options: Vec<_> = options.into_iter().flatten().collect();
                let car = dir.path().join("content.car");
                let ours = import("unixfs-v0-2015", &options, path, &car);
                assert_eq!(ours, add(&node, &options, path), "{options:?} {path:?}");
                compared += 1;
            }
        }
    }
    println!("{compared} imports compared");
}

/// Directories just below and above the size at which they are sharded, with names of all lengths. If a profile counts
/// otherwise than its Kubo does, one of these directories falls on the wrong side.
#[test]
fn directories_are_sharded_where_kubo_shards_them() {
    let kubo = kubo_or_not_run!("directories are sharded where `ipfs add` shards them");
    for (profile, node) in nodes(&kubo) {
        let mut sharded = [0, 0];
        for name_bytes in [20, 61, 130, 255] {
            // A link needs its name, a CID of 34 or 36 bytes, and, in a block, some framing and its size.
            let guess = 262_144 / (name_bytes + 42);
            for count in [guess - 40, guess - 7, guess, guess + 9, guess + 60] {
                let dir = tempfile::tempdir().unwrap();
                let source = dir.path().join("source");
                fs::create_dir(&source).unwrap();
                for n in 0..count {
                    fs::write(source.join(format!("{n:0>name_bytes$}")), format!("{n}")).unwrap();
                }
                let ours = import(profile, &[], &source, &dir.path().join("content.car"));
                let theirs = add(&node, &[], &source);
                assert_eq!(
                    ours, theirs,
                    "{profile}: {count} names of {name_bytes} bytes"
                );
                let block = node.ipfs(&["dag", "get", &theirs]).unwrap();
                let block: serde_json::Value = serde_json::from_slice(&block).unwrap();
                let is_sharded = block["Links"].as_array().unwrap().len() != count;
                sharded[usize::from(is_sharded)] += 1;
            }
        }
        assert!(sharded.iter().all(|n| *n > 0), "{profile}: {sharded:?}");
    }
}
