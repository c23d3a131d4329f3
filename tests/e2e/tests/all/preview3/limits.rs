//! The bounds of what a guest can make its host hold (I9).

use std::{path::Path, sync::Arc, time::Duration};

use pinner_mock::MockNode;
use pinset::{Limits, PinsetBuilder};
use test_support::{
    balanced,
    content::{MIB, add_file, stream},
    file_system::on_own,
    memory::resident_bytes,
    until,
};

use super::*;

each_sharing! { what_is_over_a_limit_is_refused }

async fn what_is_over_a_limit_is_refused(variant: Variant) {
    let sample = Sample::new();
    let limited = async |limits: Limits, arguments: &[&str]| {
        let builder = variant.builder(&sample.content).await.limits(limits);
        let ctx = builder.build().await.expect("a context");
        with(ctx, arguments).await.success().to_owned()
    };
    let (hello, docs) = (sample.path("hello.txt"), sample.path("docs"));
    let mut few = Limits::default();
    few.open_handles = 110;
    for (what, path) in [
        ("handles", &hello),
        ("listings", &docs),
        ("streams", &hello),
    ] {
        let printed = limited(few.clone(), &["until-refused", what, path]).await;
        assert!(printed.ends_with(" ENOMEM\n"), "{printed}");
        let held = printed.split(' ').nth(1).expect("a number");
        let held: usize = held.parse().expect("a number");
        assert!((50..=110).contains(&held), "{printed}");
    }
    let mut targets = Limits::default();
    targets.targets = 20;
    let printed = limited(targets, &["targets", &sample.path("many")]).await;
    assert!(printed.ends_with(" EDQUOT\n"), "{printed}");

    let mut bytes = Limits::default();
    bytes.fetched_bytes = 1 << 20;
    let printed = limited(
        bytes,
        &["until-refused", "bytes", &sample.path("large.bin")],
    )
    .await;
    assert!(printed.ends_with(" EIO\n"), "{printed}");

    let mut paths = Limits::default();
    paths.path_bytes = 200;
    let long = "./".repeat(200);
    let printed = limited(paths, &["paths", &docs, &long]).await;
    assert_eq!(printed.matches("ENAMETOOLONG").count(), 6, "{printed}");
}

/// How many streams the guest keeps.
const STREAMS: u64 = 10_000;

#[test]
fn ten_thousand_unread_streams_take_bounded_memory_and_keep_no_block() {
    let name =
        "preview3::limits::ten_thousand_unread_streams_take_bounded_memory_and_keep_no_block";
    on_own(name, "tmpfs", "size=256m,mode=700", |dir| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(unread_streams(dir));
    });
}

async fn unread_streams(dir: &Path) {
    const LEAF: usize = 4096;
    let node = MockNode::new();
    let file = balanced::file(&node, STREAMS as usize * LEAF, LEAF);
    let builder = PinsetBuilder::new(Arc::new(node.clone()), 64 << 20);
    let cache = builder.lock_dir(dir.join("lock")).shared().await.unwrap();
    let program = program();
    let before = resident_bytes().unwrap();
    let hoarder = {
        let (cache, root) = (cache.clone(), file.root);
        tokio::spawn(async move {
            let ctx = IpfsCtx::builder(cache, Access::roots([root]));
            let ctx = ctx.build().await.unwrap();
            let path = format!("/ipfs/{root}");
            let run = run(&["hoard", &path, &STREAMS.to_string(), "4096"]).ipfs(ctx);
            run.program(&program).await
        })
    };
    let settled = async {
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = node.stats().blocks;
            if now == last && now > 1000 {
                return now;
            }
            last = now;
        }
    };
    let fetched = settled.await;
    assert!(!hoarder.is_finished(), "{:?}", hoarder.await);
    let added = resident_bytes().unwrap() - before;
    println!("{STREAMS} streams, {fetched} blocks, {added} bytes of memory");
    assert!(added < 128 << 20, "{added} bytes of memory");
    // Every staged block can be replaced.
    let other = add_file(&node, &stream(60 * MIB), pinner_car::Profile::default());
    let mut left = cache.fetch(&other);
    let staged = cache.stats().blocks_staged;
    while let Some(piece) = futures_util::StreamExt::next(&mut left).await {
        piece.unwrap();
    }
    until("the blocks are replaced", || {
        cache.stats().evictions >= staged / 2
    })
    .await;
    hoarder.abort();
}
