//! I10: a guest reaches the roots it was granted, and no others. The backend is not even asked for anything else.

use std::fs;

use e2e::{Run, Sample, Variant, each_variant, guests};
use pinner_mock::Call;
use pinset::Access;
use tempfile::TempDir;
use wasi_ipfs_fs::{AccessRules, Grant, IpfsCtx};

each_variant! { one_root_and_no_other nothing_but_a_mount a_callback_decides }

/// A tree that the node has and no guest is granted.
struct Secret {
    path: String,
}

impl Secret {
    fn beside(sample: &Sample) -> Self {
        let local = TempDir::new().expect("a temporary directory");
        fs::write(local.path().join("secret.txt"), "secret").expect("a file");
        let cid = sample.content.add(local.path());
        Self {
            path: format!("/ipfs/{cid}"),
        }
    }
}

/// Asserts that every request was for a block of the granted tree, or for a pin on one.
#[track_caller]
fn assert_nothing_else_was_asked(sample: &Sample) {
    let log = sample.content.node.log();
    assert!(!log.is_empty(), "nothing was asked at all");
    for call in log {
        let (asked, origin) = match &call {
            Call::Block { cid, origin, .. } => (cid, Some(&origin.root)),
            Call::Pin { root, .. } | Call::Unpin { root, .. } => (root, None),
            Call::Pins => continue,
            other => panic!("{other:?}"),
        };
        let granted = &sample.content.blocks;
        assert!(granted.contains(asked.hash()), "{call:?}");
        assert!(
            origin.is_none_or(|root| *root == sample.content.root),
            "{call:?}"
        );
    }
}

async fn one_root_and_no_other(variant: Variant) {
    let sample = Sample::new();
    let secret = Secret::beside(&sample);
    let file = format!("{}/secret.txt", secret.path);
    // The tree is granted, but the nodes in it are not granted as roots by their own CIDs.
    let inner = sample.content.add(sample.local_path("docs"));
    let inner = format!("/ipfs/{inner}");
    let root = sample.path("");
    let (out, absolute) = (sample.path("links/out"), sample.path("links/absolute"));
    let up = format!("{root}/../../outside");
    let arguments = [
        ["granted", root.as_str()],
        ["ungranted", &secret.path],
        ["ungranted", &file],
        ["ungranted", &inner],
        ["ungranted", "/ipfs/bafkqabtimvwgy3yk"],
        ["link", &out],
        ["link", &absolute],
        ["leaves", &up],
        ["roots", "/ipfs"],
    ];
    let run = Run::new(["access"].into_iter().chain(arguments.concat()));
    let run = run.ipfs(variant.ctx(&sample.content).await);
    let outcome = run.program(&variant.program(guests::ACCESS)).await;
    let printed = outcome.success();
    let roots: Vec<_> = printed
        .lines()
        .filter(|line| line.starts_with("root "))
        .collect();
    assert_eq!(roots, [format!("root {}", sample.content.root)]);
    assert_eq!(
        printed
            .lines()
            .filter(|line| line.starts_with("refused "))
            .count(),
        7
    );
    assert_nothing_else_was_asked(&sample);
}

/// A mount grants what lies below it, through the mount and not through `/ipfs`.
async fn nothing_but_a_mount(variant: Variant) {
    let sample = Sample::new();
    let secret = Secret::beside(&sample);
    let ctx = IpfsCtx::builder(variant.cache(&sample.content.node).await, Access::none())
        .mount("/data", sample.ipfs_path("docs"))
        .build()
        .await
        .expect("a context");
    let root = sample.path("");
    let docs = sample.path("docs");
    let arguments = [
        ["granted", "/data"],
        ["ungranted", secret.path.as_str()],
        ["ungranted", &root],
        ["ungranted", &docs],
        ["leaves", "/data/.."],
        ["leaves", "/data/../hello.txt"],
        ["leaves", "/data/deep/../../links"],
        ["roots", "/ipfs"],
    ];
    let run = Run::new(["access"].into_iter().chain(arguments.concat())).ipfs(ctx);
    let outcome = run.program(&variant.program(guests::ACCESS)).await;
    let printed = outcome.success();
    assert!(!printed.contains("root "), "{printed}");
    assert_nothing_else_was_asked(&sample);
}

/// A callback of the host grants one root, and of that everything but one file.
async fn a_callback_decides(variant: Variant) {
    let sample = Sample::new();
    let secret = Secret::beside(&sample);
    let hello = sample.content.add(sample.local_path("hello.txt"));
    let granted = sample.content.root;
    let rules = AccessRules::asking(move |request| async move {
        match request.root == granted {
            true => Ok(Grant::Once),
            false => Ok(Grant::Refused),
        }
    });
    let cache = variant.cache(&sample.content.node).await;
    let ctx = IpfsCtx::builder(cache, rules.without([hello]).into());
    let ctx = ctx.build().await.expect("a context");
    let (root, taken_down) = (sample.path(""), sample.path("hello.txt"));
    let arguments = [
        ["granted", root.as_str()],
        ["ungranted", &secret.path],
        ["ungranted", &taken_down],
        ["ungranted", "/ipfs/bafkqabtimvwgy3yk"],
        ["roots", "/ipfs"],
    ];
    let run = Run::new(["access"].into_iter().chain(arguments.concat())).ipfs(ctx);
    let outcome = run.program(&variant.program(guests::ACCESS)).await;
    assert!(!outcome.success().contains("root "), "/ipfs lists nothing");
    assert_nothing_else_was_asked(&sample);
}
