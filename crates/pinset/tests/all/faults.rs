//! Wrong answers of a backend: no reader ever sees a byte of them, none of them is staged, and the next good answer
//! heals the read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use pinner_api::{Answer, BlockRequest, Pinner, PinnerError, SourceId, async_trait};
use pinner_car::Profile;
use pinner_layered::Layered;
use pinner_mock::{Fault, MockNode, Oversize, When};
use pinset::{Error, Node, PinsetBuilder};
use test_support::content::{MIB, add_file, stream};

use crate::{host::Host, pinsets::ipfs, pinsets::read_all};

const BUDGET: u64 = 64 << 20;

/// Each block of a file of several levels is made wrong in every possible way.
#[tokio::test]
async fn wrong_bytes_of_any_block_reach_nobody() {
    let faults = [
        Fault::WrongBytes,
        Fault::Truncated(0),
        Fault::Truncated(10),
        Fault::Replaced(Bytes::from_static(b"something else")),
        Fault::Oversize(Oversize::HandedOut),
        Fault::Oversize(Oversize::Noticed),
    ];
    let node = MockNode::new();
    let bytes = stream(3 * 256 * 1024 + 5);
    let cid = add_file(&node, &bytes, Profile::UnixfsV0_2015);
    for fault in faults {
        for block in node.blocks() {
            let host = Host::new(&node, BUDGET).await;
            node.script(When::block(&block), fault.clone());
            let path = format!("/ipfs/{cid}");
            let read = match host.mode.open(&ipfs(&path)).await {
                Ok(pinset::Node::File(file)) => read_all(&file).await,
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            };
            let error = read
                .map(|read| read.len())
                .expect_err("a wrong block was served");
            assert!(
                matches!(error, Error::Corrupt { .. } | Error::Fetch { .. }),
                "{fault:?}: {error}"
            );
            let stats = host.mode.stats();
            // Read-ahead may have met the fault as well.
            assert!(
                stats.corrupt_blocks + stats.fetch_failures >= 1,
                "{fault:?}"
            );
            // Only right blocks are staged; the wrong one is not.
            assert!(stats.blocks_staged < node.len() as u64);
            node.clear_script();
            assert_eq!(host.read(&path).await, bytes, "{fault:?}: not healed");
        }
    }
}

#[tokio::test]
async fn an_error_keeps_its_kind_and_hurts_just_the_reads_that_need_the_block() {
    let node = MockNode::new();
    let bytes = stream(4 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::new(&node, BUDGET).await;
    let file = host.file(&format!("/ipfs/{cid}")).await;
    // The third leaf is gone.
    node.clear_log();
    file.read_at(2 * MIB as u64, 1).await.unwrap();
    let log = node.log();
    let pinner_mock::Call::Block { cid: third, .. } = &log[0] else {
        panic!("{log:?}");
    };
    let host = Host::new(&node, BUDGET).await;
    let file = host.file(&format!("/ipfs/{cid}")).await;
    let mib = MIB as u64;
    for (fault, is) in [
        (
            Fault::Missing,
            (|e: &PinnerError| matches!(e, PinnerError::NotFound { .. }))
                as fn(&PinnerError) -> bool,
        ),
        (
            Fault::Error(PinnerError::Denied {
                operation: "block".into(),
                reason: "no".into(),
            }),
            |e| matches!(e, PinnerError::Denied { .. }),
        ),
    ] {
        node.clear_script();
        node.script(When::block(third), fault);
        let error = file.read_at(2 * mib + 5, 10).await.unwrap_err();
        let Error::Fetch { source, .. } = &error else {
            panic!("{error}");
        };
        assert!(is(source), "{source}");
        for good in [0, 2 * mib - 10, 3 * mib] {
            let read = file.read_at(good, 10).await.unwrap();
            assert_eq!(read, bytes[good as usize..good as usize + 10]);
        }
        // A read that runs into the block fails: an error is not an end of file (I7).
        assert!(file.read_at(2 * mib - 5, 10).await.is_err());
    }
}

#[tokio::test]
async fn a_node_that_hangs_is_given_up_at_the_deadline() {
    let node = MockNode::new();
    let cid = add_file(&node, b"late", Profile::default());
    let deadline = Duration::from_millis(50);
    let host = Host::with(&node, |pinset| pinset.block_deadline(deadline), BUDGET).await;
    node.script(When::any_block(), Fault::Hang);
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{cid}")))
        .await
        .unwrap_err();
    let Error::Fetch {
        source: PinnerError::TimedOut { after, .. },
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(after, deadline);
    node.clear_script();
    assert_eq!(host.read(&format!("/ipfs/{cid}")).await, b"late");
}

#[tokio::test]
async fn an_unknown_root_is_told_from_a_missing_block() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let cid = "bafkreig6ljxxqelozjrnp7c44fm5eoxgxce3gznboonnftzw7es2cqgqzq";
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{cid}/a")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotDirectory { .. }), "{error}");
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{cid}")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::RootNotFound { .. }), "{error}");
    let unavailable = PinnerError::Unavailable {
        operation: "block".into(),
        source: None,
    };
    node.script(When::any_block(), Fault::Error(unavailable));
    let error = host
        .mode
        .open(&ipfs(&format!("/ipfs/{cid}")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Fetch { .. }), "{error}");
}

/// The empty block is known by its hash and not requested: a node that has to look for it may never get it.
#[tokio::test]
async fn a_block_of_nothing_is_there_without_being_asked_for() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    assert_eq!(host.read(&format!("/ipfs/{empty}")).await, b"");
    assert!(node.log().is_empty());
}

#[tokio::test]
async fn a_source_that_lies_is_not_the_end() {
    let (liar, good) = (MockNode::new(), MockNode::new());
    let bytes = stream(4 * MIB);
    let cid = add_file(&liar, &bytes, Profile::default());
    assert_eq!(add_file(&good, &bytes, Profile::default()), cid);
    liar.script(When::any_block(), Fault::WrongBytes);
    let layered = Layered::builder()
        .source(Arc::new(liar.clone()))
        .source(Arc::new(good.clone()));
    let dir = tempfile::tempdir().unwrap();
    let mode = PinsetBuilder::new(Arc::new(layered.build()), BUDGET)
        .lock_dir(dir.path().join("lock"))
        .shared()
        .await
        .unwrap();
    let Node::File(file) = mode.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap() else {
        panic!("a file");
    };
    assert!(read_all(&file).await.unwrap() == bytes);
    let (stats, lies) = (mode.stats(), liar.stats().blocks);
    assert_eq!((stats.fetch_failures, stats.corrupt_blocks), (0, lies));
    // It rests after its first lie, which the root of the file was.
    assert_eq!(lies, 1);
}

/// A backend that is always wrong, and each time by another source.
#[derive(Debug, Default)]
struct NeverRight(AtomicUsize);

#[async_trait]
impl Pinner for NeverRight {
    async fn block(&self, _request: &BlockRequest) -> Result<Answer, PinnerError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let source = SourceId::new(number.to_string());
        Ok(Answer::from(Bytes::from("wrong")).with_source(source))
    }
}

#[tokio::test]
async fn a_backend_that_never_runs_out_of_wrong_sources_is_given_up() {
    let backend = Arc::new(NeverRight::default());
    let dir = tempfile::tempdir().unwrap();
    let mode = PinsetBuilder::new(backend.clone(), BUDGET)
        .lock_dir(dir.path().join("lock"))
        .shared()
        .await
        .unwrap();
    let cid = MockNode::new().put(0x55, "right");
    let error = mode.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let asked = backend.0.load(Ordering::SeqCst);
    assert!((2..=32).contains(&asked), "{asked} answers were taken");
}
