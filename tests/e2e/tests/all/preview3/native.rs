//! I8: a native path through the adapter behaves as it does without it.

use super::*;

/// Does everything that the guest can do in directories of its own, and returns what it printed.
async fn native(change: impl Fn(Run) -> Run, sample: &Sample) -> String {
    let scratch = TempDir::new().expect("a temporary directory");
    let probes: [&[&str]; 10] = [
        &["preopens"],
        &["walk", "/native"],
        &["list", "/native/sharded"],
        &["read", "/native/large.bin", "/native/links/up"],
        &[
            "open",
            "/native",
            "hello.txt",
            "docs",
            "nope",
            "links/loop",
            "..",
            "links/out",
        ],
        &[
            "paths",
            "/native",
            "hello.txt",
            "hello.txt/",
            "docs/..",
            "links/absolute",
        ],
        &["write", "/native", "hello.txt"],
        &[
            "from",
            "/native/large.bin",
            "0",
            "1048571",
            "2621453",
            "99999999",
        ],
        &["copy", "/native/large.bin", "/scratch/copy"],
        &["between", "/native", "/scratch", "hello.txt"],
    ];
    std::fs::write(scratch.path().join("hello.txt"), "native").expect("a file");
    let mut printed = String::new();
    for arguments in probes {
        let run = run(arguments)
            .preopen(sample.local(), "/native", FsPerms::ReadOnly)
            .preopen(scratch.path(), "/scratch", FsPerms::ReadWrite);
        let outcome = change(run).program(&program()).await;
        printed.push_str(outcome.success());
    }
    let copy = std::fs::read(scratch.path().join("copy")).expect("the copy");
    assert!(copy == Sample::large(), "{} bytes", copy.len());
    printed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_with_and_without() {
    let sample = Sample::new();
    let alone = native(Run::native, &sample).await;
    let without_ipfs = native(|run| run, &sample).await;
    assert_eq!(alone, without_ipfs, "the guest has no IPFS");
    for sharing in [Sharing::Shared, Sharing::Isolated] {
        let variant = Variant { sharing, ..SHARED };
        let ctx = variant.ctx(&sample.content).await;
        let with_ipfs = native(|run| run.ipfs(ctx.clone()), &sample).await;
        let preopens = "/native\n/scratch\n";
        let with_ipfs = with_ipfs.replacen(&format!("{preopens}/ipfs\n"), preopens, 1);
        assert_eq!(alone, with_ipfs, "the guest has IPFS, {sharing:?}");
    }
    assert_eq!(sample.content.node.distinct_blocks_asked(), 0);
}
