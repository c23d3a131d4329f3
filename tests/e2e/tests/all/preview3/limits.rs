//! The bounds of what a guest can make its host hold (I9).

use pinset::Limits;
use test_support::file_system::on_own;

use super::*;
use crate::hoarding::{STREAMS, unread_streams};

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

#[test]
fn ten_thousand_unread_streams_take_bounded_memory_and_keep_no_block() {
    let name =
        "preview3::limits::ten_thousand_unread_streams_take_bounded_memory_and_keep_no_block";
    on_own(name, "tmpfs", "size=256m,mode=700", |dir| {
        let arguments = |root| {
            let (path, streams) = (format!("/ipfs/{root}"), STREAMS.to_string());
            ["preview3", "hoard", &path, &streams, "4096"]
                .map(str::to_owned)
                .to_vec()
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(unread_streams(dir, program(), arguments, 128 << 20));
    });
}
