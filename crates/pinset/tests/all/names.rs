//! `/ipns`: a name is resolved once, its target is fixed and visible, and no path leads from it to anything that was
//! not granted (I10).

use futures_util::TryStreamExt;
use std::{fs, os::unix::fs::symlink, time::Duration};

use cid::Cid;
use pinner_api::{Capabilities, PinnerError};
use pinner_car::Profile;
use pinner_mock::{Call, Fault, MockNode, When};
use pinset::{Access, Error, FixedName, IpnsName, Kind, Limits, Node, Session, Symlinks};
use test_support::content::add;

use crate::{host::Host, pinsets::ipfs, pinsets::read_all};

const BUDGET: u64 = 8 << 20;
const NAME: &str = "example.org";

fn name(text: &str) -> IpnsName {
    text.parse().unwrap()
}

/// Adds a tree with `site/index.html`, `secret.txt`, and links in `site` that try to get out.
fn tree(node: &MockNode) -> Cid {
    let local = tempfile::tempdir().unwrap();
    let site = local.path().join("site");
    fs::create_dir_all(site.join("docs")).unwrap();
    fs::write(site.join("index.html"), "welcome").unwrap();
    fs::write(site.join("docs/a.txt"), "a").unwrap();
    fs::write(local.path().join("secret.txt"), "secret").unwrap();
    symlink("../secret.txt", site.join("up")).unwrap();
    symlink("../../ipns/example.org", site.join("back")).unwrap();
    symlink("/ipns/example.org", site.join("absolute")).unwrap();
    symlink("docs/a.txt", site.join("inside")).unwrap();
    add(node, local.path(), Profile::UnixfsV1_2025)
}

/// Creates a host over this tree. The name stands for its `site`.
async fn host() -> (Host, Cid) {
    let node = MockNode::new();
    let root = tree(&node);
    node.set_name(NAME, root, "site", None);
    (Host::new(&node, BUDGET).await, root)
}

/// Creates a session that is granted only the name.
fn guest(host: &Host, fixed: &FixedName) -> Session {
    host.mode
        .session_with_names(Access::none(), Limits::default(), [fixed.clone()])
}

async fn read(session: &Session, path: &str) -> Result<Vec<u8>, Error> {
    let names = session.names_root().unwrap();
    match session.open_at(&names, path, Symlinks::Follow).await? {
        Node::File(file) => read_all(&file).await,
        other => panic!("{path} is not a file: {other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_a_link_to_the_cid_that_it_was_fixed_to() {
    let (host, root) = host().await;
    let fixed = host.mode.fix(&name(NAME)).await.unwrap();
    assert_eq!(fixed.path().to_string(), format!("/ipfs/{root}/site"));
    let Node::Dir(site) = host.mode.open(fixed.path()).await.unwrap() else {
        panic!("the site is a directory");
    };
    let cid = *site.cid().unwrap();
    assert_eq!(*fixed.target(), cid);

    let session = guest(&host, &fixed);
    let names = session.names_root().unwrap();
    let mut listed = names.entries().unwrap();
    let entry = listed.try_next().await.unwrap().unwrap();
    assert_eq!((entry.name(), entry.kind()), (NAME, Some(Kind::Symlink)));
    assert_eq!(*entry.cid(), cid);
    assert_eq!(listed.try_next().await.unwrap(), None);

    let wanted = format!("/ipfs/{cid}");
    let at = |last| session.open_at(&names, NAME, last);
    let Node::Symlink(link) = at(Symlinks::NoFollow).await.unwrap() else {
        panic!("a name is a link");
    };
    assert_eq!(link.target(), wanted);
    let metadata = session
        .metadata_at(&names, NAME, Symlinks::NoFollow)
        .await
        .unwrap();
    assert_eq!(metadata.kind, Kind::Symlink);
    assert_eq!(metadata.len, wanted.len() as u64);
    let followed = at(Symlinks::Follow).await.unwrap();
    assert_eq!(followed.identity(), site.identity());
    // With a slash behind it, the name opens the directory, as everywhere.
    let directory = session.open_at(&names, "example.org/", Symlinks::NoFollow);
    assert_eq!(directory.await.unwrap().kind(), Kind::Dir);

    assert_eq!(
        read(&session, "example.org/index.html").await.unwrap(),
        b"welcome"
    );
    assert_eq!(
        read(&session, "./example.org//docs/../inside")
            .await
            .unwrap(),
        b"a"
    );
    // The target that the link shows is granted, by its CID.
    let direct = session
        .open(&ipfs(&format!("/ipfs/{cid}/index.html")))
        .await;
    assert_eq!(direct.unwrap().kind(), Kind::File);
    let Access::Roots(roots) = session.access() else {
        panic!("only roots were granted");
    };
    assert_eq!(roots.iter().len(), 1);
}

#[tokio::test]
async fn what_is_above_the_target_was_not_granted() {
    let (host, root) = host().await;
    let fixed = host.mode.fix(&name(NAME)).await.unwrap();
    let session = guest(&host, &fixed);
    let error = async |path: &str| read(&session, path).await.unwrap_err();
    let above = format!("/ipfs/{root}/secret.txt");
    let refused = session.open(&ipfs(&above)).await.unwrap_err();
    assert!(matches!(refused, Error::NotGranted { root: named } if named == root));
    // The physical `..` of the target is `/ipfs`, which has only granted roots.
    for path in ["example.org/../secret.txt", "example.org/up"] {
        assert!(
            matches!(error(path).await, Error::NotFound { .. }),
            "{path}"
        );
    }
    let sideways = format!("example.org/../{root}/secret.txt");
    assert!(matches!(error(&sideways).await, Error::NotGranted { .. }));
    // Above `/ipfs` there is nothing, neither for `..` nor for a symlink in the content.
    for path in [
        "example.org/../..",
        "example.org/../../ipns/example.org/index.html",
        "..",
        "../ipfs",
        "example.org/back",
        "example.org/absolute",
    ] {
        assert!(matches!(error(path).await, Error::Escapes { .. }), "{path}");
    }
    let target = *fixed.target();
    for path in ["back", "absolute"] {
        let error = session.open(&ipfs(&format!("/ipfs/{target}/{path}"))).await;
        assert!(matches!(error, Err(Error::Escapes { .. })), "{path}");
    }
}

#[tokio::test]
async fn a_name_that_changes_meanwhile_stays_what_it_was() {
    let (host, root) = host().await;
    let fixed = host.mode.fix(&name(NAME)).await.unwrap();
    let session = guest(&host, &fixed);
    let other = host.node.put(0x55, "other");
    host.node.set_name(NAME, other, "", None);
    host.node.set_name("late.example", root, "", None);
    host.node.clear_log();
    assert_eq!(
        read(&session, "example.org/index.html").await.unwrap(),
        b"welcome"
    );
    for absent in [
        "late.example",
        "late.example/site",
        "example.com",
        &root.to_string(),
    ] {
        let error = read(&session, absent).await.unwrap_err();
        let Error::NotFound { directory, .. } = &error else {
            panic!("{absent}: {error:?}");
        };
        assert_eq!(directory, "/ipns");
    }
    host.node.remove_name(NAME);
    assert_eq!(
        read(&session, "example.org/docs/a.txt").await.unwrap(),
        b"a"
    );
    let asked = host.node.log();
    let names = |call: &&Call| matches!(call, Call::Resolve { .. });
    assert_eq!(asked.iter().filter(names).count(), 0, "{asked:?}");
    assert_eq!(host.node.blocks_asked(&other), 0);
    // Fixed again, the name has the new target. A name may stand for a file.
    host.node.set_name(NAME, other, "", None);
    let anew = host.mode.fix(&name(NAME)).await.unwrap();
    assert_eq!(*anew.target(), other);
    assert_eq!(read(&guest(&host, &anew), NAME).await.unwrap(), b"other");
}

#[tokio::test]
async fn blocks_below_a_name_are_asked_for_by_what_the_node_said_and_verified() {
    let (host, root) = host().await;
    let fixed = host.mode.fix(&name(NAME)).await.unwrap();
    let session = guest(&host, &fixed);
    host.node.clear_log();
    host.node.script(When::any_block(), Fault::WrongBytes);
    let error = read(&session, "example.org/index.html").await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    host.node.clear_script();
    read(&session, "example.org/index.html").await.unwrap();
    for call in host.node.log() {
        if let Call::Block { origin, .. } = call {
            assert_eq!(origin.root, root);
            assert!(origin.path.starts_with("site"), "{origin:?}");
        }
    }
}

#[tokio::test]
async fn each_failure_names_the_name() {
    let (host, root) = host().await;
    let fix = async |text: &str| host.mode.fix(&name(text)).await.unwrap_err();
    let error = fix("nowhere.example").await;
    assert!(
        matches!(&error, Error::Name { name, source: PinnerError::NameNotFound { .. } }
            if name == "nowhere.example"),
        "{error:?}"
    );
    host.node
        .set_name("broken.example", root, "site/none", None);
    let error = fix("broken.example").await;
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    host.node.set_name("above.example", root, "..", None);
    let error = fix("above.example").await;
    assert!(matches!(error, Error::Name { .. }), "{error:?}");

    // A backend that turns out not to resolve names after all.
    let none = PinnerError::Unsupported {
        operation: "resolve",
    };
    host.node
        .script(When::resolve().first(1), Fault::Error(none));
    let error = fix(NAME).await;
    assert!(
        matches!(&error, Error::NoNames { name } if name == NAME),
        "{error:?}"
    );

    let plain = MockNode::builder()
        .capabilities(Capabilities::blocks_only())
        .build();
    let without = Host::new(&plain, BUDGET).await;
    let error = without.mode.fix(&name(NAME)).await.unwrap_err();
    assert!(matches!(&error, Error::NoNames { name } if name == NAME));
    assert!(error.to_string().contains("/ipns/example.org"), "{error}");
}

#[tokio::test]
async fn a_node_that_never_answers_is_given_up() {
    let node = MockNode::new();
    let root = tree(&node);
    node.set_name(NAME, root, "site", None);
    let deadline = Duration::from_millis(100);
    let host = Host::with(&node, |pinset| pinset.block_deadline(deadline), BUDGET).await;
    node.script(When::resolve(), Fault::Hang);
    let error = host.mode.fix(&name(NAME)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Name { source: PinnerError::TimedOut { after, .. }, .. }
            if *after == deadline),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_name_takes_nothing_from_whoever_may_ask_for_anything() {
    let (host, root) = host().await;
    let fixed = host.mode.fix(&name(NAME)).await.unwrap();
    let session = host
        .mode
        .session_with_names(Access::Any, Limits::default(), [fixed]);
    assert!(session.access().allows(&root.into()));
    session.open(&ipfs(&format!("/ipfs/{root}"))).await.unwrap();
}
