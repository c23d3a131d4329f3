//! Pins are made beside the reads, kept while in use, and released at the end. No pin harms the node (I5).

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use ipld_dagpb::{PbLink, PbNode};
use pinner_api::{
    Answer, BlockRequest, Capabilities, Cid, Holder, Names, Pin, PinDepth, Pinner, PinnerError,
    SourceId, Verdict,
};
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{CacheMode, Error, PinsetBuilder};
use test_support::{
    content::{MIB, add_file, stream},
    until,
};

use crate::{host::Host, pinsets::ipfs};

const BUDGET: u64 = 64 << 20;

#[tokio::test]
async fn an_opened_target_of_several_blocks_gets_a_lazy_pin_and_a_single_block_none() {
    let node = MockNode::new();
    let large = add_file(&node, &stream(3 * MIB), Profile::default());
    let small = add_file(&node, &stream(1000), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    host.read(&format!("/ipfs/{small}")).await;
    let file = host.file(&format!("/ipfs/{large}")).await;
    until("the pin", || !node.pinned().is_empty()).await;
    let pins = node.pinned();
    assert_eq!(pins.len(), 1);
    assert_eq!((pins[0].root, pins[0].depth), (large, PinDepth::Lazy));
    assert_eq!(pins[0].holder, host.mode.holder());
    // The pin is kept after the handle is closed, and made only once.
    drop(file);
    host.read(&format!("/ipfs/{large}")).await;
    assert_eq!(node.stats().pins, 1);
    until("the count", || host.mode.stats().pins_held == 1).await;
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{large}")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Closed));
}

#[tokio::test]
async fn a_full_queue_drops_pins_and_counts_them() {
    let node = MockNode::new();
    let gate = Gate::new();
    node.script(When::any_pin(), Fault::HangUntil(gate.clone()));
    let host = Host::new(&node, BUDGET).await;
    for n in 0..300 {
        let cid = add_file(&node, &stream(MIB + 1 + n), Profile::default());
        host.file(&format!("/ipfs/{cid}")).await;
    }
    let dropped = host.mode.stats().pins_dropped;
    // The queue has room for 256. Fewer fit into the budget, at about 1 MiB each.
    assert!(dropped > 0, "{dropped}");
    gate.open();
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn pins_over_the_budget_give_way_to_newer_ones() {
    let node = MockNode::new();
    let host = Host::new(&node, 8 << 20).await;
    for n in 0..6 {
        let cid = add_file(&node, &stream(3 * MIB + n), Profile::default());
        host.read(&format!("/ipfs/{cid}")).await;
        until("the pin", || {
            node.pinned().iter().any(|pin| pin.root == cid)
        })
        .await;
    }
    until("the releases", || node.pinned().len() <= 2).await;
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn whole_pins_are_shared_by_those_who_ask_at_once() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(3 * MIB), Profile::default());
    let dir = tempfile::tempdir().unwrap();
    let pinset =
        PinsetBuilder::new(Arc::new(node.clone()), BUDGET).lock_dir(dir.path().join("lock"));
    // An isolated pinset does not pin twice either.
    let mode: CacheMode = pinset.isolated().await.unwrap();
    let mode = Arc::new(mode);
    let gate = Gate::new();
    node.script(When::any_pin(), Fault::HangUntil(gate.clone()));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let mode = mode.clone();
            tokio::spawn(async move { mode.ensure(&cid).await })
        })
        .collect();
    gate.reached(1).await;
    // No lock is held meanwhile, so others can read.
    mode.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap();
    callers[0].abort();
    gate.open();
    for (n, caller) in callers.into_iter().enumerate() {
        match caller.await {
            Ok(answer) => answer.unwrap(),
            Err(error) => assert!(error.is_cancelled() && n == 0),
        }
    }
    let recursive = |pin: &pinner_api::Pin| pin.depth == PinDepth::Recursive;
    assert_eq!(node.pinned().into_iter().filter(recursive).count(), 1);
    mode.ensure(&cid).await.unwrap();
    mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn a_whole_pin_that_fails_fails_for_all_and_leaves_nothing() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(3 * MIB), Profile::default());
    let leaf = node
        .blocks()
        .into_iter()
        .find(|block| *block != cid)
        .unwrap();
    node.remove(&leaf);
    let host = Host::new(&node, BUDGET).await;
    let (one, two) = tokio::join!(host.mode.ensure(&cid), host.mode.ensure(&cid));
    for result in [one, two] {
        let error = result.unwrap_err();
        let Error::Pin {
            source: PinnerError::NotFound { .. },
            ..
        } = error
        else {
            panic!("{error}");
        };
    }
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn more_than_the_budget_is_refused_before_any_pin() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(9 * MIB), Profile::default());
    let host = Host::new(&node, 8 << 20).await;
    let error = host.mode.ensure(&cid).await.unwrap_err();
    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
    assert_eq!(node.stats().pins, 0);
}

#[tokio::test]
async fn what_the_backend_lacks_is_said_or_gone_without() {
    let node = MockNode::builder()
        .capabilities(Capabilities::blocks_only())
        .build();
    let bytes = stream(3 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::new(&node, BUDGET).await;
    assert_eq!(host.read(&format!("/ipfs/{cid}")).await, bytes);
    let error = host.mode.ensure(&cid).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Pin {
            source: PinnerError::Unsupported { .. },
            ..
        }
    ));
    assert_eq!(node.stats().pins, 0);
    host.mode.close().await.unwrap();
}

/// A DAG on which a node's garbage collection could fail is never pinned, not even before it is fetched, when nothing
/// distinguishes it from a sound one.
#[tokio::test]
async fn only_what_leads_to_raw_blocks_alone_is_pinned_lazily() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let link = |name: &str, cid, size| PbLink {
        cid,
        name: Some(name.to_owned()),
        size: Some(size),
    };
    let leaf = node.put(0x55, &b"0123456789"[..]);
    let garbage = node.put(0x70, &b"\xff\xff\xff"[..]);
    let md5 = cid::Cid::new_v1(
        0x55,
        cid::multihash::Multihash::wrap(0xd5, &[1; 32]).unwrap(),
    );
    let cbor = node.put(0x71, &b"\xff"[..]);
    // A file with filesize 20 and blocksizes 10 and 10; and a directory.
    let file = |second| PbNode {
        links: vec![link("", leaf, 10), link("", second, 10)],
        data: Some(Bytes::from_static(&[0x08, 2, 0x18, 20, 0x20, 10, 0x20, 10])),
    };
    let directory = |entry| PbNode {
        links: vec![link("entry", entry, 10), link("leaf", leaf, 10)],
        data: Some(Bytes::from_static(&[0x08, 1])),
    };
    let dag_pb_leaves = add_file(&node, &stream(3 * 256 * 1024), Profile::UnixfsV0_2015);
    let mut refused = vec![dag_pb_leaves];
    for below in [garbage, md5, cbor] {
        for block in [file(below), directory(below)] {
            refused.push(node.put(0x70, block.into_bytes()));
        }
    }
    // This one looks sound, but the collector would meet the bad block two levels below.
    let above = file(refused[1]).into_bytes();
    refused.push(node.put(0x70, above));
    for root in refused {
        _ = host
            .mode
            .open(&ipfs(&format!("/ipfs/{root}")))
            .await
            .unwrap();
    }
    // One after the other: when these pins exist, any pin queued before them would exist too.
    for block in [file(leaf), directory(leaf)] {
        let root = node.put(0x70, block.into_bytes());
        _ = host
            .mode
            .open(&ipfs(&format!("/ipfs/{root}")))
            .await
            .unwrap();
        until("the pin", || {
            node.pinned().iter().any(|pin| pin.root == root)
        })
        .await;
    }
    assert_eq!(node.stats().pins, 2);
    node.collect_garbage().unwrap();
}

#[tokio::test]
async fn a_pin_that_fails_is_counted_and_hinders_no_read() {
    let node = MockNode::new();
    let bytes = stream(3 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    node.script(
        When::any_pin(),
        Fault::Error(PinnerError::Unavailable {
            operation: "pin".into(),
            source: None,
        }),
    );
    let host = Host::new(&node, BUDGET).await;
    assert_eq!(host.read(&format!("/ipfs/{cid}")).await, bytes);
    until("the failure", || host.mode.stats().pin_failures > 0).await;
    assert_eq!(host.mode.stats().pins_held, 0);
    host.mode.close().await.unwrap();
}

#[tokio::test]
async fn the_pin_of_an_open_target_stays_whatever_else_is_opened() {
    let node = MockNode::new();
    let host = Host::new(&node, 8 << 20).await;
    let is_pinned = |cid| node.pinned().iter().any(|pin| pin.root == cid);
    let held = add_file(&node, &stream(3 * MIB), Profile::default());
    let file = host.file(&format!("/ipfs/{held}")).await;
    until("the pin", || is_pinned(held)).await;
    let open_others = async |salt: usize| {
        for n in 0..5 {
            let cid = add_file(&node, &stream(3 * MIB + salt + n), Profile::default());
            host.read(&format!("/ipfs/{cid}")).await;
            until("another's pin", || is_pinned(cid)).await;
        }
    };
    open_others(10).await;
    until("the others' releases", || node.stats().unpins == 4).await;
    assert!(is_pinned(held), "it was released while it was open");
    drop(file);
    open_others(20).await;
    until("its release", || !is_pinned(held)).await;
    host.mode.close().await.unwrap();
    assert_eq!(host.mode.stats().pins_unreleased, 0);
}

#[tokio::test]
async fn a_whole_pin_that_closing_overtakes_is_released_by_whoever_made_it() {
    for cancelled in [false, true] {
        let node = MockNode::new();
        let cid = add_file(&node, &stream(3 * MIB), Profile::default());
        let host = Arc::new(Host::new(&node, BUDGET).await);
        let gate = Gate::new();
        // The pin takes effect even if the caller is cancelled.
        node.script(When::pin(&cid), Fault::HangUntil(gate.clone()));
        let ensuring = {
            let host = host.clone();
            tokio::spawn(async move { host.mode.ensure(&cid).await })
        };
        gate.reached(1).await;
        host.mode.close().await.unwrap();
        // The pin may be made at any moment, so the mark that proves whose it is stays.
        assert_eq!(marked_locks(&host), 1);
        if cancelled {
            ensuring.abort();
            assert!(ensuring.await.unwrap_err().is_cancelled());
        } else {
            gate.open();
            let overtaken = ensuring.await.unwrap();
            assert!(matches!(overtaken, Err(Error::Closed)), "{overtaken:?}");
        }
        until("the release", || node.stats().unpins > 0).await;
        until("the end of the mark", || marked_locks(&host) == 0).await;
        assert!(node.pinned().is_empty());
        assert_eq!(host.mode.stats().pins_unreleased, 0);
    }
}

/// Counts the locks with the mark that pins of their holders may remain.
fn marked_locks(host: &Host) -> usize {
    let locks = std::fs::read_dir(host.dir.path().join("lock")).unwrap();
    locks
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".lock"))
        .filter(|entry| entry.metadata().unwrap().len() > 0)
        .count()
}

#[tokio::test]
async fn a_node_that_answers_no_release_is_not_asked_for_each() {
    let node = MockNode::new();
    let deadline = Duration::from_millis(50);
    let host = Host::with(&node, |pinset| pinset.block_deadline(deadline), BUDGET).await;
    for n in 0..12 {
        let cid = add_file(&node, &stream(2 * MIB + n), Profile::default());
        host.file(&format!("/ipfs/{cid}")).await;
        until("the pin", || host.mode.stats().pins_held == n as u64 + 1).await;
    }
    node.script(When::any_unpin(), Fault::Hang);
    let error = host.mode.close().await.unwrap_err();
    let Error::Pin {
        source: PinnerError::TimedOut { .. },
        ..
    } = error
    else {
        panic!("{error}");
    };
    let stats = host.mode.stats();
    assert_eq!((stats.pins_held, stats.pins_unreleased), (0, 12));
    assert!(stats.pin_failures >= 1 && node.stats().unpins < 12);
    assert_eq!(marked_locks(&host), 1);
    node.clear_script();
    host.mode.close().await.unwrap();
    assert_eq!(host.mode.stats().pins_unreleased, 0);
    assert!(node.pinned().is_empty());
}

/// A node whose `pin` blocks the thread that polls it until the test lets it go on, like a thread that is descheduled
/// there.
#[derive(Debug)]
struct Descheduled {
    node: MockNode,
    there: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

#[deny(
    clippy::missing_trait_methods,
    reason = "a wrapper forwards every method"
)]
#[async_trait]
impl Pinner for Descheduled {
    fn capabilities(&self) -> Capabilities {
        self.node.capabilities()
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        self.node.block(request).await
    }

    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        self.node.verdict(request, source, verdict);
    }

    fn concurrency(&self) -> usize {
        self.node.concurrency()
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        self.there.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        self.node.pin(holder, root, depth).await
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.node.unpin(holder, root).await
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        self.node.pins()
    }

    fn names(&self) -> Option<&dyn Names> {
        self.node.names()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_release_overtakes_the_pin_that_it_is_for() {
    let node = MockNode::new();
    let cid = add_file(&node, &stream(3 * MIB), Profile::default());
    let (there, is_there) = mpsc::sync_channel(1);
    let (let_go, go_on) = mpsc::channel();
    let pinner = Arc::new(Descheduled {
        node: node.clone(),
        there,
        go_on: Mutex::new(go_on),
    });
    let dir = tempfile::tempdir().unwrap();
    let pinset = PinsetBuilder::new(pinner, BUDGET).lock_dir(dir.path().join("lock"));
    let mode: Arc<CacheMode> = Arc::new(pinset.shared().await.unwrap());
    mode.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap();
    tokio::task::spawn_blocking(move || is_there.recv().unwrap())
        .await
        .unwrap();
    let closing = {
        let mode = mode.clone();
        tokio::spawn(async move { mode.close().await })
    };
    // This is long enough for a release that does not wait for the pin, which is the only possible mistake.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(node.stats().unpins, 0, "it overtook the pin");
    }
    let_go.send(()).unwrap();
    closing.await.unwrap().unwrap();
    assert!(node.pinned().is_empty());
}

#[tokio::test]
async fn a_single_block_can_be_held_whole() {
    let node = MockNode::new();
    let small = add_file(&node, &stream(1000), Profile::default());
    let host = Host::new(&node, BUDGET).await;
    host.mode.ensure(&small).await.unwrap();
    let depths: Vec<_> = node.pinned().iter().map(|pin| pin.depth).collect();
    assert_eq!(depths, [PinDepth::Recursive]);
    assert!(host.file(&format!("/ipfs/{small}")).await.len() == 1000);
    host.mode.close().await.unwrap();
    assert!(node.pinned().is_empty());
}
