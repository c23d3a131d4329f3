//! One test for each guest, and so for each behaviour, in four variants. A guest asserts what it can check by itself.
//! The tests here compare what only the host can see.

use std::{fs, path::Path, time::Duration};

use e2e::{
    Content, End, Guest, Outcome, Preview, Run, Sample, Sharing, Variant, assert_guest_has_test,
    each_variant, foreach_guest, guests, pinset,
};
use pinner_mock::{Fault, MockNode, When};
use pinset::{Access, Limits};
use tempfile::TempDir;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

foreach_guest!(assert_guest_has_test);

each_variant! {
    access bench canonicalize_readlink cat copy_out file_as_dir_and_reverse io_error limits list_dir many_handles
    missing_names mounts names native_io open_read_whole read_past_end relative_chdir seek_read stat symlinks tour two_guests
    walk_hash write_denied
}

/// Runs the guest on the sample through `/ipfs`.
async fn on_ipfs(variant: Variant, guest: Guest, sample: &Sample, arguments: &[&str]) -> Outcome {
    let ctx = variant.ctx(&sample.content).await;
    run(guest, arguments)
        .ipfs(ctx)
        .program(&variant.program(guest))
        .await
}

/// Runs the same guest on the same tree through a native, read-only preopen at `/native`.
async fn on_native(variant: Variant, guest: Guest, sample: &Sample, arguments: &[&str]) -> Outcome {
    run(guest, arguments)
        .preopen(sample.local(), "/native", FsPerms::ReadOnly)
        .native()
        .program(&variant.program(guest))
        .await
}

fn run(guest: Guest, arguments: &[&str]) -> Run {
    Run::new(
        [guest.name()]
            .iter()
            .chain(arguments)
            .map(ToString::to_string),
    )
}

/// Runs the guest with the sample's paths, once through `/ipfs` and once natively. Each `{}` in an argument stands for
/// the tree's root. Both must print the same, except for that root.
async fn same_as_native(
    variant: Variant,
    guest: Guest,
    sample: &Sample,
    arguments: &[&str],
) -> String {
    let placed = |root: &str| -> Vec<String> {
        arguments
            .iter()
            .map(|argument| argument.replace("{}", root))
            .collect()
    };
    let root = sample.path("");
    let ours = placed(&root);
    let ours = on_ipfs(
        variant,
        guest,
        sample,
        &ours.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    let native = placed("/native");
    let native = on_native(
        variant,
        guest,
        sample,
        &native.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    let ours = ours.success().replace(&root, "{}");
    assert_eq!(
        ours,
        native.success().replace("/native", "{}"),
        "{}: not as natively",
        guest.name()
    );
    ours
}

/// `access.rs` tests this in full.
async fn access(variant: Variant) {
    let sample = Sample::new();
    let arguments = ["ungranted", "/ipfs/bafkqabtimvwgy3yk"];
    on_ipfs(variant, guests::ACCESS, &sample, &arguments)
        .await
        .success();
}

/// `native_parity.rs` tests this in full.
async fn native_io(variant: Variant) {
    let sample = Sample::new();
    let scratch = TempDir::new().expect("a temporary directory");
    let run = run(guests::NATIVE_IO, &["/scratch"]).preopen(
        scratch.path(),
        "/scratch",
        FsPerms::ReadWrite,
    );
    let run = run.ipfs(variant.ctx(&sample.content).await);
    run.program(&variant.program(guests::NATIVE_IO))
        .await
        .success();
}

async fn cat(variant: Variant) {
    let sample = Sample::new();
    let paths = [
        sample.path("hello.txt"),
        sample.path("empty"),
        sample.path("large.bin"),
    ];
    let outcome = on_ipfs(
        variant,
        guests::CAT,
        &sample,
        &paths.each_ref().map(String::as_str),
    )
    .await;
    outcome.success_bytes(&[&b"hello, /ipfs\n"[..], &Sample::large()].concat());
}

trait SuccessBytes {
    fn success_bytes(&self, wanted: &[u8]);
}

impl SuccessBytes for Outcome {
    #[track_caller]
    fn success_bytes(&self, wanted: &[u8]) {
        assert_eq!(self.end, End::Exit(0), "{}", self.stderr);
        assert!(self.stdout == wanted, "other bytes than wanted");
    }
}

async fn open_read_whole(variant: Variant) {
    let sample = Sample::new();
    let files = [
        "{}/hello.txt",
        "{}/empty",
        "{}/large.bin",
        "{}/umlaut-ä.txt",
        "{}/links/up",
    ];
    same_as_native(variant, guests::OPEN_READ_WHOLE, &sample, &files).await;
}

async fn seek_read(variant: Variant) {
    let sample = Sample::new();
    for file in ["{}/large.bin", "{}/hello.txt"] {
        same_as_native(variant, guests::SEEK_READ, &sample, &[file]).await;
    }
}

async fn read_past_end(variant: Variant) {
    let sample = Sample::new();
    for file in ["{}/large.bin", "{}/hello.txt", "{}/empty"] {
        same_as_native(variant, guests::READ_PAST_END, &sample, &[file]).await;
    }
}

async fn list_dir(variant: Variant) {
    let sample = Sample::new();
    for dir in ["{}", "{}/docs", "{}/empty-dir", "{}/many", "{}/links"] {
        same_as_native(variant, guests::LIST_DIR, &sample, &[dir]).await;
    }
    // wasmtime-wasi's preview 1 alone takes a minute for so many names. With IPFS beside it, a native listing is a snapshot.
    let list = async |dir: &str| {
        let run = run(guests::LIST_DIR, &[dir]).ipfs(variant.ctx(&sample.content).await);
        let run = run.preopen(sample.local(), "/native", FsPerms::ReadOnly);
        let outcome = run.program(&variant.program(guests::LIST_DIR)).await;
        outcome.success().to_owned()
    };
    let listed = list(&sample.path("sharded")).await;
    assert_eq!(listed, list("/native/sharded").await);
    assert!(listed.starts_with(&format!("count {}\n", Sample::SHARDED)));
    // /ipfs itself lists the granted roots.
    let listed = on_ipfs(variant, guests::LIST_DIR, &sample, &["/ipfs"]).await;
    assert_eq!(
        listed.success(),
        format!("count 1\nd \"{}\"\n", sample.content.root)
    );
}

/// Times and inodes come from the content, not from the host, so two runs are compared instead.
async fn stat(variant: Variant) {
    let sample = Sample::new();
    let paths = [
        "",
        "hello.txt",
        "empty",
        "large.bin",
        "docs",
        "sharded",
        "links/file",
        "links/dir",
    ];
    let paths = paths.map(|path| sample.path(path));
    let paths = paths.each_ref().map(String::as_str);
    let once = on_ipfs(variant, guests::STAT, &sample, &paths).await;
    let again = on_ipfs(variant, guests::STAT, &sample, &paths).await;
    assert_eq!(once.success(), again.success());
    let lines: Vec<_> = once.success().lines().collect();
    assert_eq!(lines.len(), paths.len());
    let large = format!("f len={} mtime=0.", Sample::LARGE_BYTES);
    assert!(lines[3].starts_with(&large), "{}", lines[3]);
    assert!(lines[0].starts_with("d len=0 mtime=0."), "{}", lines[0]);
    assert!(lines[6].starts_with("l len=13 mtime=0."), "{}", lines[6]);
}

async fn canonicalize_readlink(variant: Variant) {
    let sample = Sample::new();
    same_as_native(variant, guests::CANONICALIZE_READLINK, &sample, &["{}"]).await;
}

async fn symlinks(variant: Variant) {
    let sample = Sample::new();
    let arguments = [
        ["file", "{}/links/file", "{}/hello.txt"].as_slice(),
        &["file", "{}/links/chain", "{}/hello.txt"],
        &["file", "{}/links/up", "{}/docs/readme.md"],
        &["dir", "{}/links/dir", "{}/docs"],
        &["dangles", "{}/links/nowhere"],
        &["loops", "{}/links/loop"],
        &["through-file", "{}/links/through-file"],
        &["leaves", "{}/links/out"],
        &["leaves", "{}/links/absolute"],
    ];
    same_as_native(variant, guests::SYMLINKS, &sample, &arguments.concat()).await;
}

async fn relative_chdir(variant: Variant) {
    let sample = Sample::new();
    same_as_native(
        variant,
        guests::RELATIVE_CHDIR,
        &sample,
        &["{}", "docs", "readme.md"],
    )
    .await;
    same_as_native(
        variant,
        guests::RELATIVE_CHDIR,
        &sample,
        &["{}/docs/deep", "er", "still.txt"],
    )
    .await;
}

async fn missing_names(variant: Variant) {
    let sample = Sample::new();
    same_as_native(
        variant,
        guests::MISSING_NAMES,
        &sample,
        &["{}", "hello.txt"],
    )
    .await;
    let root = sample.path("");
    let ungranted = "/ipfs/bafkqabtimvwgy3yk";
    let arguments = [
        root.as_str(),
        "hello.txt",
        "/ipfs/no-cid",
        "/ipfs/bafy",
        "/ipfs/Qm",
        "/ipfs/bafkqabtimvwgy3y%",
        ungranted,
    ];
    on_ipfs(variant, guests::MISSING_NAMES, &sample, &arguments)
        .await
        .success();
}

/// Not compared with a native preopen, which allows `stat` of a file with a trailing slash without following.
async fn file_as_dir_and_reverse(variant: Variant) {
    let sample = Sample::new();
    let (file, dir) = (sample.path("hello.txt"), sample.path("docs"));
    let guest = guests::FILE_AS_DIR_AND_REVERSE;
    on_ipfs(variant, guest, &sample, &[&file, &dir])
        .await
        .success();
}

/// `/ipfs` answers every way to write like a native read-only preopen. The exception is an exclusive creation of an
/// existing name, which reports that the name exists.
async fn write_denied(variant: Variant) {
    let sample = Sample::new();
    let native = ["preopen", "/native", "hello.txt", "docs"];
    let native = on_native(variant, guests::WRITE_DENIED, &sample, &native).await;

    let scratch = TempDir::new().expect("a temporary directory");
    let root = sample.path("");
    let arguments = ["ipfs", &root, "hello.txt", "docs", "/scratch"];
    let ours = run(guests::WRITE_DENIED, &arguments)
        .preopen(scratch.path(), "/scratch", FsPerms::ReadWrite)
        .ipfs(variant.ctx(&sample.content).await)
        .program(&variant.program(guests::WRITE_DENIED))
        .await;

    let mut told_that_it_exists = 0;
    for (native, ours) in native.success().lines().zip(ours.success().lines()) {
        if ours != native {
            let what = native.strip_suffix("EPERM").expect(native);
            assert_eq!(ours, format!("{what}EEXIST"));
            told_that_it_exists += 1;
        }
    }
    assert!(told_that_it_exists > 0);
}

async fn copy_out(variant: Variant) {
    let sample = Sample::new();
    let dest = TempDir::new().expect("a temporary directory");
    let source = sample.path("docs");
    run(guests::COPY_OUT, &[&source, "/out"])
        .preopen(dest.path(), "/out", FsPerms::ReadWrite)
        .ipfs(variant.ctx(&sample.content).await)
        .program(&variant.program(guests::COPY_OUT))
        .await
        .success();
    for copy in ["copied", "streamed"] {
        assert_same_files(&sample.local_path("docs"), &dest.path().join(copy));
    }
}

fn assert_same_files(one: &Path, other: &Path) {
    for entry in fs::read_dir(one).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_dir() {
            assert_same_files(&one, &other);
        } else {
            let read = |path: &Path| {
                fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            };
            assert!(read(&one) == read(&other), "{} differs", other.display());
        }
    }
}

async fn many_handles(variant: Variant) {
    let sample = Sample::new();
    same_as_native(variant, guests::MANY_HANDLES, &sample, &["180", "{}/many"]).await;
}

async fn walk_hash(variant: Variant) {
    let sample = Sample::new();
    same_as_native(variant, guests::WALK_HASH, &sample, &["{}"]).await;
}

async fn tour(variant: Variant) {
    let sample = Sample::new();
    let root = sample.path("");
    let outcome = on_ipfs(variant, guests::TOUR, &sample, &[&root, "large.bin"]).await;
    assert!(outcome.success().starts_with(&root));
}

async fn bench(variant: Variant) {
    let sample = Sample::new();
    let large = sample.path("large.bin");
    let many = sample.path("many");
    let arguments = [
        ["open", &large, "10"],
        ["stat", &large, "10"],
        ["first", &large, "10"],
        ["seq", &large, "65536"],
        ["rand", &large, "10"],
        ["randp", &large, "10"],
        ["handles-read", &many, "50"],
        ["list", &many, "2"],
    ];
    let outcome = on_ipfs(variant, guests::BENCH, &sample, &arguments.concat()).await;
    assert_eq!(
        outcome
            .success()
            .lines()
            .filter(|line| line.starts_with("BENCH "))
            .count(),
        arguments.len()
    );
}

/// The second of three blocks is missing. Reads that need it fail, even after other reads, and no other reads fail.
async fn io_error(variant: Variant) {
    let sample = Sample::new();
    let path = sample.path("large.bin");
    let second = &Sample::large()[1 << 20..2 << 20];
    let cid = MockNode::new().put(0x55, second.to_vec());
    assert!(
        sample.content.node.remove(&cid),
        "the sample's layout is another"
    );
    let arguments = [
        path.as_str(),
        "good",
        "0",
        "4096",
        "bad",
        "1048576",
        "10",
        "good",
        "1048570",
        "6",
        "bad",
        "1048570",
        "20",
        "good",
        "2097152",
        "4096",
        "whole-bad",
        "good",
        "0",
        "1048576",
    ];
    let ctx = variant.ctx(&sample.content).await;
    let program = variant.program(guests::IO_ERROR);
    let outcome = run(guests::IO_ERROR, &arguments)
        .ipfs(ctx.clone())
        .program(&program)
        .await;
    outcome.success();
    // The next good answer makes the read succeed.
    sample.content.node.put(0x55, second.to_vec());
    let healed = [path.as_str(), "good", "1048570", "20", "whole-good"];
    let outcome = run(guests::IO_ERROR, &healed)
        .ipfs(ctx)
        .program(&program)
        .await;
    outcome.success();
}

async fn limits(variant: Variant) {
    let sample = Sample::new();
    let limited = async |limits: Limits, arguments: &[&str]| {
        let ctx = variant
            .builder(&sample.content)
            .await
            .limits(limits)
            .build()
            .await
            .expect("a context");
        let outcome = run(guests::LIMITS, arguments)
            .ipfs(ctx)
            .program(&variant.program(guests::LIMITS))
            .await;
        outcome.success().to_owned()
    };
    let hello = sample.path("hello.txt");
    let mut few = Limits::default();
    few.open_handles = 110;
    let printed = limited(few.clone(), &["handles", &hello]).await;
    assert!(printed.ends_with("ENOMEM\n"), "{printed}");
    let printed = limited(few, &["directories", &sample.path("docs")]).await;
    assert!(printed.ends_with("ENOMEM\n"), "{printed}");

    let mut targets = Limits::default();
    targets.targets = 20;
    let printed = limited(targets, &["targets", &sample.path("many")]).await;
    assert!(
        printed.starts_with("targets ") && printed.ends_with("EDQUOT\n"),
        "{printed}"
    );

    let mut bytes = Limits::default();
    bytes.fetched_bytes = 1 << 20;
    let printed = limited(bytes, &["bytes", &sample.path("large.bin")]).await;
    assert!(printed.ends_with("EIO\n"), "{printed}");

    let printed = limited(Limits::default(), &["path", &sample.path("docs")]).await;
    assert_eq!(printed.matches("ENAMETOOLONG").count(), 2, "{printed}");
}

/// Two guests at once, on one cache if it is shared.
async fn two_guests(variant: Variant) {
    let sample = Sample::new();
    let contexts: [IpfsCtx; 2] = match variant.sharing {
        Sharing::Isolated => [
            variant.ctx(&sample.content).await,
            variant.ctx(&sample.content).await,
        ],
        Sharing::Shared => {
            let first = variant.ctx(&sample.content).await;
            let second = Variant::beside(&first, &sample.content).await;
            [first, second]
        }
    };
    let program = variant.program(guests::TWO_GUESTS);
    let paths = ["large.bin", "hello.txt", "docs/readme.md"].map(|path| sample.path(path));
    let mut arguments = vec!["5"];
    arguments.extend(paths.iter().map(String::as_str));
    let [one, other] = contexts.map(|ctx| {
        run(guests::TWO_GUESTS, &arguments)
            .ipfs(ctx)
            .program(&program)
    });
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one.success(), other.success());
    if variant.sharing == Sharing::Shared {
        let counters = sample.content.node.stats();
        let distinct = sample.content.node.distinct_blocks_asked();
        assert_eq!(
            counters.blocks, distinct as u64,
            "I6: a block was asked for twice"
        );
    }
}

/// Mounts are trees like any other. Beside them, `/ipfs` obeys the granted access.
async fn mounts(variant: Variant) {
    let sample = Sample::new();
    let ctx = IpfsCtx::builder(variant.cache(&sample.content.node).await, Access::none())
        .mount("/data/", sample.ipfs_path(""))
        .mount("/docs", sample.ipfs_path("links/dir"))
        .build()
        .await
        .expect("a context");
    let program = variant.program(guests::WALK_HASH);
    let mounted = run(guests::WALK_HASH, &["/data"])
        .ipfs(ctx.clone())
        .program(&program)
        .await;
    let native = on_native(variant, guests::WALK_HASH, &sample, &["/native"]).await;
    assert_eq!(mounted.success(), native.success());
    let mounted = run(guests::WALK_HASH, &["/docs"])
        .ipfs(ctx.clone())
        .program(&program)
        .await;
    let native = on_native(variant, guests::WALK_HASH, &sample, &["/native/docs"]).await;
    assert_eq!(mounted.success(), native.success());
    let root = sample.path("");
    let unreached = run(guests::WALK_HASH, &[&root])
        .ipfs(ctx)
        .program(&program)
        .await;
    assert_eq!(unreached.success(), "e ENOENT \"\"\n");
}

/// `names.rs` tests this in full.
async fn names(variant: Variant) {
    let sample = Sample::new();
    sample
        .content
        .node
        .set_name("sample.example", sample.content.root, "", None);
    let builder = variant
        .builder(&sample.content)
        .await
        .name("sample.example".parse().expect("a name"));
    let ctx = builder.build().await.expect("a context");
    let arguments = ["read", "/ipns/sample.example/hello.txt"];
    let outcome = run(guests::NAMES, &arguments)
        .ipfs(ctx)
        .program(&variant.program(guests::NAMES))
        .await;
    assert_eq!(
        outcome.success(),
        "read /ipns/sample.example/hello.txt: hello, /ipfs\n\n"
    );
}

/// A hanging fetch ends at its deadline, with an I/O error.
#[tokio::test]
async fn a_hanging_block_is_an_io_error() {
    let sample = Sample::new();
    sample.content.node.script(When::any_block(), Fault::Hang);
    let pinset = pinset(&sample.content.node, 8 << 20).block_deadline(Duration::from_millis(50));
    let ctx = IpfsCtx::builder(pinset.shared().await.expect("a pinset"), Access::Any);
    let ctx = ctx.build().await.expect("a context");
    let path = sample.path("hello.txt");
    let program = guests::WALK_HASH.program(Preview::Two);
    let outcome = Run::new(["walk_hash", &path])
        .ipfs(ctx)
        .program(&program)
        .await;
    assert_eq!(outcome.success(), "e EIO \"\"\n");
}

#[test]
fn a_sample_is_what_it_says() {
    let sample = Sample::new();
    assert_eq!(sample.content.imported.symlinks, 9);
    assert_eq!(Content::import(sample.local()).root, sample.content.root);
}
