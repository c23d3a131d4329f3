//! I8: a native path through the adapter behaves as it does without it.

use pinner_mock::Call;
use tempfile::TempDir;
use wasi_ipfs_tests::{End, Preview, Program, Run, Sample, Sharing, Variant, guests};
use wasmtime_wasi::FsPerms;

/// Runs `native_io` in an empty directory of its own.
async fn native_io(program: &Program, change: impl FnOnce(Run) -> Run) -> String {
    let scratch = TempDir::new().expect("a temporary directory");
    let run =
        Run::new(["native_io", "/scratch"]).preopen(scratch.path(), "/scratch", FsPerms::ReadWrite);
    change(run).program(program).await.success().to_owned()
}

async fn the_same_with_and_without(preview: Preview) {
    let program = guests::NATIVE_IO.program(preview);
    let native = native_io(&program, Run::native).await;
    assert!(native.lines().count() > 50, "{native}");

    let without_ipfs = native_io(&program, |run| run).await;
    assert_eq!(
        native, without_ipfs,
        "the adapter is linked, and the guest has no IPFS"
    );

    let sample = Sample::new();
    for sharing in [Sharing::Shared, Sharing::Isolated] {
        let ctx = Variant { preview, sharing }.ctx(&sample.content).await;
        let with_ipfs = native_io(&program, |run| run.ipfs(ctx)).await;
        assert_eq!(native, with_ipfs, "the guest has IPFS, {sharing:?}");
    }
    // A pinset lists the pins by itself when it starts.
    let mut log = sample.content.node.log();
    log.retain(|call| *call != Call::Pins);
    assert_eq!(log, [], "native calls asked the backend");
}

#[tokio::test]
async fn preview_1() {
    the_same_with_and_without(Preview::One).await;
}

#[tokio::test]
async fn preview_2() {
    the_same_with_and_without(Preview::Two).await;
}

/// A native directory called `/ipfs` is left alone if the guest has no IPFS.
#[tokio::test]
async fn no_ipfs_no_interception() {
    let sample = Sample::new();
    for preview in [Preview::One, Preview::Two] {
        let program = guests::CAT.program(preview);
        let run = Run::new(["cat", "/ipfs/hello.txt"]).preopen(
            sample.local(),
            "/ipfs",
            FsPerms::ReadOnly,
        );
        assert_eq!(run.program(&program).await.success(), "hello, /ipfs\n");
        let run = Run::new(["cat", "/ipfs/hello.txt"]).program(&program).await;
        assert_eq!(run.end, End::Exit(1), "nothing is preopened");
    }
}
