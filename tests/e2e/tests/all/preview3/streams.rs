//! Streams: from the middle, given up, never read, and of content that cannot be loaded.

use std::{fmt::Write as _, time::Duration};

use e2e::{Content, End};
use pinner_mock::{Fault, MockNode, When};

use super::*;

each_sharing! {
    a_stream_begins_anywhere a_stream_that_is_dropped_tells_of_no_error a_read_of_nothing_is_answered
    an_impatient_reader_gets_all an_error_never_ends_a_file a_wrong_block_is_never_read
}

/// The guests' digest.
fn fnv(bytes: &[u8]) -> String {
    let digest = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{digest:016x}")
}

async fn a_stream_begins_anywhere(variant: Variant) {
    let sample = Sample::new();
    let len = Sample::LARGE_BYTES as u64;
    let offsets = [0, 1, (1 << 20) - 5, 1 << 20, len - 1, len, len + 1, 1 << 40];
    let offsets = offsets.map(|offset| offset.to_string());
    let mut arguments = vec!["from", "{}/large.bin"];
    arguments.extend(offsets.iter().map(String::as_str));
    let read = same_as_native(variant, &sample, &arguments).await;
    let large = Sample::large();
    let wanted = offsets.iter().fold(String::new(), |mut wanted, offset| {
        let from = usize::try_from(offset.parse::<u64>().unwrap()).unwrap();
        let rest = large.get(from..).unwrap_or_default();
        writeln!(wanted, "{offset}: len={} fnv={} ok", rest.len(), fnv(rest)).unwrap();
        wanted
    });
    assert_eq!(read, wanted);
    for dir in ["{}", "{}/docs"] {
        let read = same_as_native(variant, &sample, &["from", dir, "0"]).await;
        assert!(read.ends_with(" EISDIR\n"), "{read}");
    }
}

/// Only what was read was fetched.
async fn a_stream_that_is_dropped_tells_of_no_error(variant: Variant) {
    let sample = Sample::new();
    for len in ["1", "4096", "65536", "1048577"] {
        let read = same_as_native(variant, &sample, &["partly", "{}/large.bin", len]).await;
        let read_bytes = &Sample::large()[..len.parse().unwrap()];
        assert_eq!(read, format!("len={len} fnv={} ok\n", fnv(read_bytes)));
    }
    let rest = &Sample::large()[1 << 20..2 << 20];
    let rest = MockNode::new().put(0x55, rest.to_vec());
    assert!(sample.content.node.remove(&rest));
    let read = on_ipfs(variant, &sample, &["partly", "{}/large.bin", "1048576"]).await;
    assert!(read.ends_with(" ok\n"), "{read}");
}

async fn a_read_of_nothing_is_answered(variant: Variant) {
    let sample = Sample::new();
    let read = same_as_native(variant, &sample, &["empty", "{}/hello.txt"]).await;
    assert_eq!(read, "unread: ok\n[108, 111, 44, 32]\nend: ok\n");
    let node = &sample.content.node;
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(20)));
    let slow = on_ipfs(variant, &sample, &["empty", "{}/hello.txt"]).await;
    assert_eq!(slow, read);
}

/// A guest that reads with a short timer beside it gives up each read long before the block arrives.
async fn an_impatient_reader_gets_all(variant: Variant) {
    let sample = Sample::new();
    let node = &sample.content.node;
    let ctx = variant.ctx(&sample.content).await;
    let path = sample.path("large.bin");
    // The way to the file is known, so that the reads alone are slow.
    with(ctx.clone(), &["stat", &path]).await.success();
    node.clear_log();
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(40)));
    let read = with(ctx, &["impatient", &path, "1048570"]).await;
    let rest = &Sample::large()[1_048_570..];
    let wanted = format!("len={} fnv={} ok\ngiven up: true\n", rest.len(), fnv(rest));
    assert_eq!(read.success(), wanted);
    assert_eq!(node.stats().blocks, 3, "asked anew each time");
}

/// I7: the stream ends where the missing block begins, and its future says why. Nothing else fails.
async fn an_error_never_ends_a_file(variant: Variant) {
    let sample = Sample::new();
    let large = Sample::large();
    let second = &large[1 << 20..2 << 20];
    let cid = MockNode::new().put(0x55, second.to_vec());
    assert!(sample.content.node.remove(&cid));
    let ctx = variant.ctx(&sample.content).await;
    let path = sample.path("large.bin");
    let read = async || {
        let arguments = ["from", &path, "0", "1048570", "1048576", "2097152"];
        with(ctx.clone(), &arguments).await.success().to_owned()
    };
    let (first, third) = (&large[..1 << 20], &large[2 << 20..]);
    let before = &large[1_048_570..1 << 20];
    let wanted = format!(
        "0: len={} fnv={} EIO\n1048570: len=6 fnv={} EIO\n1048576: len=0 fnv={} EIO\n2097152: len={} fnv={} ok\n",
        first.len(),
        fnv(first),
        fnv(before),
        fnv(&[]),
        third.len(),
        fnv(third)
    );
    assert_eq!(read().await, wanted);
    // The next good answer makes the read succeed.
    sample.content.node.put(0x55, second.to_vec());
    let healed = read().await;
    assert_eq!(healed.matches(" ok\n").count(), 4, "{healed}");
    // A cache that its host closes ends nothing in silence.
    ctx.cache().close().await.expect("closed");
    let closed = with(ctx, &["walk", &path]).await;
    assert_eq!(closed.success(), "e EIO \"\"\n");
}

/// I1, and that an error in a listing is none of its ends (I7).
async fn a_wrong_block_is_never_read(variant: Variant) {
    let dir = TempDir::new().expect("a temporary directory");
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::fs::write(dir.path().join("a/b/deep"), "deeper than most").unwrap();
    std::fs::write(dir.path().join("a/side"), "beside it").unwrap();
    let large: Vec<u8> = (0..(3_u64 << 20) / 8).flat_map(u64::to_le_bytes).collect();
    std::fs::write(dir.path().join("large"), large).unwrap();
    std::os::unix::fs::symlink("a/side", dir.path().join("link")).unwrap();
    let content = Content::import(dir.path());
    let root = content.path("");
    let right = with(variant.ctx(&content).await, &["walk", &root]).await;
    let right_lines: Vec<_> = right.success().lines().collect();
    for block in &content.node.blocks() {
        content.node.script(When::block(block), Fault::WrongBytes);
        let ctx = variant.ctx(&content).await;
        let wrong = with(ctx.clone(), &["walk", &root]).await;
        assert!(matches!(wrong.end, End::Exit(_)), "{:?}", wrong.end);
        let lines = wrong.text().lines();
        let (errors, others): (Vec<_>, Vec<_>) = lines.partition(|it| it.starts_with("e EIO "));
        assert!(!errors.is_empty(), "{block} was not noticed");
        for line in others {
            assert!(right_lines.contains(&line), "{line}");
        }
        content.node.clear_script();
        let healed = with(ctx, &["walk", &root]).await;
        assert_eq!(healed.success(), right.success(), "not healed");
    }
}

/// Two guests at once, on one cache: each block is asked for once (I6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_guests_share_each_fetch() {
    let sample = Sample::new();
    let first = SHARED.ctx(&sample.content).await;
    let second = Variant::beside(&first, &sample.content).await;
    let root = sample.path("");
    let arguments = ["walk", &root];
    let (one, other) = tokio::join!(with(first, &arguments), with(second, &arguments));
    assert_eq!(one.success(), other.success());
    let counters = sample.content.node.stats();
    let distinct = sample.content.node.distinct_blocks_asked();
    assert_eq!(counters.blocks, distinct as u64, "I6: asked for twice");
}

/// A guest that is ended in the middle of a read takes nothing from another that waits for the same block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_ended_harms_no_other() {
    let sample = Sample::new();
    let first = SHARED.ctx(&sample.content).await;
    let second = Variant::beside(&first, &sample.content).await;
    let gate = pinner_mock::Gate::new();
    let hang = Fault::HangUntil(gate.clone());
    sample.content.node.script(When::any_block(), hang);
    let runs = [first, second].map(|ctx| {
        let path = sample.path("large.bin");
        tokio::spawn(async move { with(ctx, &["from", &path, "0"]).await })
    });
    gate.reached(1).await;
    let [ended, kept] = runs;
    ended.abort();
    assert!(ended.await.is_err_and(|error| error.is_cancelled()));
    gate.open();
    let read = kept.await.expect("it ended");
    assert!(read.success().ends_with(" ok\n"), "{}", read.success());
}
