//! Another project's program: uutils coreutils. Its tools say the same under `/ipfs` as in the same native directory.
//!
//! It takes minutes to build, so it is only there if all guests were asked for.

use std::fs;

use e2e::{Content, End, Preview, Program, Run, Sample, Sharing, Variant};
use pinner_car::ImportOptions;
use tempfile::TempDir;
use wasmtime_wasi::FsPerms;

use crate::matrix::guests;

fn coreutils() -> Option<Program> {
    let file = guests().join("p1/coreutils.wasm");
    if file.exists() {
        return Some(Program::from_file(file));
    }
    println!("NOT RUN: uutils coreutils: it is built with --all-guests");
    None
}

async fn context(content: &Content) -> wasi_ipfs_fs::IpfsCtx {
    let variant = Variant {
        preview: Preview::One,
        sharing: Sharing::Shared,
    };
    variant.ctx(content).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_say_what_they_say_natively() {
    let Some(program) = coreutils() else { return };
    let sample = Sample::new();
    let ctx = context(&sample.content).await;
    let root = sample.path("");
    let at = |name: &str| format!("{root}/{name}");
    let (hello, large, links) = (at("hello.txt"), at("large.bin"), at("links"));
    let (readme, absent, many) = (at("docs/readme.md"), at("absent"), at("many"));
    for (words, succeeds) in [
        (vec!["ls", "-aR", &root], true),
        (vec!["ls", "-F", &root, &links], true),
        (vec!["sha256sum", &hello, &large, &readme], true),
        (vec!["wc", &hello, &large, &readme], true),
        (vec!["head", "-c", "100", &readme], true),
        (vec!["tail", "-c", "13", &large], true),
        (vec!["cat", &hello, &readme], true),
        (vec!["sort", "-r", &readme], true),
        (vec!["readlink", &at("links/file")], true),
        (vec!["cksum", &large], true),
        (vec!["ls", &absent], false),
        (vec!["cat", &absent], false),
        (vec!["cat", &many], false),
        (vec!["rm", &hello], false),
        (vec!["mkdir", &absent], false),
        (vec!["cp", &hello, &absent], false),
        (vec!["mv", &hello, &absent], false),
    ] {
        let run = || Run::new(["coreutils"].iter().chain(&words).copied());
        let ours = run().ipfs(ctx.clone()).program(&program).await;
        let native = run()
            .preopen(sample.local(), &root, FsPerms::ReadOnly)
            .native();
        let native = native.program(&program).await;
        assert!(ours.stdout == native.stdout, "{words:?}");
        assert_eq!(ours.stderr, native.stderr, "{words:?}");
        assert_eq!(ours.end, native.end, "{words:?}");
        assert_eq!(
            ours.end == End::Exit(0),
            succeeds,
            "{words:?}: {}",
            ours.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_copied_out() {
    let Some(program) = coreutils() else { return };
    let sample = Sample::new();
    let out = TempDir::new().expect("a temporary directory");
    let run = Run::new(["coreutils", "cp", "-r", &sample.path("docs"), "/docs"]);
    // It asks for its current directory, which is the root.
    let run = run.preopen(out.path(), "/", FsPerms::ReadWrite);
    let run = run.ipfs(context(&sample.content).await);
    run.program(&program).await.success();
    for name in ["docs/readme.md", "docs/deep/er/still.txt"] {
        let copied = fs::read(out.path().join(name)).expect(name);
        assert_eq!(
            copied,
            fs::read(sample.local_path(name)).expect(name),
            "{name}"
        );
    }
}

/// A whole tree with the facts of every entry. The times are the content's, which has kept them. The host has sizes and
/// link counts of its own for directories, and counts the disk's blocks; and what is above the tree is not the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_listed_in_full() {
    let Some(program) = coreutils() else { return };
    let sample = Sample::new();
    let options = ImportOptions {
        raw_leaves: Some(false),
        preserve_mtime: true,
        ..ImportOptions::default()
    };
    let content = Content::import_with(sample.local(), &options);
    let root = content.path("");
    let run = || Run::new(["coreutils", "ls", "-laR", &root]);
    let ours = run().ipfs(context(&content).await).program(&program).await;
    let native = run().preopen(sample.local(), &root, FsPerms::ReadOnly);
    let native = native.native().program(&program).await;
    let lines = |outcome: &e2e::Outcome| -> Vec<String> {
        let lines = outcome.text().lines();
        lines.map(without_the_hosts).collect()
    };
    let (shown, wanted) = (lines(&ours), lines(&native));
    assert!(shown.len() > Sample::SHARDED, "{shown:#?}{}", ours.stderr);
    for (shown, wanted) in shown.iter().zip(&wanted) {
        assert_eq!(shown, wanted);
    }
    assert_eq!((shown.len(), &ours.end), (wanted.len(), &native.end));
}

/// A line of `ls -l` without what only a host has.
fn without_the_hosts(line: &str) -> String {
    const LINKS: usize = 1;
    const SIZE: usize = 4;
    let words: Vec<_> = line.split_whitespace().collect();
    match words.first() {
        Some(&"total") => "total".to_owned(),
        Some(_) if words.last() == Some(&"..") => "..".to_owned(),
        Some(mode) if mode.starts_with('d') => {
            let words = words.iter().enumerate();
            let words = words.filter(|(at, _)| ![LINKS, SIZE].contains(at));
            let words: Vec<_> = words.map(|(_, word)| *word).collect();
            words.join(" ")
        }
        _ => words.join(" "),
    }
}
