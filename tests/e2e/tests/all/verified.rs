//! Whatever a backend answers, a guest sees correct bytes or an error (I1). The next good answer makes the read
//! succeed.

use std::fs;

use pinner_mock::{Fault, Gate, When};
use wasi_ipfs_tests::{Content, End, Preview, Run, Sharing, Variant, guests};

const VARIANT: Variant = Variant {
    preview: Preview::Two,
    sharing: Sharing::Shared,
};

/// A tree with directories, small files, and one of several blocks.
fn tree() -> Content {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/deep"), "deeper than most").unwrap();
    fs::write(dir.path().join("a/side"), "beside it").unwrap();
    let large: Vec<u8> = (0..(5_u64 << 20) / 16).flat_map(u64::to_le_bytes).collect();
    fs::write(dir.path().join("large"), large).unwrap();
    std::os::unix::fs::symlink("a/side", dir.path().join("link")).unwrap();
    Content::import(dir.path())
}

/// Each block of a tree is corrupted in turn. A guest then reads correct bytes or an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_guest_sees_a_byte_of_a_wrong_block() {
    let content = tree();
    let walk = VARIANT.program(guests::WALK_HASH);
    let read = async |ctx| {
        let run = Run::new(["walk_hash", &content.path("")]).ipfs(ctx);
        run.program(&walk).await
    };
    let right = read(VARIANT.ctx(&content).await).await.success().to_owned();
    let right_lines: Vec<_> = right.lines().collect();
    let blocks = content.node.blocks();
    assert!(blocks.len() >= 9, "{blocks:?}");
    for fault in [Fault::WrongBytes, Fault::Truncated(3)] {
        for block in &blocks {
            content.node.script(When::block(block), fault.clone());
            let ctx = VARIANT.ctx(&content).await;
            let wrong = read(ctx.clone()).await;
            assert!(matches!(wrong.end, End::Exit(_)), "{:?}", wrong.end);
            let (errors, others): (Vec<_>, Vec<_>) = wrong
                .text()
                .lines()
                .partition(|line| line.starts_with("e "));
            assert!(!errors.is_empty(), "{fault:?} of {block} was not noticed");
            for line in others {
                assert!(right_lines.contains(&line), "{line}");
            }
            content.node.clear_script();
            assert_eq!(read(ctx).await.success(), right, "not healed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_guests_share_each_fetch_though_half_of_them_are_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..5_u64 << 17).flat_map(u64::to_le_bytes).collect();
    fs::write(dir.path().join("f"), bytes).unwrap();
    let content = Content::import(dir.path());
    let program = VARIANT.program(guests::TWO_GUESTS);
    let expected = {
        let ctx = VARIANT.ctx(&content).await;
        let run = Run::new(["two_guests", "1", &content.path("f")]).ipfs(ctx);
        run.program(&program).await.success().to_owned()
    };
    content.node.clear_log();
    let gate = Gate::new();
    content
        .node
        .script(When::any_block(), Fault::HangUntil(gate.clone()));
    let first = VARIANT.ctx(&content).await;
    let mut runs = Vec::new();
    for _ in 0..64 {
        let ctx = Variant::beside(&first, &content).await;
        let run = Run::new(["two_guests", "1", &content.path("f")]).ipfs(ctx);
        let program = program.clone();
        runs.push(tokio::spawn(async move { run.program(&program).await }));
    }
    gate.reached(1).await;
    // Half of the guests end before any block arrives. The others must still get the blocks that both asked for.
    let mut kept = Vec::new();
    for (n, run) in runs.into_iter().enumerate() {
        if n % 2 == 0 {
            run.abort();
            assert!(run.await.is_err_and(|error| error.is_cancelled()));
        } else {
            kept.push(run);
        }
    }
    gate.open();
    for run in kept {
        assert_eq!(run.await.unwrap().success(), expected);
    }
    for block in content.node.blocks() {
        assert_eq!(content.node.blocks_asked(&block), 1, "{block}");
    }
}
