//! Differences between `/ipfs` and a read-only native directory that the usual libraries show, in each preview.
//! `docs/differences.md` has all of them, with these tests and others.

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use cid::Cid;
use e2e::{Content, Guest, Outcome, Preview, Program, Run, Sharing, Variant, guests};
use ipld_dagpb::{PbLink, PbNode};
use pinner_car::ImportOptions;
use pinner_mock::MockNode;
use pinset::Access;
use tempfile::TempDir;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

const SHARED: Variant = Variant {
    preview: Preview::Two,
    sharing: Sharing::Shared,
};

/// A file, a second name for it, a copy of it, and a directory. The file is of 2009.
fn tree() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "the same").expect("a file");
    fs::hard_link(at("file"), at("second")).expect("a second name");
    fs::write(at("copy"), "the same").expect("a file");
    fs::create_dir(at("below")).expect("a directory");
    fs::write(at("below/deep"), "deep").expect("a file");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 5);
    for name in ["file", "copy"] {
        let file = File::options().write(true).open(at(name));
        file.expect("a file").set_modified(time).expect("a time");
    }
    dir
}

/// The programs of each preview that do the same: by the name of the one for previews 1 and 2, and by the word for the
/// one of 0.3.
fn programs(guest: Guest, word: &'static str) -> [(Program, Vec<&'static str>); 3] {
    let three = Guest::named("preview3").program(Preview::Two);
    [
        (guest.program(Preview::One), vec![guest.name()]),
        (guest.program(Preview::Two), vec![guest.name()]),
        (three, vec!["preview3", word]),
    ]
}

/// Runs the program of each preview with what `change` gives it.
async fn in_each(
    programs: [(Program, Vec<&'static str>); 3],
    paths: &[&str],
    change: impl AsyncFn(Run) -> Run,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (program, words) in programs {
        let run = Run::new(words.iter().chain(paths).copied());
        outcomes.push(change(run).await.program(&program).await);
    }
    outcomes
}

/// Runs them on the content of a node.
async fn on_ipfs(
    programs: [(Program, Vec<&'static str>); 3],
    node: &MockNode,
    paths: &[&str],
) -> Vec<Outcome> {
    let ctx = async |run: Run| {
        let ctx = IpfsCtx::builder(SHARED.cache(node).await, Access::Any);
        run.ipfs(ctx.build().await.expect("a context"))
    };
    in_each(programs, paths, ctx).await
}

/// The value of `name=` in a line.
fn value<'l>(line: &'l str, name: &str) -> &'l str {
    let mut words = line.split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// By a stat of each of the four: `[length, time, number]`. The number is the inode or the hash.
fn stats(outcome: &Outcome) -> Vec<[String; 3]> {
    let lines = outcome.success().lines();
    let stats = lines.map(|line| {
        let number = if line.contains(" ino=") {
            "ino"
        } else {
            "hash"
        };
        ["len", "mtime", number].map(|name| value(line, name).to_owned())
    });
    stats.collect()
}

const NAMES: [&str; 4] = ["file", "second", "copy", "below"];

async fn stats_of(options: &ImportOptions) -> Vec<[Vec<[String; 3]>; 2]> {
    let tree = tree();
    let content = Content::import_with(tree.path(), options);
    let paths = NAMES.map(|name| content.path(name));
    let paths = paths.each_ref().map(String::as_str);
    let ours = on_ipfs(programs(guests::STAT, "stat"), &content.node, &paths).await;
    let root = content.path("");
    let native = in_each(programs(guests::STAT, "stat"), &paths, async |run| {
        run.preopen(tree.path(), &root, FsPerms::ReadOnly).native()
    });
    let native = native.await;
    let both = ours.iter().zip(&native);
    both.map(|(ours, native)| [stats(ours), stats(native)])
        .collect()
}

fn keeping_times() -> ImportOptions {
    ImportOptions {
        raw_leaves: Some(false),
        preserve_mtime: true,
        ..ImportOptions::default()
    }
}

#[tokio::test]
async fn times_are_the_contents_or_the_epoch() {
    const OF_2009: &str = "1234567890.000000005";
    for [ours, native] in stats_of(&keeping_times()).await {
        for which in 0..3 {
            assert_eq!(ours[which][1], OF_2009);
            assert_eq!(native[which][1], OF_2009);
        }
    }
    for [ours, native] in stats_of(&ImportOptions::default()).await {
        assert!(ours.iter().all(|[_, time, _]| time == "0.000000000"));
        assert!(native.iter().all(|[_, time, _]| time != "0.000000000"));
    }
}

#[tokio::test]
async fn a_directory_has_no_length() {
    for [ours, native] in stats_of(&ImportOptions::default()).await {
        let lengths = |stats: &[[String; 3]]| stats.iter().map(|it| it[0].clone()).collect();
        let (ours, native): (Vec<_>, Vec<_>) = (lengths(&ours), lengths(&native));
        assert_eq!(ours, ["8", "8", "8", "0"]);
        // A host's directory has the length that its file system gives it.
        assert_eq!(native[..3], ours[..3]);
    }
}

/// Equal content is one node, whatever its names. Natively a copy is a file of its own.
#[tokio::test]
async fn equal_content_is_the_same_file() {
    for [ours, native] in stats_of(&ImportOptions::default()).await {
        let [file, second, copy, below] = [0, 1, 2, 3].map(|which| ours[which][2].clone());
        assert_eq!([&second, &copy], [&file, &file]);
        assert_ne!(below, file);
        let [file, second, copy, _] = [0, 1, 2, 3].map(|which| native[which][2].clone());
        assert_eq!(second, file);
        assert_ne!(copy, file);
    }
    // Another host shows the same numbers.
    let once = stats_of(&keeping_times()).await;
    let again = stats_of(&keeping_times()).await;
    for ([once, _], [again, _]) in once.iter().zip(&again) {
        assert_eq!(once[..3], again[..3]);
    }
}

/// The block of a file of UnixFS: `hello`, and these fields behind it.
fn file(node: &MockNode, fields: &[u8]) -> Cid {
    let mut of_unixfs = b"\x08\x02\x12\x05hello\x18\x05".to_vec();
    of_unixfs.extend_from_slice(fields);
    let mut block = vec![0x0a, of_unixfs.len() as u8];
    block.extend_from_slice(&of_unixfs);
    node.put(DAG_PB, block)
}

/// A file that nobody may read on a host is read: a mode is kept for copies, and grants or refuses nothing.
#[tokio::test]
async fn a_mode_refuses_nothing() {
    let node = MockNode::new();
    // The field `mode`: 0.
    let path = format!("/ipfs/{}", file(&node, &[0x38, 0]));
    for outcome in on_ipfs(programs(guests::CAT, "cat"), &node, &[&path]).await {
        assert_eq!(outcome.success(), "hello");
    }
}

/// Previews 1 and 0.2 have no times before 1970.
#[tokio::test]
async fn a_time_before_1970_is_the_epoch() {
    let node = MockNode::new();
    // The field `mtime`, in it the field `seconds`: the number, as 64 bits.
    let at = |seconds: i64| {
        let mut fields = vec![0x42, 11, 0x08];
        let mut left = seconds as u64;
        for _ in 0..9 {
            fields.push(left as u8 | 0x80);
            left >>= 7;
        }
        fields.push(left as u8);
        format!("/ipfs/{}", file(&node, &fields))
    };
    let (before, after) = (at(-1), at(1));
    let stat = programs(guests::STAT, "stat");
    let outcomes = on_ipfs(stat, &node, &[&before, &after]).await;
    for (outcome, shown) in outcomes.iter().zip(["0", "0", "-1"]) {
        let times: Vec<_> = stats(outcome)
            .into_iter()
            .map(|[_, time, _]| time)
            .collect();
        assert_eq!(times, [&format!("{shown}.000000000"), "1.000000000"]);
    }
}

/// A host's file system takes no name of more than 255 bytes.
#[tokio::test]
async fn a_long_name_is_read_if_it_is_there() {
    let node = MockNode::new();
    let leaf = node.put(RAW, b"hello".to_vec());
    let name = "n".repeat(300);
    let link = PbLink {
        cid: leaf,
        name: Some(name.clone()),
        size: Some(5),
    };
    let dir = PbNode {
        links: vec![link],
        data: Some(b"\x08\x01".to_vec().into()),
    };
    let dir = node.put(DAG_PB, dir.into_bytes().to_vec());
    let there = format!("/ipfs/{dir}/{name}");
    for outcome in on_ipfs(programs(guests::CAT, "cat"), &node, &[&there]).await {
        assert_eq!(outcome.success(), "hello");
    }
    let walk = || programs(guests::WALK_HASH, "walk");
    let absent = format!("/ipfs/{dir}/x{name}");
    for outcome in on_ipfs(walk(), &node, &[&absent]).await {
        assert_eq!(outcome.success(), "e ENOENT \"\"\n");
    }
    let host = TempDir::new().expect("a temporary directory");
    let paths = [&*absent];
    let native = in_each(walk(), &paths, async |run| {
        let root = format!("/ipfs/{dir}");
        run.preopen(host.path(), &root, FsPerms::ReadOnly).native()
    });
    for outcome in native.await {
        assert_eq!(outcome.success(), "e ENAMETOOLONG \"\"\n");
    }
}
