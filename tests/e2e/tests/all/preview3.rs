//! WASI 0.3: the same behaviours as of 0.2, asked by a component that calls both. Most tests run it through `/ipfs` and
//! on a native, read-only preopen of the same tree, and both must print the same. The few differences are listed here,
//! each with its reason.
//!
//! The guest is `"p2/preview3.wasm"`, since it is built for the target of preview 2.

mod limits;
mod native;
mod streams;

use e2e::{Entry, Guest, Outcome, Preview, Program, Run, Sample, Sharing, Variant, guests};
use pinner_mock::Call;
use pinset::Access;
use tempfile::TempDir;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

/// Makes two tests of each `async fn name(variant: Variant)`: `name::shared` and `name::isolated`.
macro_rules! each_sharing {
    ($($name:ident)*) => {$(
        mod $name {
            crate::preview3::each_sharing!(@one $name shared Shared);
            crate::preview3::each_sharing!(@one $name isolated Isolated);
        }
    )*};
    (@one $name:ident $test:ident $sharing:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$name(e2e::Variant {
                preview: e2e::Preview::Two,
                sharing: e2e::Sharing::$sharing,
            })
            .await;
        }
    };
}
use each_sharing;

each_sharing! {
    trees_are_walked_as_by_preview_2 directories_are_listed whole_files_are_read streams_are_handed_on
    opens_answer_as_natively paths_answer_as_natively what_writes_is_refused_as_natively
    between_ours_and_native_nothing_moves identity_comes_from_the_content a_listing_fetches_no_child
    one_component_uses_both_previews only_what_is_granted_is_reached mounts_and_names
    files_are_opened_beyond_ascii
}

const SHARED: Variant = Variant {
    preview: Preview::Two,
    sharing: Sharing::Shared,
};

const ROOT: &str = "{}";

fn program() -> Program {
    let program = Guest::named("preview3").program(Preview::Two);
    assert_eq!(program.entry(), Entry::Run03);
    program
}

fn run(arguments: &[&str]) -> Run {
    let name = ["preview3"].iter();
    Run::new(name.chain(arguments).map(ToString::to_string))
}

/// Runs the guest with IPFS.
async fn with(ctx: IpfsCtx, arguments: &[&str]) -> Outcome {
    run(arguments).ipfs(ctx).program(&program()).await
}

/// Puts the tree's root in the place of `{}`.
fn placed(arguments: &[&str], root: &str) -> Vec<String> {
    let arguments = arguments.iter();
    arguments.map(|it| it.replace(ROOT, root)).collect()
}

async fn on_ipfs(variant: Variant, sample: &Sample, arguments: &[&str]) -> String {
    let root = sample.path("");
    let arguments = placed(arguments, &root);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = with(variant.ctx(&sample.content).await, &arguments).await;
    outcome.success().replace(&root, ROOT)
}

/// Runs the guest on a native, read-only preopen of the same tree, by wasmtime-wasi alone.
async fn on_native(sample: &Sample, arguments: &[&str]) -> String {
    let arguments = placed(arguments, "/native");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let run = run(&arguments).preopen(sample.local(), "/native", FsPerms::ReadOnly);
    let outcome = run.native().program(&program()).await;
    outcome.success().replace("/native", ROOT)
}

async fn same_as_native(variant: Variant, sample: &Sample, arguments: &[&str]) -> String {
    let ours = on_ipfs(variant, sample, arguments).await;
    assert_eq!(ours, on_native(sample, arguments).await, "{arguments:?}");
    ours
}

/// Runs a guest of preview 2 on `/ipfs`.
async fn by_preview_2(sample: &Sample, guest: Guest, arguments: &[&str]) -> String {
    let arguments = placed(arguments, &sample.path(""));
    let run = Run::new([guest.name().to_owned()].into_iter().chain(arguments));
    let run = run.ipfs(SHARED.ctx(&sample.content).await);
    let outcome = run.program(&guest.program(Preview::Two)).await;
    outcome.success().replace(&sample.path(""), ROOT)
}

async fn trees_are_walked_as_by_preview_2(variant: Variant) {
    let sample = Sample::new();
    let walked = same_as_native(variant, &sample, &["walk", ROOT]).await;
    let by_2 = by_preview_2(&sample, guests::WALK_HASH, &[ROOT]).await;
    assert_eq!(walked, by_2);
}

async fn directories_are_listed(variant: Variant) {
    let sample = Sample::new();
    for dir in ["{}", "{}/docs", "{}/empty-dir", "{}/many", "{}/links"] {
        let listed = same_as_native(variant, &sample, &["list", dir]).await;
        let by_2 = by_preview_2(&sample, guests::LIST_DIR, &[dir]).await;
        assert_eq!(listed, by_2, "{dir}");
    }
    let listed = same_as_native(variant, &sample, &["list", "{}/sharded"]).await;
    assert!(listed.starts_with(&format!("count {}\n", Sample::SHARDED)));
    // /ipfs itself lists the granted roots.
    let listed = with(variant.ctx(&sample.content).await, &["list", "/ipfs"]).await;
    let root = sample.content.root;
    assert_eq!(listed.success(), format!("count 1\nd \"{root}\"\n"));
}

async fn whole_files_are_read(variant: Variant) {
    let sample = Sample::new();
    let files = [
        "read",
        "{}/hello.txt",
        "{}/empty",
        "{}/large.bin",
        "{}/links/up",
    ];
    let read = same_as_native(variant, &sample, &files).await;
    let by_2 = by_preview_2(&sample, guests::OPEN_READ_WHOLE, &files[1..]).await;
    assert_eq!(read, by_2);
}

async fn files_are_opened_beyond_ascii(variant: Variant) {
    let sample = Sample::new();
    same_as_native(variant, &sample, &["read", "{}/umlaut-ä.txt"]).await;
    let missing = [
        "umlaut-a.txt",
        "umlaut-a\u{308}.txt",
        "UMLAUT-Ä.TXT",
        "\u{1F4A9}",
    ];
    let answers = [["paths", ROOT].as_slice(), &missing].concat();
    let answers = same_as_native(variant, &sample, &answers).await;
    assert_eq!(answers.matches(": ENOENT, ENOENT, ENOENT\n").count(), 8);
}

/// A stream of ours goes to standard output, and into a native file, without the guest in between.
async fn streams_are_handed_on(variant: Variant) {
    let sample = Sample::new();
    let paths = ["hello.txt", "empty", "large.bin"].map(|path| sample.path(path));
    let [hello, empty, large] = paths.each_ref().map(String::as_str);
    let ctx = variant.ctx(&sample.content).await;
    let outcome = with(ctx.clone(), &["cat", hello, empty, large]).await;
    assert_eq!(outcome.end, e2e::End::Exit(0), "{}", outcome.stderr);
    let wanted = [&b"hello, /ipfs\n"[..], &Sample::large()].concat();
    assert!(outcome.stdout == wanted, "{} bytes", outcome.stdout.len());

    let scratch = TempDir::new().expect("a temporary directory");
    let run = run(&["copy", large, "/scratch/copy"]).ipfs(ctx);
    let run = run.preopen(scratch.path(), "/scratch", FsPerms::ReadWrite);
    let outcome = run.program(&program()).await;
    assert_eq!(outcome.success(), "written ok, read ok\n");
    let copy = std::fs::read(scratch.path().join("copy")).expect("the copy");
    assert!(copy == Sample::large(), "{} bytes", copy.len());
}

const PATHS: [&str; 35] = [
    "hello.txt",
    "hello.txt/",
    "hello.txt/x",
    "hello.txt/..",
    "empty",
    "docs",
    "docs/",
    "docs/.",
    "docs//readme.md",
    "docs/../hello.txt",
    "docs/deep/er/../../readme.md",
    "nope",
    "nope/x",
    "nope/..",
    ".",
    "./",
    "",
    "..",
    "../x",
    "docs/../..",
    "/",
    "/hello.txt",
    "links/file",
    "links/dir",
    "links/dir/",
    "links/dir/readme.md",
    "links/up",
    "links/chain",
    "links/nowhere",
    "links/through-file",
    "links/out",
    "links/absolute",
    "links/loop",
    "many/f000",
    "sharded",
];

/// Compares each line, except for those that `differs` knows.
#[track_caller]
fn assert_same_lines(ours: &str, native: &str, differs: impl Fn(&str, &str) -> bool) -> usize {
    assert_eq!(ours.lines().count(), native.lines().count());
    let mut differences = 0;
    for (ours, native) in ours.lines().zip(native.lines()) {
        if ours != native {
            assert!(differs(ours, native), "{ours} // natively {native}");
            differences += 1;
        }
    }
    differences
}

async fn opens_answer_as_natively(variant: Variant) {
    let sample = Sample::new();
    let arguments = [["open", ROOT].as_slice(), &PATHS].concat();
    let ours = on_ipfs(variant, &sample, &arguments).await;
    let native = on_native(&sample, &arguments).await;
    assert_eq!(ours.lines().count(), PATHS.len() * 2 * 16 * 16);
    // A program that takes a lock by an exclusive creation must learn that the lock is taken.
    let lock = |ours: &str, native: &str| {
        let create = ours.contains("CREATE") && ours.contains("EXCLUSIVE");
        let what = native.strip_suffix("EPERM");
        create && ours.strip_suffix("EEXIST") == what && what.is_some()
    };
    assert!(assert_same_lines(&ours, &native, lock) > 0);
    for missing in ["nope", "nope/x"] {
        let mut answers = ours
            .lines()
            .filter(|line| line.starts_with(&format!("{missing:?} ")));
        assert!(answers.all(|line| !line.ends_with("EEXIST")), "{missing}");
    }
}

async fn paths_answer_as_natively(variant: Variant) {
    let sample = Sample::new();
    let arguments = [["paths", ROOT].as_slice(), &PATHS].concat();
    let ours = on_ipfs(variant, &sample, &arguments).await;
    let native = on_native(&sample, &arguments).await;
    // Natively, a trailing slash after a file is ignored if symlinks are not followed; POSIX requires a directory.
    let slash =
        |ours: &str, _: &str| ours.starts_with("\"hello.txt/\" ") && ours.contains(": ENOTDIR, ");
    assert_eq!(assert_same_lines(&ours, &native, slash), 1);
}

async fn what_writes_is_refused_as_natively(variant: Variant) {
    let sample = Sample::new();
    let refused = same_as_native(variant, &sample, &["write", ROOT, "hello.txt"]).await;
    assert_eq!(refused.matches(": EPERM\n").count(), 14, "{refused}");
    assert_eq!(refused.matches("not written: 3\n").count(), 2, "{refused}");
    assert_eq!(refused.matches("not appended: 3\n").count(), 2, "{refused}");
    assert_eq!(
        on_ipfs(variant, &sample, &["walk", ROOT]).await,
        on_native(&sample, &["walk", ROOT]).await
    );
}

async fn between_ours_and_native_nothing_moves(variant: Variant) {
    let sample = Sample::new();
    let scratch = TempDir::new().expect("a temporary directory");
    std::fs::write(scratch.path().join("hello.txt"), "native").expect("a file");
    let root = sample.path("");
    let run = run(&["between", &root, "/scratch", "hello.txt"]);
    let run = run.preopen(scratch.path(), "/scratch", FsPerms::ReadWrite);
    let run = run.ipfs(variant.ctx(&sample.content).await);
    let outcome = run.program(&program()).await;
    let once = "EXDEV, EXDEV\nENOTDIR, ENOTDIR\nENOTDIR, ENOTDIR\nsame: false\n";
    assert_eq!(outcome.success(), once.repeat(2));
    assert_eq!(std::fs::read_dir(scratch.path()).expect("it").count(), 1);
}

async fn identity_comes_from_the_content(variant: Variant) {
    let sample = Sample::new();
    let same = ["same", "{}/hello.txt", "{}/links/file", "{}/empty"];
    assert_eq!(same_as_native(variant, &sample, &same).await, "same\n");

    let paths = [
        "{}",
        "{}/hello.txt",
        "{}/large.bin",
        "{}/docs",
        "{}/sharded",
    ];
    let arguments = [["stat"].as_slice(), &paths].concat();
    let stat = on_ipfs(variant, &sample, &arguments).await;
    assert_eq!(stat, on_ipfs(variant, &Sample::new(), &arguments).await);
    let large = format!(
        "f len={} links=1 mtime=0.000000000 hash=",
        Sample::LARGE_BYTES
    );
    assert!(
        stat.lines().nth(2).expect("it").starts_with(&large),
        "{stat}"
    );
    assert!(stat.starts_with("d len=0 links=1 mtime=0."), "{stat}");
    // Preview 2 shows the lower half of the same hash as the inode.
    let by_2 = by_preview_2(&sample, guests::STAT, &paths).await;
    for (three, two) in stat.lines().zip(by_2.lines()) {
        let word = |line: &str, name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name));
            word.expect("the word").to_owned()
        };
        let inode: u64 = word(two, "ino=").parse().expect("a number");
        assert_eq!(word(three, "hash=")[16..], format!("{inode:016x}"), "{two}");
    }
}

/// The types of raw entries come with the listing.
async fn a_listing_fetches_no_child(variant: Variant) {
    let sample = Sample::new();
    on_ipfs(variant, &sample, &["list", "{}/many"]).await;
    let log = sample.content.node.log();
    let asked = log.iter().filter_map(|call| match call {
        Call::Block { cid, .. } => Some(cid.codec()),
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked, [0x70, 0x70], "the root and the directory");
}

async fn one_component_uses_both_previews(variant: Variant) {
    let sample = Sample::new();
    for (dir, file) in [("{}", "large.bin"), ("{}/docs", "readme.md")] {
        let both = same_as_native(variant, &sample, &["mixed", dir, file]).await;
        assert_eq!(both, "both\n");
    }
}

async fn only_what_is_granted_is_reached(variant: Variant) {
    let sample = Sample::new();
    let inner = sample.content.add(sample.local_path("docs"));
    let ctx = variant.ctx(&sample.content).await;
    sample.content.node.clear_log();
    let inner = inner.to_string();
    for ungranted in [&inner, "bafkqabtimvwgy3yk", "no-cid", "bafy", "Qm"] {
        let path = format!("/ipfs/{ungranted}");
        let walked = with(ctx.clone(), &["walk", &path]).await;
        assert_eq!(walked.success(), "e ENOENT \"\"\n", "{path}");
    }
    assert_eq!(sample.content.node.distinct_blocks_asked(), 0);
}

async fn mounts_and_names(variant: Variant) {
    let sample = Sample::new();
    let node = &sample.content.node;
    node.set_name("sample.example", sample.content.root, "docs", None);
    let builder = IpfsCtx::builder(variant.cache(node).await, Access::none())
        .mount("/data", sample.ipfs_path("links/dir"))
        .name("sample.example".parse().expect("a name"));
    let ctx = builder.build().await.expect("a context");
    let preopens = with(ctx.clone(), &["preopens"]).await;
    assert_eq!(preopens.success(), "/ipfs\n/ipns\n/data\n");
    let native = on_native(&sample, &["walk", "{}/docs"]).await;
    for path in ["/data", "/ipns/sample.example/."] {
        let walked = with(ctx.clone(), &["walk", path]).await;
        assert_eq!(walked.success(), native, "{path}");
    }
    // The link of a granted name is absolute, and shown all the same.
    let link = with(ctx.clone(), &["paths", "/ipns", "sample.example"]).await;
    let fixed = ctx.names().next().expect("a name").target().to_string();
    let shown = format!(", ok, /ipfs/{fixed}\n");
    assert_eq!(
        link.success().matches(&shown).count(),
        2,
        "{}",
        link.success()
    );
    let unreached = with(ctx, &["walk", &sample.path("")]).await;
    assert_eq!(unreached.success(), "e ENOENT \"\"\n");
}
