//! `/ipns` from a guest's side: names are granted one by one, resolved before the guest starts, and fixed from then on.
//! Nothing that a guest does resolves a name (I10).

use pinner_api::Capabilities;
use pinner_mock::{Call, MockNode};
use pinset::{Access, ContentPath, IpnsName};
use wasi_ipfs_fs::{Error, IpfsCtx};
use wasi_ipfs_tests::{Outcome, Preview, Run, Sample, Sharing, Variant, each_variant, guests};

each_variant! {
    granted_names_are_links a_name_that_changes_stays_what_it_was no_other_name_is_there a_mount_of_a_name
}

const SITE: &str = "site.example";
/// A key's name, as Kubo writes it.
const KEY: &str = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";

async fn run(variant: Variant, ctx: IpfsCtx, arguments: &[&str]) -> Outcome {
    let words = ["names"].iter().chain(arguments).map(ToString::to_string);
    let run = Run::new(words).ipfs(ctx);
    run.program(&variant.program(guests::NAMES)).await
}

/// The requests to the node that concern names.
fn resolutions(node: &MockNode) -> Vec<String> {
    let log = node.log().into_iter();
    log.filter_map(|call| match call {
        Call::Resolve { name } => Some(name),
        _ => None,
    })
    .collect()
}

/// The sample: the site stands for its `docs`, and the key for its `hello.txt`.
fn named() -> Sample {
    let sample = Sample::new();
    let (node, root) = (&sample.content.node, sample.content.root);
    node.set_name(SITE, root, "docs", None);
    node.set_name(KEY, root, "hello.txt", None);
    sample
}

fn name(name: &str) -> IpnsName {
    name.parse().expect("a name")
}

fn content(path: &str) -> ContentPath {
    path.parse().expect("a path")
}

async fn granted_names_are_links(variant: Variant) {
    let sample = named();
    let cache = variant.cache(&sample.content.node).await;
    let ctx = IpfsCtx::builder(cache, Access::none());
    let ctx = ctx
        .name(name(SITE))
        .name(name(KEY))
        .name(name(SITE))
        .build()
        .await
        .expect("a context");
    assert_eq!(resolutions(&sample.content.node), [SITE, KEY]);
    let targets: Vec<_> = ctx
        .names()
        .map(|fixed| fixed.target().to_string())
        .collect();
    let [key, site] = &targets[..] else {
        panic!("two names were granted: {targets:?}");
    };
    let still = format!("/ipns/{SITE}/deep/er/still.txt");
    let file = format!("/ipns/{KEY}");
    let arguments = [
        ["list", "/ipns"],
        ["link", SITE],
        ["link", KEY],
        ["read", &still],
        ["read", &file],
    ];
    let outcome = run(variant, ctx, &arguments.concat()).await;
    let text = |path: &str| std::fs::read_to_string(sample.local_path(path)).expect("a file");
    let wanted = format!(
        "list l {KEY}\nlist l {SITE}\n\
         link {SITE} -> /ipfs/{site} => d /ipfs/{site}\n\
         link {KEY} -> /ipfs/{key} => f /ipfs/{key}\n\
         read {still}: {}\nread {file}: {}\n",
        text("docs/deep/er/still.txt"),
        text("hello.txt"),
    );
    assert_eq!(outcome.success(), wanted);
    assert_eq!(resolutions(&sample.content.node), [SITE, KEY]);
}

async fn a_name_that_changes_stays_what_it_was(variant: Variant) {
    let sample = named();
    let (node, root) = (&sample.content.node, sample.content.root);
    let ctx = variant.builder(&sample.content).await.name(name(SITE));
    let ctx = ctx.build().await.expect("a context");
    let readme = format!("/ipns/{SITE}/readme.md");
    let before = run(variant, ctx.clone(), &["read", &readme, "link", SITE]).await;
    node.set_name(SITE, root, "many", None);
    let after = run(variant, ctx, &["read", &readme, "link", SITE]).await;
    assert_eq!(after.success(), before.success());
    assert_eq!(resolutions(node), [SITE]);
}

async fn no_other_name_is_there(variant: Variant) {
    let sample = named();
    let node = &sample.content.node;
    let cache = variant.cache(node).await;
    let ctx = IpfsCtx::builder(cache, Access::none()).name(name(SITE));
    let ctx = ctx.build().await.expect("a context");
    node.clear_log();
    let above = format!("/ipns/{SITE}/../{}/hello.txt", sample.content.root);
    let (key, root) = (format!("/ipns/{KEY}"), sample.path(""));
    let arguments = [
        ["absent", key.as_str()],
        ["absent", "/ipns/what.i.read.evil.example"],
        ["absent", "/ipns/SITE.EXAMPLE"],
        ["absent", "/ipns/%73ite.example"],
        ["absent", &root],
        ["absent", &above],
    ];
    let outcome = run(variant, ctx.clone(), &arguments.concat()).await;
    outcome.success();
    let out = format!("/ipns/{SITE}/../../{SITE}");
    let more = [
        ["leaves", "/ipns/.."],
        ["leaves", "/ipns/../etc"],
        ["leaves", &out],
    ];
    run(variant, ctx, &more.concat()).await.success();
    // The pin on the name's target may still be in progress, and is released with the context.
    let asked: Vec<_> = node
        .log()
        .into_iter()
        .filter(|call| !matches!(call, Call::Pin { .. } | Call::Unpin { .. } | Call::Pins))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");

    // Without a granted name, /ipns does not exist.
    let ctx = variant.ctx(&sample.content).await;
    let name = format!("/ipns/{SITE}");
    run(variant, ctx, &["absent", &name]).await.success();
    assert_eq!(resolutions(node), [""; 0]);
}

async fn a_mount_of_a_name(variant: Variant) {
    let sample = named();
    let node = &sample.content.node;
    let ctx = IpfsCtx::builder(variant.cache(node).await, Access::none())
        .mount("/data", content(&format!("/ipns/{SITE}/deep")))
        .mount("/more", content(&format!("ipns://{SITE}")))
        .build()
        .await
        .expect("a context");
    assert_eq!(resolutions(node), [SITE], "one name is asked for once");
    let arguments = [
        ["list", "/data/er"],
        ["list", "/more"],
        ["absent", "/ipns/site.example"],
    ];
    let outcome = run(variant, ctx, &arguments.concat()).await;
    let printed = outcome.success();
    assert!(printed.contains("list f still.txt\n"), "{printed}");
    assert!(printed.contains("list f readme.md\n"), "{printed}");
    assert_eq!(resolutions(node), [SITE]);
}

#[tokio::test]
async fn what_cannot_be_granted_is_named() {
    let sample = named();
    let (node, root) = (&sample.content.node, sample.content.root);
    node.set_name("broken.example", root, "none", None);
    let variant = Variant {
        preview: Preview::Two,
        sharing: Sharing::Shared,
    };
    for (name, said) in [
        ("nowhere.example", "does not resolve"),
        ("broken.example", "no entry 'none'"),
    ] {
        let granted = variant
            .builder(&sample.content)
            .await
            .name(self::name(name));
        let error = granted.build().await.expect_err(name);
        assert!(
            matches!(&error, Error::Name { name: named, .. } if named == name),
            "{error:?}"
        );
        let causes = chain(&error);
        assert!(causes.contains(said) && causes.contains(name), "{causes}");
        let path = format!("/ipns/{name}");
        let refused = variant
            .builder(&sample.content)
            .await
            .mount("/data", content(&path))
            .build()
            .await;
        let causes = chain(&refused.expect_err(name));
        assert!(causes.contains(&path), "{causes}");
    }
    let plain = MockNode::builder()
        .capabilities(Capabilities::blocks_only())
        .build();
    let ctx = IpfsCtx::builder(variant.cache(&plain).await, Access::Any).name(name(SITE));
    let causes = chain(&ctx.build().await.expect_err("no names"));
    assert!(
        causes.contains("resolves no names") && causes.contains(SITE),
        "{causes}"
    );
    assert_eq!(
        SITE.parse::<IpnsName>()
            .map(|name| name.to_string())
            .ok()
            .as_deref(),
        Some(SITE)
    );
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
