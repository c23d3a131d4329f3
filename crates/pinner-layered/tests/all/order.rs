//! Which sources are asked, for how long, and the pins on what archives have.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use pinner_api::{BlockRequest, Capabilities, PinDepth, Pinner, PinnerError};
use pinner_layered::{HEDGE, Layered};
use pinner_mock::{Fault, MockNode, When};
use tokio::time::Instant;

use crate::{get, holder, sources};

const HOUR: Duration = Duration::from_secs(3600);

fn failing() -> PinnerError {
    PinnerError::Unavailable {
        operation: "block".into(),
        source: None,
    }
}

fn corrupt() -> PinnerError {
    PinnerError::Corrupt {
        operation: "block".into(),
        reason: "cut off".into(),
    }
}

/// An archive, and a node behind it.
fn layers() -> (MockNode, MockNode, Layered) {
    let can = Capabilities::blocks_only().with_recursive_pins();
    let archive = MockNode::builder().capabilities(can).build();
    let node = MockNode::new();
    let layered = Layered::builder()
        .archive(Arc::new(archive.clone()))
        .keeper(Arc::new(node.clone()))
        .build();
    (archive, node, layered)
}

#[tokio::test]
async fn what_an_archive_has_is_not_asked_for_elsewhere_nor_pinned_there() {
    let (archive, node, layered) = layers();
    let (here, there) = (archive.put(0x55, "here"), node.put(0x55, "there"));
    node.put(0x55, "here");
    for cid in [here, there] {
        get(&layered, &cid).await.unwrap();
        for depth in [PinDepth::Lazy, PinDepth::Recursive] {
            layered.pin(&holder(1), &cid, depth).await.unwrap();
        }
    }
    assert_eq!(node.blocks_asked(&here), 0);
    let pinned = node.pinned();
    assert!(pinned.iter().all(|pin| pin.root == there), "{pinned:?}");
    let listed: Vec<_> = layered.pins().collect().await;
    assert_eq!(listed.len(), 4, "{listed:?}");
    let before = node.stats().unpins;
    layered.unpin(&holder(1), &here).await.unwrap();
    assert_eq!(node.stats().unpins, before);
    layered.unpin(&holder(1), &there).await.unwrap();
    // Another holder's pin on the same root can only be on the node, left by a crash.
    layered.unpin(&holder(2), &here).await.unwrap();
    assert_eq!(node.stats().unpins, before + 2);
    assert_eq!(layered.pins().collect::<Vec<_>>().await.len(), 0);
}

#[tokio::test]
async fn a_damaged_archive_ends_nothing() {
    for error in [corrupt(), failing()] {
        let (archive, node, layered) = layers();
        let cid = archive.put(0x55, "content");
        node.put(0x55, "content");
        archive.script(When::any_block(), Fault::Error(error));
        assert_eq!(get(&layered, &cid).await.unwrap(), "content");
        // Whether it has the root cannot be told, so the node gets the pin.
        layered.pin(&holder(1), &cid, PinDepth::Lazy).await.unwrap();
        assert_eq!((node.blocks_asked(&cid), node.pinned().len()), (1, 1));
        // If the node does not have the block, the failure proves no absence.
        node.remove(&cid);
        let error = get(&layered, &cid).await.unwrap_err();
        assert!(!error.is_absence(), "{error:?}");
    }
}

#[tokio::test]
async fn several_archives_are_asked_in_their_order_and_before_all_others() {
    let [node, first, second] = [(); 3].map(|()| MockNode::new());
    let layered = Layered::builder()
        .source(Arc::new(node.clone()))
        .archive(Arc::new(first.clone()))
        .archive(Arc::new(second.clone()))
        .build();
    let all = [&first, &second, &node].map(|it| it.put(0x55, "everywhere"));
    let some = [&second, &node].map(|it| it.put(0x55, "not in the first"));
    let one = node.put(0x55, "at the node alone");
    for cid in [all[0], some[0], one] {
        get(&layered, &cid).await.unwrap();
    }
    let asked = |node: &MockNode| [all[0], some[0], one].map(|cid| node.blocks_asked(&cid));
    assert_eq!(asked(&first), [1, 1, 1]);
    assert_eq!(asked(&second), [0, 1, 1]);
    assert_eq!(asked(&node), [0, 0, 1]);
    // Without a keeper there are no pins, whatever the sources can do.
    assert!(!layered.capabilities().any_pins() && layered.names().is_none());
    let refused = layered.pin(&holder(1), &one, PinDepth::Lazy).await;
    assert!(matches!(refused, Err(PinnerError::Unsupported { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_takes_long_is_overtaken_and_soon_asked_last() {
    let (slow, good) = (MockNode::new(), MockNode::new());
    let layered = sources(&[&slow, &good]).build();
    slow.script(When::any_block(), Fault::Delay(HOUR));
    let mut asked = Vec::new();
    for number in 0..10_u8 {
        let cid = good.put(0x55, vec![number]);
        slow.put(0x55, vec![number]);
        let started = Instant::now();
        assert_eq!(get(&layered, &cid).await.unwrap(), [number][..]);
        match slow.blocks_asked(&cid) {
            0 => assert!(started.elapsed() < HEDGE),
            _ => assert_eq!(started.elapsed(), HEDGE),
        }
        asked.push(slow.blocks_asked(&cid));
    }
    // One late block may be nowhere; several different ones are the source's fault.
    assert_eq!(asked, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(slow.stats().in_flight, 0, "the calls were dropped");
}

#[tokio::test(start_paused = true)]
async fn an_archive_is_not_overtaken_and_leaves_time_for_the_others() {
    let (archive, node, layered) = layers();
    let cid = archive.put(0x55, "content");
    node.put(0x55, "content");
    archive.script(When::any_block().first(1), Fault::Delay(3 * HEDGE));
    get(&layered, &cid).await.unwrap();
    assert_eq!(node.blocks_asked(&cid), 0);
    archive.script(When::any_block(), Fault::Delay(HOUR));
    let deadline = Instant::now() + 10 * HEDGE;
    let request = BlockRequest::new(cid).with_deadline(deadline.into_std());
    assert_eq!(layered.block(&request).await.unwrap().bytes, "content");
    assert_eq!(deadline - Instant::now(), 5 * HEDGE);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_rests_and_comes_back() {
    for fault in [Fault::Error(failing()), Fault::Panic, Fault::PanicInTask] {
        let (bad, good) = (MockNode::new(), MockNode::new());
        let layered = sources(&[&bad, &good]).build();
        let cid = good.put(0x55, "content");
        bad.put(0x55, "content");
        bad.script(When::any_block().first(1), fault);
        for _ in 0..5 {
            assert_eq!(get(&layered, &cid).await.unwrap(), "content");
        }
        assert_eq!((bad.blocks_asked(&cid), good.blocks_asked(&cid)), (1, 5));
        // It is asked all the same if it alone has a block.
        let alone = bad.put(0x55, "there alone");
        assert_eq!(get(&layered, &alone).await.unwrap(), "there alone");
        // Its success ended the rest.
        get(&layered, &cid).await.unwrap();
        assert_eq!((bad.blocks_asked(&cid), good.blocks_asked(&cid)), (2, 5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_for_a_rest_is_left_alone() {
    let (busy, other) = (MockNode::new(), MockNode::new());
    let layered = sources(&[&busy, &other]).build();
    let cid = busy.put(0x55, "content");
    let limited = |retry_after| PinnerError::RateLimited {
        operation: "block".into(),
        retry_after: Some(retry_after),
    };
    busy.script(
        When::any_block().first(1),
        Fault::Error(limited(Duration::MAX)),
    );
    for _ in 0..3 {
        match get(&layered, &cid).await.unwrap_err() {
            PinnerError::RateLimited { retry_after, .. } => assert!(retry_after.is_some()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(busy.blocks_asked(&cid), 1);
    tokio::time::advance(HOUR).await;
    assert_eq!(get(&layered, &cid).await.unwrap(), "content");
}

#[tokio::test]
async fn the_gravest_error_of_all_is_told_and_an_absence_only_if_all_say_so() {
    let denied = || PinnerError::Denied {
        operation: "block".into(),
        reason: "no".into(),
    };
    for (errors, wanted) in [
        (vec![], "NotFound"),
        (vec![corrupt()], "Corrupt"),
        (vec![corrupt(), denied()], "Denied"),
        (vec![failing(), denied(), corrupt()], "Unavailable"),
    ] {
        let mut nodes = vec![MockNode::new()];
        for error in errors {
            let node = MockNode::new();
            node.script(When::any_block(), Fault::Error(error));
            nodes.push(node);
        }
        let nowhere = MockNode::new().put(0x55, "nowhere");
        for _ in 0..2 {
            let layered = sources(&nodes.iter().collect::<Vec<_>>()).build();
            let error = get(&layered, &nowhere).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(wanted), "{error:?}");
            nodes.reverse();
        }
    }
    let nothing = Layered::builder().build();
    let error = get(&nothing, &MockNode::new().put(0x55, "")).await;
    assert!(error.unwrap_err().is_absence());
}
