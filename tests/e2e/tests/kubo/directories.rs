//! Trees that Kubo itself added, with both of its profiles. A guest sees the names, kinds, sizes, times and bytes of
//! the local tree, exactly as through a native preopen of that tree.

use std::{
    env,
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cid::{Cid, Version};
use kubo_daemon::{Daemon, Kubo, kubo_or_not_run};
use pinset::Mtime;
use tempfile::TempDir;
use test_support::turns::turn;
use tokio::runtime::Runtime;
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Guest, Outcome, Preview, Run, guests};
use wasmtime_wasi::FsPerms;

use crate::guest::{cache, ctx, node, run, runtime};

const BOTH: [Preview; 2] = [Preview::One, Preview::Two];

/// A block's deadline. Nothing fails here.
const DEADLINE: Duration = Duration::from_secs(30);

/// A node that imports with one of Kubo's profiles.
struct Importer {
    daemon: Daemon,
    version: Version,
    runtime: Runtime,
}

impl Importer {
    /// `unixfs-v0-2015`, which is Kubo's default: CIDv0, leaves of 256 KiB in dag-pb.
    fn v0(kubo: &Kubo) -> Self {
        Self::start(kubo, "unixfs-v0-2015", Version::V0)
    }

    /// `unixfs-v1-2025`: CIDv1, raw leaves of 1 MiB.
    fn v1(kubo: &Kubo) -> Self {
        Self::start(kubo, "unixfs-v1-2025", Version::V1)
    }

    fn start(kubo: &Kubo, profile: &str, version: Version) -> Self {
        let node = kubo.node().offline().profile("pebbleds").profile(profile);
        Self {
            daemon: node.start().expect("a node"),
            version,
            runtime: runtime(),
        }
    }

    /// Adds a tree, hidden files too.
    fn add(&self, tree: &Path, flags: &[&str]) -> Cid {
        let flags = [&["--hidden", "--pin=false"], flags].concat();
        let root = self.daemon.add(tree, &flags).expect("added");
        assert_eq!(root.version(), self.version);
        root
    }

    /// A guest's context on an empty cache.
    fn ctx(&self, root: Cid) -> IpfsCtx {
        let gateway = self.daemon.gateway_url();
        let node = node(&self.daemon.api_url(), gateway.as_deref());
        self.runtime
            .block_on(async { ctx(&cache(node, DEADLINE).await, root).await })
    }

    /// Runs a guest on the added tree.
    fn on_ipfs(&self, ctx: &IpfsCtx, preview: Preview, guest: Guest, paths: &[String]) -> Outcome {
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        self.runtime.block_on(run(ctx, preview, guest, &paths))
    }

    /// Runs the same guest on the local directory `tree`, through a native preopen called `/native`.
    fn natively(&self, tree: &Path, preview: Preview, guest: Guest, paths: &[String]) -> Outcome {
        let run = Run::new([guest.name().to_owned()].iter().chain(paths).cloned());
        let run = run.preopen(tree, "/native", FsPerms::ReadOnly).native();
        self.runtime.block_on(run.program(&guest.program(preview)))
    }

    /// Asserts that both walks of a tree print the same, with as many lines as it has names.
    fn assert_walks_agree(&self, tree: &Path, root: Cid, names: usize, previews: &[Preview]) {
        for &preview in previews {
            let ctx = self.ctx(root);
            let path = [format!("/ipfs/{root}")];
            let seen = self.on_ipfs(&ctx, preview, guests::WALK_HASH, &path);
            let path = ["/native".to_owned()];
            let native = self.natively(tree, preview, guests::WALK_HASH, &path);
            let (seen, native) = (seen.success(), native.success());
            // A large tree is too much to print in full.
            let differs = seen.lines().zip(native.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{preview:?}: ours, native");
            assert_eq!(seen.lines().count(), names, "{preview:?}");
            assert_eq!(native.lines().count(), names, "{preview:?}");
        }
    }
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let parent = path.parent().expect("a parent");
    fs::create_dir_all(parent).expect("a directory");
    fs::write(path, bytes).expect("written");
}

/// Returns `length` bytes, no two blocks of which are equal.
fn series(length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(8) as u64).flat_map(|n| (n * n).to_le_bytes());
    words.take(length).collect()
}

/// Writes files with names that a shard could mistake for its own. Returns their number.
fn many(tree: &Path, count: usize) -> usize {
    fs::create_dir_all(tree).expect("a directory");
    for n in 0..count {
        let name = match n % 4 {
            // A shard's link names begin with two hexadecimal digits.
            0 => format!("{n:05X}"),
            1 => format!("{n:05}.txt"),
            2 => format!("ä{n} ö%{n:02X}"),
            _ => format!("-{n}\\\"{}", "long".repeat(n % 50)),
        };
        put(&tree.join(name), format!("{n}\n"));
    }
    count
}

/// Writes a nested tree with odd names, sizes around those of blocks, and symlinks. Returns the number of names.
fn nested(tree: &Path) -> usize {
    let longest = "n".repeat(255);
    let files = [
        "readme.txt",
        "a/b/c.txt",
        "with space and %20.txt",
        " leading and trailing ",
        "ünïcødé-Ω-漢字.txt",
        "u\u{308} is not ü",
        ".hidden",
        ".hidden-dir/.in it",
        "Case.txt",
        "case.txt",
        "-n",
        "a\\b",
        "qu\"ote's",
        "line\nbreak",
        "tab\there",
        "...",
        "a/..b/c..",
        "name?query#fragment&x=y:z*|<>",
        "00",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        &longest,
        "d/d/d/d/d/d/d/d/d/d/d/d",
    ];
    for (number, name) in files.iter().enumerate() {
        put(&tree.join(name), format!("{number}: {name}\n"));
    }
    let (v0, v1) = (256 << 10, 1 << 20);
    let sizes = [0, 1, v0 - 1, v0, v0 + 1, v1 - 1, v1, v1 + 1, 2 * v1 + 5];
    for size in sizes {
        put(&tree.join(format!("sizes/{size}")), series(size));
    }
    fs::create_dir_all(tree.join("a/empty-dir")).expect("a directory");
    let links = [
        ("link-file", "readme.txt"),
        ("link-dir", "a/b"),
        ("a/link-up", "../readme.txt"),
        ("a/b/link to a link", "../../link-file"),
        ("link-dangling", "nowhere"),
        ("link-loop", "link-loop"),
        ("link-outside", "../../outside"),
        ("link-odd", "ünïcødé-Ω-漢字.txt"),
        ("link-slash", "a//./b/"),
    ];
    for (name, target) in links {
        symlink(target, tree.join(name)).expect("a symlink");
    }
    // The root, `a`, `a/b`, `a/empty-dir`, `a/..b`, `.hidden-dir`, `sizes`, and eleven times `d`.
    files.len() + sizes.len() + links.len() + 7 + 11
}

/// Checks both previews.
fn assert_nested_is_seen(importer: &Importer) {
    let local = TempDir::new().expect("a directory");
    let names = nested(local.path());
    let root = importer.add(local.path(), &[]);
    importer.assert_walks_agree(local.path(), root, names, &BOTH);
}

/// Checks one preview: the other trees cover the differences between the two.
fn assert_sharded_is_seen(importer: &Importer, count: usize) {
    let local = TempDir::new().expect("a directory");
    let names = many(local.path(), count) + 1;
    let root = importer.add(local.path(), &[]);
    // Kubo's own reader sees at most one fan-out of shards.
    let refs = importer.daemon.ipfs(&["refs", &root.to_string()]);
    let shards = String::from_utf8(refs.expect("a listing")).expect("CIDs");
    assert_eq!(shards.lines().count(), 256, "not sharded");
    importer.assert_walks_agree(local.path(), root, names, &[Preview::Two]);
}

#[test]
fn trees_of_cid_version_0_are_seen_as_they_were() {
    let _turn = turn("directories");
    let kubo = kubo_or_not_run!("trees added by the profile unixfs-v0-2015");
    let importer = Importer::v0(&kubo);
    assert_nested_is_seen(&importer);
    assert_dated_is_seen(&importer);
    assert_sharded_is_seen(&importer, 8_000);
}

#[test]
fn trees_of_cid_version_1_are_seen_as_they_were() {
    let _turn = turn("directories");
    let kubo = kubo_or_not_run!("trees added by the profile unixfs-v1-2025");
    let importer = Importer::v1(&kubo);
    let count = match env::var_os("WASI_IPFS_QUICK") {
        Some(_) => 8_000,
        None => 20_000,
    };
    assert_nested_is_seen(&importer);
    assert_dated_is_seen(&importer);
    assert_sharded_is_seen(&importer, count);
}

/// The files with a mode and a time: path, mode, and time as UnixFS has it.
const DATED: [(&str, u32, Mtime); 7] = [
    ("read-only", 0o444, time(1_600_000_000, 0)),
    ("sub/exec", 0o755, time(1_234_567_890, 123_456_789)),
    ("sub/before-the-epoch", 0o600, time(-1000, 500_000_000)),
    ("sub/at-the-epoch", 0o640, time(0, 1)),
    ("of-several-blocks", 0o644, time(4_102_444_800, 999_999_999)),
    ("sub", 0o750, time(1_500_000_000, 1)),
    ("", 0o711, time(1_700_000_000, 999_999_999)),
];

const fn time(seconds: i64, nanos: u32) -> Mtime {
    Mtime { seconds, nanos }
}

fn system_time(mtime: Mtime) -> SystemTime {
    let seconds = Duration::from_secs(mtime.seconds.unsigned_abs());
    let whole = match mtime.seconds < 0 {
        true => UNIX_EPOCH - seconds,
        false => UNIX_EPOCH + seconds,
    };
    whole + Duration::from_nanos(mtime.nanos.into())
}

/// Modes and times need flags of their own, and exclude raw leaves.
fn assert_dated_is_seen(importer: &Importer) {
    let local = TempDir::new().expect("a directory");
    let at = |name: &str| local.path().join(name);
    for name in [
        "read-only",
        "sub/exec",
        "sub/before-the-epoch",
        "sub/at-the-epoch",
    ] {
        put(&at(name), name);
    }
    put(&at("of-several-blocks"), series((2 << 20) + 5));
    for (name, mode, mtime) in DATED {
        let file = File::open(at(name)).expect("opened");
        file.set_modified(system_time(mtime)).expect("a time");
        fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("a mode");
    }
    let flags = ["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"];
    let root = importer.add(local.path(), &flags);
    // WASI has no time before 1970, and wasmtime-wasi shows no metadata of such a file. A guest sees the epoch instead.
    let old = File::open(at("sub/before-the-epoch")).expect("opened");
    old.set_modified(UNIX_EPOCH).expect("a time");
    importer.assert_walks_agree(local.path(), root, 7, &BOTH);

    let ctx = importer.ctx(root);
    for (name, mode, mtime) in DATED {
        let below = |root: &str| format!("{root}/{name}").trim_end_matches('/').to_owned();
        let (path, native_path) = (below(&format!("/ipfs/{root}")), below("/native"));
        // The host sees all metadata.
        let metadata = importer
            .runtime
            .block_on(ctx.cache().stat(&path.parse().expect("a path")));
        let metadata = metadata.expect("metadata").metadata();
        let seen = (metadata.mode, metadata.mtime);
        assert_eq!(seen, (Some(mode), Some(mtime)), "{name}");

        let shown = match mtime.seconds < 0 {
            true => time(0, 0),
            false => mtime,
        };
        let shown = format!("mtime={}.{:09}", shown.seconds, shown.nanos);
        for preview in BOTH {
            let path = [path.clone()];
            let seen = importer.on_ipfs(&ctx, preview, guests::STAT, &path);
            assert_eq!(mtime_of(seen.success()), shown, "{preview:?} {name}");
            let path = [native_path.clone()];
            let native = importer.natively(local.path(), preview, guests::STAT, &path);
            assert_eq!(mtime_of(native.success()), shown, "{preview:?} {name}");
        }
    }
}

/// Returns the word of a guest's `stat` with the time.
fn mtime_of(line: &str) -> &str {
    let word = line.split(' ').find(|word| word.starts_with("mtime="));
    word.expect("a time")
}
