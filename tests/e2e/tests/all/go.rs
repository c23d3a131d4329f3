//! Ordinary programs in Go, for preview 1: they read the same under `/ipfs` as in the same native directory. Go's
//! allocator takes memory as it likes, and its standard library lists, stats and reads in ways of its own.
//!
//! `cargo xtask guests` builds the program, with Go. Where there is none, these tests fail.

use std::{env, fs, path::PathBuf};

use e2e::{Content, NativeCalls, Preview, Program, Run, Sample, Sharing, Variant};
use tempfile::TempDir;
use wasmtime_wasi::FsPerms;

fn program() -> Program {
    let folder = match env::var_os("WASI_IPFS_GUESTS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    };
    Program::from_file(folder.join("p1/go_files.wasm"))
}

const VARIANT: Variant = Variant {
    preview: Preview::One,
    sharing: Sharing::Shared,
};

/// Runs the program on the content, and returns what it prints.
async fn on_ipfs(arguments: &[&str], content: &Content, below: &str) -> String {
    let path = content.path(below);
    let run = Run::new(
        ["go_files"]
            .iter()
            .chain(arguments)
            .copied()
            .chain([&*path]),
    );
    let run = run.ipfs(VARIANT.ctx(content).await);
    run.program(&program()).await.success().to_owned()
}

/// Runs it on a native directory, by wasmtime-wasi alone.
async fn natively(arguments: &[&str], dir: &std::path::Path) -> String {
    let run = Run::new(
        ["go_files"]
            .iter()
            .chain(arguments)
            .copied()
            .chain(["/dir"]),
    );
    let run = run.preopen(dir, "/dir", FsPerms::ReadOnly).native();
    let run = run.native_calls(NativeCalls::CurrentThread);
    run.program(&program()).await.success().to_owned()
}

/// Files of many sizes, in one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_size_are_read() {
    let dir = TempDir::new().expect("a temporary directory");
    let sizes = [
        0,
        1,
        4095,
        4096,
        4097,
        65_535,
        65_536,
        65_537,
        262_143,
        262_145,
        1_000_000,
        1 << 20,
        (1 << 20) + 1,
        3_500_000,
        3_800_000,
        4 << 20,
    ];
    for size in sizes {
        let bytes: Vec<u8> = (0..size).map(|at: u32| (at ^ (at >> 11)) as u8).collect();
        fs::write(dir.path().join(format!("{size:09}")), bytes).expect("a file");
    }
    let content = Content::import(dir.path());
    let ours = on_ipfs(&["read"], &content, "").await;
    assert_eq!(ours.lines().count(), sizes.len());
    assert_eq!(ours, natively(&["read"], dir.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_walked() {
    let sample = Sample::new();
    let ours = on_ipfs(&["walk"], &sample.content, "").await;
    assert!(ours.lines().count() > Sample::SHARDED, "{ours}");
    assert_eq!(ours, natively(&["walk"], sample.local()).await);
}

/// A host has to give a descriptor for each native file, so fewer are open there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_files_are_open() {
    let sample = Sample::new();
    let ours = on_ipfs(&["open", "5000"], &sample.content, "many").await;
    assert_eq!(ours.lines().count(), 200);
    let native = natively(&["open", "300"], &sample.local_path("many")).await;
    assert_eq!(ours, native);
}
