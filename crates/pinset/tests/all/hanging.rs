//! A backend that never answers holds up only those who asked it: no lock is held while they wait.

use futures_util::TryStreamExt;
use std::{sync::Arc, time::Duration};

use cap_std::{ambient_authority, fs::Dir};
use futures_util::StreamExt;
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{Access, Limits, Node, PinsetBuilder};
use test_support::{
    content::{MIB, add, add_file, stream},
    until,
};

use crate::{host::Host, pinsets::ipfs};

/// The time for everything else on a busy machine: far less than the deadline for a block here.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn who_waits_for_the_backend_holds_up_nobody_else() {
    let node = MockNode::new();
    let bytes = stream(3 * MIB);
    let never = add_file(&node, &stream(2 * MIB + 1), Profile::default());
    let good = add_file(&node, &bytes, Profile::default());
    let tree = tempfile::tempdir().unwrap();
    for n in 0..3 {
        std::fs::write(tree.path().join(n.to_string()), stream(1000 + n)).unwrap();
    }
    let tree = add(&node, tree.path(), Profile::default());
    let deadline = |pinset: PinsetBuilder| pinset.block_deadline(Duration::from_secs(3600));
    let host = Arc::new(Host::with(&node, deadline, 64 << 20).await);
    // The file whose leaf never arrives is open.
    let stuck = host.file(&format!("/ipfs/{never}")).await;
    until("its pin", || node.pinned().len() == 1).await;

    let gate = Gate::new();
    let hang = || Fault::HangUntil(gate.clone());
    node.script(When::any_block().first(1), hang());
    let reading = {
        let stuck = stuck.clone();
        tokio::spawn(async move { stuck.read_at(0, 10).await })
    };
    gate.reached(1).await;
    node.script(When::any_pin().first(2), hang());
    // A recursive pin that is never made, and a lazy pin, which occupies the queue's worker.
    let ensuring = {
        let host = host.clone();
        tokio::spawn(async move { host.mode.ensure(&tree).await })
    };
    gate.reached(2).await;
    let path = format!("/ipfs/{good}");
    let everything_else = async {
        let file = host.file(&path).await;
        gate.reached(3).await;
        assert_eq!(host.read(&path).await, bytes);
        assert_eq!(file.try_read_at(0, 10).unwrap().unwrap(), bytes[..10]);
        // The same handle can be read elsewhere.
        assert_eq!(stuck.read_at(2 * MIB as u64, 1).await.unwrap().len(), 1);
        let content: Vec<_> = host.mode.fetch(&good).collect().await;
        assert!(content.iter().all(Result::is_ok));
        let session = host.mode.session(Access::roots([tree]), Limits::default());
        let Node::Dir(dir) = session.open(&ipfs(&format!("/ipfs/{tree}"))).await.unwrap() else {
            panic!("no directory");
        };
        let mut entries = dir.entries().unwrap();
        while entries.try_next().await.unwrap().is_some() {}
        host.mode
            .stat(&ipfs(&format!("/ipfs/{tree}/1")))
            .await
            .unwrap();
        host.mode
            .prefetch(&ipfs(&format!("/ipfs/{tree}")), &())
            .await
            .unwrap();
        let dest = tempfile::tempdir().unwrap();
        let to = Dir::open_ambient_dir(dest.path(), ambient_authority()).unwrap();
        let root = format!("/ipfs/{tree}");
        host.mode
            .materialize(&ipfs(&root), &to, "copy", &())
            .await
            .unwrap();
        // A second recursive pin, on something else.
        host.mode.ensure(&good).await.unwrap();
        assert_eq!(host.mode.stats().pins_held, 2);
        _ = (host.mode.holder(), host.mode.staging_dir());
        // Another pinset on the same lock directory starts and ends.
        let lock_dir = host.dir.path().join("lock");
        let another = PinsetBuilder::new(Arc::new(node.clone()), 8 << 20).lock_dir(lock_dir);
        let another: pinset::CacheMode = another.shared().await.unwrap();
        another.close().await.unwrap();
        // This pinset closes.
        host.mode.close().await.unwrap();
    };
    tokio::time::timeout(PATIENCE, everything_else)
        .await
        .expect("something waits for the backend's answer to somebody else");
    assert!(!reading.is_finished() && !ensuring.is_finished());
    gate.open();
    reading.await.unwrap().unwrap_err();
    ensuring.await.unwrap().unwrap_err();
    until("the last release", || node.pinned().is_empty()).await;
}
