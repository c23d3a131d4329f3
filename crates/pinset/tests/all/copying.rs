//! Copies to the host: under a private name first, side by side, with modes and times.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use cap_std::fs::Dir;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_car::{ImportOptions, Profile};
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{Error, Node, Progress};
use test_support::{
    content::{MIB, add, stream},
    until,
};

use crate::{host::Host, pinsets::ipfs};

const BUDGET: u64 = 64 << 20;

/// A destination, and the names in it.
struct Dest {
    temporary: tempfile::TempDir,
    handle: Dir,
}

impl Dest {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let handle = Dir::open_ambient_dir(temporary.path(), cap_std::ambient_authority()).unwrap();
        Self { temporary, handle }
    }

    fn path(&self) -> &Path {
        self.temporary.path()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

async fn copy(host: &Host, cid: Cid, dest: &Dest, name: &str) -> Result<(), Error> {
    let path = ipfs(&format!("/ipfs/{cid}"));
    host.mode.materialize(&path, &dest.handle, name, &()).await
}

fn kind(result: Result<(), Error>) -> std::io::ErrorKind {
    match result {
        Err(Error::Write { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    }
}

/// Adds a tree with a file, and another whose last block waits at the gate.
fn gated_tree(node: &MockNode, gate: &Gate) -> Cid {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("a"), "a").unwrap();
    fs::write(dir.path().join("sub/z"), stream(3 * MIB)).unwrap();
    let cid = add(node, dir.path(), Profile::default());
    let last = Code::Sha2_256.digest(&stream(3 * MIB)[2 * MIB..]);
    let last = Cid::new_v1(0x55, last);
    assert!(node.contains(&last));
    node.script(When::block(&last), Fault::HangUntil(gate.clone()));
    cid
}

#[tokio::test]
async fn what_somebody_else_makes_meanwhile_survives() {
    for kind_of in 0..4 {
        let (node, gate) = (MockNode::new(), Gate::new());
        let cid = gated_tree(&node, &gate);
        let host = Host::new(&node, BUDGET).await;
        let dest = Dest::new();
        let theirs = dest.path().join("copy");
        let others = async {
            gate.reached(1).await;
            match kind_of {
                0 => fs::write(&theirs, "theirs").unwrap(),
                1 => symlink("nowhere", &theirs).unwrap(),
                2 => fs::create_dir(&theirs).unwrap(),
                _ => {
                    fs::create_dir(&theirs).unwrap();
                    fs::write(theirs.join("file"), "theirs").unwrap();
                }
            }
            let inode = fs::symlink_metadata(&theirs).unwrap().ino();
            gate.open();
            inode
        };
        let (copied, inode) = tokio::join!(copy(&host, cid, &dest, "copy"), others);
        assert_eq!(kind(copied), std::io::ErrorKind::AlreadyExists);
        assert_eq!(dest.names(), ["copy"], "{kind_of}");
        assert_eq!(fs::symlink_metadata(&theirs).unwrap().ino(), inode);
        if kind_of == 3 {
            assert_eq!(fs::read(theirs.join("file")).unwrap(), b"theirs");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_copies_to_one_name_one_wins_and_is_whole() {
    let source = tempfile::tempdir().unwrap();
    for n in 0..40 {
        fs::create_dir(source.path().join(format!("{n}"))).unwrap();
        fs::write(source.path().join(format!("{n}/file")), stream(n * 1000)).unwrap();
    }
    let node = MockNode::new();
    let cid = add(&node, source.path(), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    for _ in 0..5 {
        let dest = Dest::new();
        let (one, other) = tokio::join!(
            copy(&host, cid, &dest, "copy"),
            copy(&host, cid, &dest, "copy"),
        );
        let lost = if one.is_ok() { other } else { one };
        assert_eq!(kind(lost), std::io::ErrorKind::AlreadyExists);
        assert_eq!(dest.names(), ["copy"]);
        let copied = add(&node, &dest.path().join("copy"), Profile::default());
        assert_eq!(copied, cid);
    }
}

#[tokio::test]
async fn a_copy_that_is_given_up_leaves_nothing() {
    let (node, gate) = (MockNode::new(), Gate::new());
    let cid = gated_tree(&node, &gate);
    let host = Host::new(&node, BUDGET).await;
    let dest = Dest::new();
    let copying = async {
        tokio::select! {
            copied = copy(&host, cid, &dest, "copy") => panic!("{copied:?}"),
            () = gate.reached(1) => {}
        }
    };
    copying.await;
    until("the removal", || dest.names().is_empty()).await;

    // At any moment. The last step is not taken back if it is under way.
    gate.open();
    for polls in 0..60 {
        let fresh = Host::new(&node, BUDGET).await;
        let mut copying = Box::pin(copy(&fresh, cid, &dest, "copy"));
        let mut left = polls;
        let given_up = std::future::poll_fn(|context| {
            if left == 0 || copying.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(());
            }
            left -= 1;
            std::task::Poll::Pending
        });
        given_up.await;
        drop(copying);
        until("the removal", || {
            dest.names().iter().all(|name| name == "copy")
        })
        .await;
        let made = dest.path().join("copy");
        if made.exists() {
            assert_eq!(add(&node, &made, Profile::default()), cid, "{polls}");
            fs::remove_dir_all(made).unwrap();
        }
    }
}

/// Adds a tree of `files` files of a few bytes, in as many directories as `dirs`.
fn small_files(node: &MockNode, files: usize, dirs: usize) -> Cid {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..files {
        let sub = dir.path().join(format!("{}", n % dirs));
        _ = fs::create_dir(&sub);
        fs::write(sub.join(format!("{n}")), format!("file {n}")).unwrap();
    }
    add(node, dir.path(), Profile::default())
}

#[tokio::test]
async fn small_files_are_copied_side_by_side() {
    const LATENCY: Duration = Duration::from_millis(50);
    for dirs in [1, 100] {
        let node = MockNode::new();
        let cid = small_files(&node, 300, dirs);
        node.script(When::any_block(), Fault::Delay(LATENCY));
        let host = Host::new(&node, BUDGET).await;
        let dest = Dest::new();
        let start = Instant::now();
        copy(&host, cid, &dest, "copy").await.unwrap();
        let took = start.elapsed();
        assert!(took < LATENCY * 300 / 4, "{dirs} directories: {took:?}");
        let copied = add(&node, &dest.path().join("copy"), Profile::default());
        assert_eq!(copied, cid);
    }
}

/// Imports a tree with the modes and times of all that is in it.
fn add_preserved(node: &MockNode, path: &Path) -> Cid {
    let options = ImportOptions {
        raw_leaves: Some(false),
        preserve_mode: true,
        preserve_mtime: true,
        ..ImportOptions::default()
    };
    let sink = |cid, block| {
        node.put_unchecked(cid, block);
        Ok(())
    };
    let imported = pinner_car::import(
        path,
        &options,
        sink,
        |_| std::ops::ControlFlow::Continue(()),
    );
    imported.unwrap().root
}

#[tokio::test]
async fn modes_and_times_are_those_of_the_tree() {
    let source = tempfile::tempdir().unwrap();
    let at = |path: &str| source.path().join(path);
    fs::create_dir_all(at("tree/closed/below")).unwrap();
    fs::create_dir(at("tree/sticky")).unwrap();
    fs::write(at("tree/closed/below/file"), "text").unwrap();
    fs::write(at("tree/program"), "text").unwrap();
    fs::write(at("tree/large"), stream(MIB)).unwrap();
    symlink("nowhere", at("tree/link")).unwrap();
    let modes = [
        ("tree/closed/below/file", 0o400, 0o400),
        ("tree/closed/below", 0o500, 0o500),
        ("tree/closed", 0o555, 0o555),
        ("tree/sticky", 0o7777, 0o1777),
        ("tree/program", 0o6755, 0o755),
        ("tree/large", 0o640, 0o640),
        ("tree", 0o750, 0o750),
    ];
    let time = |n: usize| SystemTime::UNIX_EPOCH + Duration::new(1_000_000 * n as u64, 123);
    for (n, (path, mode, _)) in modes.iter().enumerate() {
        let file = fs::File::open(at(path)).unwrap();
        file.set_modified(time(n)).unwrap();
        fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)).unwrap();
    }
    let node = MockNode::new();
    let cid = add_preserved(&node, &at("tree"));
    let link = fs::symlink_metadata(at("tree/link")).unwrap();
    let host = Host::new(&node, BUDGET).await;
    let dest = Dest::new();
    copy(&host, cid, &dest, "tree").await.unwrap();
    for (n, (path, _, mode)) in modes.iter().enumerate() {
        let made = fs::symlink_metadata(dest.path().join(path)).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, *mode, "{path}");
        assert_eq!(made.modified().unwrap(), time(n), "{path}");
    }
    let made = fs::symlink_metadata(dest.path().join("tree/link")).unwrap();
    assert!(made.is_symlink());
    assert_eq!(made.modified().unwrap(), link.modified().unwrap());

    // A tree whose directories may not be changed is removed like any other.
    let error = {
        struct Late<'a>(&'a Path);
        impl Progress for Late<'_> {
            fn advanced(&self, _files: u64, _bytes: u64) {
                _ = fs::create_dir(self.0.join("again"));
            }
        }
        let path = ipfs(&format!("/ipfs/{cid}"));
        let late = Late(dest.path());
        host.mode
            .materialize(&path, &dest.handle, "again", &late)
            .await
    };
    assert_eq!(kind(error), std::io::ErrorKind::AlreadyExists);
    assert_eq!(dest.names(), ["again", "tree"]);
    // The tests' own removal needs the right to do it.
    for (path, ..) in modes.iter().rev() {
        for above in [source.path(), dest.path()] {
            _ = fs::set_permissions(above.join(path), fs::Permissions::from_mode(0o700));
        }
    }
}

#[tokio::test]
async fn a_name_that_the_file_system_does_not_allow_is_named() {
    let node = MockNode::new();
    let file = node.put(0x55, "text");
    for len in [256, 5000] {
        let link = |name: &str| ipld_dagpb::PbLink {
            cid: file,
            name: Some(name.to_owned()),
            size: Some(4),
        };
        let links = vec![link("fits"), link(&"n".repeat(len))];
        let data = Some(bytes::Bytes::from_static(b"\x08\x01"));
        let root = node.put(0x70, ipld_dagpb::PbNode { links, data }.into_bytes());
        let host = Host::new(&node, BUDGET).await;
        let dest = Dest::new();
        let error = copy(&host, root, &dest, "copy").await.unwrap_err();
        let Error::Write { path, source } = &error else {
            panic!("{error}");
        };
        assert!(path.starts_with("copy/nnn"), "{path}");
        assert!(
            source.to_string().contains(&format!("{len} bytes")),
            "{source}"
        );
        assert!(dest.names().is_empty());
    }
}

#[tokio::test]
async fn the_name_of_a_copy_is_one_segment_and_looked_at_first() {
    let node = MockNode::new();
    let cid = node.put(0x55, "text");
    let host = Host::new(&node, BUDGET).await;
    let dest = Dest::new();
    fs::create_dir(dest.path().join("sub")).unwrap();
    for name in ["", ".", "..", "a/b", "a/", "/a", "../a"] {
        let refused = copy(&host, cid, &dest, name).await;
        assert_eq!(kind(refused), std::io::ErrorKind::InvalidInput, "{name}");
    }
    // Whether there is such a file cannot be known.
    let long = "n".repeat(300);
    let refused = copy(&host, cid, &dest, &long).await;
    assert_eq!(kind(refused), std::io::ErrorKind::InvalidFilename);
    // The private name is not longer than what fits.
    let longest = "n".repeat(255);
    copy(&host, cid, &dest, &longest).await.unwrap();
    assert_eq!(dest.names(), [&*longest, "sub"]);
}

/// Goes on without what is absent, and remembers it.
#[derive(Default)]
struct Lacking(Mutex<Vec<String>>);

impl Progress for Lacking {
    fn advanced(&self, _files: u64, _bytes: u64) {}

    fn lacks(&self, path: &str, error: Error) -> Result<(), Error> {
        match &error {
            Error::Fetch { source, .. } if source.is_absence() => {
                self.0.lock().unwrap().push(path.to_owned());
                Ok(())
            }
            _ => Err(error),
        }
    }
}

#[tokio::test]
async fn a_copy_goes_on_without_what_its_caller_lets_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["gone", "kept"] {
        fs::create_dir(dir.path().join(sub)).unwrap();
    }
    let large = stream(3 * MIB);
    for (name, bytes) in [
        ("a", &b"a"[..]),
        ("gone/b", b"b"),
        ("kept/c", b"c"),
        ("kept/d", b"d"),
        ("large", &large),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let node = MockNode::new();
    let cid = add(&node, dir.path(), Profile::default());
    let whole = Host::new(&node, BUDGET).await;
    let gone = match whole.mode.open(&ipfs(&format!("/ipfs/{cid}/gone"))).await {
        Ok(Node::Dir(gone)) => gone.cid().unwrap().cid().unwrap(),
        other => panic!("{other:?}"),
    };
    let leaf = |bytes: &[u8]| Cid::new_v1(0x55, Code::Sha2_256.digest(bytes));
    for missing in [gone, leaf(b"c"), leaf(&large[2 * MIB..])] {
        assert!(node.remove(&missing));
    }
    let host = Host::new(&node, BUDGET).await;
    let dest = Dest::new();
    let refused = copy(&host, cid, &dest, "copy").await;
    assert!(matches!(refused, Err(Error::Fetch { .. })), "{refused:?}");
    assert_eq!(dest.names(), [""; 0]);

    let lacking = Lacking::default();
    let path = ipfs(&format!("/ipfs/{cid}"));
    let copied = host
        .mode
        .materialize(&path, &dest.handle, "copy", &lacking)
        .await;
    copied.unwrap();
    let mut named = lacking.0.into_inner().unwrap();
    named.sort();
    assert_eq!(named, ["copy/gone", "copy/kept/c", "copy/large"]);
    assert_eq!(dest.names(), ["copy"]);
    let mut there = Vec::new();
    for folder in ["copy", "copy/kept"] {
        for entry in fs::read_dir(dest.path().join(folder)).unwrap() {
            there.push(entry.unwrap().file_name().into_string().unwrap());
        }
    }
    there.sort();
    assert_eq!(there, ["a", "d", "kept"]);
    // A wrong answer is not an absence.
    node.script(When::block(&leaf(b"d")), Fault::WrongBytes);
    let host = Host::new(&node, BUDGET).await;
    let refused = host
        .mode
        .materialize(&path, &dest.handle, "another", &Lacking::default())
        .await;
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    assert_eq!(dest.names(), ["copy"]);
}
