//! Scripted faults happen at the calls they were scripted for, and at no other.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use pinner_api::{
    BlockRequest, Cid, MAX_BLOCK, Names, Origin, PinDepth, Pinner, PinnerError, SourceId, Verdict,
};
use pinner_mock::{Call, Fault, Gate, MockNode, Oversize, When};
use tokio::time::Instant;

use crate::holder;

const RAW: u64 = 0x55;

async fn ask(node: &MockNode, cid: &Cid) -> Result<Bytes, PinnerError> {
    let answer = node.block(&BlockRequest::new(*cid)).await?;
    Ok(answer.bytes)
}

fn unavailable() -> PinnerError {
    PinnerError::Unavailable {
        operation: "scripted".into(),
        source: None,
    }
}

#[tokio::test]
async fn calls_are_counted_from_the_script_on() {
    let node = MockNode::new();
    let [a, b] = ["a", "b"].map(|text| node.put(RAW, text));
    ask(&node, &a).await.expect("before the script");
    node.script(When::any_block().nth(2), Fault::Error(unavailable()));
    node.script(When::block(&b).first(2), Fault::Missing);

    let mut outcomes = Vec::new();
    for cid in [&a, &a, &b, &b, &b, &a] {
        outcomes.push(ask(&node, cid).await);
    }
    assert!(outcomes[0].is_ok());
    assert!(matches!(&outcomes[1], Err(PinnerError::Unavailable { .. })));
    assert!(matches!(&outcomes[2], Err(PinnerError::NotFound { cid }) if *cid == b));
    assert!(matches!(&outcomes[3], Err(PinnerError::NotFound { .. })));
    assert!(outcomes[4].is_ok() && outcomes[5].is_ok());

    node.script(When::any_block().from_nth(2), Fault::Missing);
    assert!(ask(&node, &a).await.is_ok());
    assert!(ask(&node, &a).await.is_err());
    assert!(ask(&node, &b).await.is_err());
    node.clear_script();
    assert!(ask(&node, &b).await.is_ok());
}

#[tokio::test]
async fn a_rule_for_a_cid_is_for_its_multihash() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    node.script(When::block(&cid), Fault::Missing);
    let other_codec = Cid::new_v1(0x70, *cid.hash());
    assert!(ask(&node, &other_codec).await.is_err());
    assert_eq!(node.blocks_asked(&cid), 1);
}

#[tokio::test]
async fn bytes_go_wrong_as_ordered() {
    let node = MockNode::new();
    let [full, empty] = [&b"0123456789"[..], b""].map(|bytes| node.put(RAW, bytes));
    let absent = MockNode::new().put(RAW, "elsewhere");

    node.script(When::any_block().first(2), Fault::WrongBytes);
    let flipped = ask(&node, &full).await.expect("wrong bytes");
    assert_eq!(flipped.as_ref(), b"0123446789");
    assert_eq!(ask(&node, &empty).await.expect("wrong bytes").len(), 1);

    node.script(When::any_block().first(2), Fault::Truncated(4));
    assert_eq!(ask(&node, &full).await.expect("truncated"), "0123");
    assert_eq!(ask(&node, &empty).await.expect("truncated"), "");

    let other = Fault::Replaced("other".into());
    node.script(When::block(&absent), other);
    assert_eq!(ask(&node, &absent).await.expect("replaced"), "other");

    let noticed = Fault::Oversize(Oversize::Noticed);
    node.script(When::block(&full).nth(1), noticed);
    let corrupt = ask(&node, &full).await;
    assert!(matches!(corrupt, Err(PinnerError::Corrupt { .. })));
    let handed_out = Fault::Oversize(Oversize::HandedOut);
    node.script(When::block(&full).nth(1), handed_out);
    let bytes = ask(&node, &full).await.expect("handed out");
    assert_eq!(bytes.len(), MAX_BLOCK + 1);

    // The faults came from the script alone: the stored block is whole.
    assert_eq!(ask(&node, &full).await.expect("whole"), "0123456789");
}

#[tokio::test]
async fn lies_are_stored_and_told() {
    let node = MockNode::new();
    let cid = node.put(RAW, "truth");
    assert!(node.put_block(cid, "lie").is_err());
    assert_eq!(ask(&node, &cid).await.expect("stored"), "truth");
    node.put_unchecked(cid, "lie");
    assert_eq!(ask(&node, &cid).await.expect("stored"), "lie");
    node.put_unchecked(cid, vec![0; MAX_BLOCK + 1]);
    let too_large = ask(&node, &cid).await;
    assert!(matches!(too_large, Err(PinnerError::Corrupt { .. })));
}

#[tokio::test]
async fn rules_of_one_call_apply_in_their_order() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    node.script(When::any_block(), Fault::Replaced("0123".into()));
    node.script(When::any_block(), Fault::Truncated(2));
    assert_eq!(ask(&node, &cid).await.expect("both"), "01");
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_on_the_clock_of_tokio() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    node.script(When::any_block(), Fault::Delay(Duration::from_secs(3600)));
    let before = Instant::now();
    assert_eq!(ask(&node, &cid).await.expect("late"), "x");
    assert_eq!(before.elapsed().as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_keeps_the_deadline_and_a_broken_backend_does_not() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    let in_seconds = |seconds| {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        BlockRequest::new(cid).with_deadline(deadline.into_std())
    };
    node.script(
        When::any_block().first(3),
        Fault::Delay(Duration::from_secs(9)),
    );
    let before = Instant::now();
    assert!(node.block(&in_seconds(10)).await.is_ok());
    assert_eq!(before.elapsed().as_secs(), 9);
    match node.block(&in_seconds(3)).await {
        Err(PinnerError::TimedOut { after, .. }) => assert_eq!(after.as_secs(), 3),
        other => panic!("{other:?}"),
    }
    assert_eq!(before.elapsed().as_secs(), 12);
    // The script does not count a late request.
    let late = node.block(&in_seconds(0)).await;
    assert!(matches!(late, Err(PinnerError::TimedOut { after, .. }) if after.is_zero()));
    assert!(node.block(&in_seconds(9)).await.is_ok());
    assert_eq!((node.stats().blocks, before.elapsed().as_secs()), (4, 21));

    node.script(When::any_block(), Fault::Hang);
    let request = in_seconds(3);
    let hangs = tokio::time::timeout(Duration::from_secs(99), node.block(&request));
    assert!(hangs.await.is_err());
    assert_eq!(node.stats().in_flight, 0);
}

#[tokio::test]
async fn a_panic_fails_one_call() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    node.script(When::any_block().nth(1), Fault::Panic);
    node.script(When::any_block().nth(2), Fault::PanicInTask);
    node.script(When::any_pin(), Fault::Panic);
    let asked = {
        let node = node.clone();
        tokio::spawn(async move { ask(&node, &cid).await })
    };
    assert!(asked.await.is_err_and(|stopped| stopped.is_panic()));
    match ask(&node, &cid).await {
        Err(error @ PinnerError::Unavailable { .. }) => {
            let cause = error.source().expect("a cause").to_string();
            assert!(cause.contains("panic"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    let pinned = {
        let node = node.clone();
        tokio::spawn(async move { node.pin(&holder(), &cid, PinDepth::Lazy).await })
    };
    assert!(pinned.await.is_err_and(|stopped| stopped.is_panic()));
    assert!(node.pinned().is_empty());
    assert_eq!(ask(&node, &cid).await.expect("the next call"), "x");
    assert_eq!((node.stats().blocks, node.stats().in_flight), (3, 0));
}

#[tokio::test]
async fn the_log_has_the_whole_request_and_the_verdicts() {
    let source = SourceId::new("the mock");
    let builder = MockNode::builder().source(source.clone()).concurrency(3);
    let node = builder.build();
    assert_eq!(node.concurrency(), 3);
    let cid = node.put(RAW, "x");
    let deadline = Instant::now().into_std() + Duration::from_secs(60);
    let request = BlockRequest::new(cid).with_deadline(deadline);
    let request = request.avoiding([SourceId::new("another")]);
    let answer = node.block(&request).await.expect("a block");
    assert_eq!(answer.source, Some(source));
    node.verdict(&request, answer.source.as_ref(), Verdict::Right);
    node.verdict(&request, None, Verdict::Wrong);
    let [
        Call::Block {
            deadline: by,
            avoid,
            ..
        },
    ] = &node.log()[..]
    else {
        panic!("{:?}", node.log());
    };
    assert_eq!((*by, &avoid[..]), (Some(deadline), request.avoid()));
    let verdicts = node.verdicts();
    assert!(verdicts.iter().all(|judged| judged.cid == cid));
    let [right, wrong] = [0, 1].map(|n| (verdicts[n].source.clone(), verdicts[n].verdict));
    assert_eq!(right, (answer.source, Verdict::Right));
    assert_eq!(wrong, (None, Verdict::Wrong));
    node.clear_log();
    assert!(node.verdicts().is_empty());
}

#[tokio::test]
async fn a_gate_holds_calls_until_it_is_opened() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    let gate = Gate::new();
    node.script(When::block(&cid), Fault::HangUntil(gate.clone()));
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { ask(&node, &cid).await })
        })
        .collect();
    gate.reached(3).await;
    assert_eq!(node.stats().in_flight, 3);
    // One call is dropped, and no longer waits.
    calls[0].abort();
    let mut calls = calls.into_iter();
    assert!(calls.next().expect("three").await.is_err());
    assert_eq!((gate.waiting(), node.stats().in_flight), (2, 2));
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("not aborted").expect("a block"), "x");
    }
    gate.deserted().await;
    assert_eq!(node.stats().in_flight, 0);
    assert_eq!(node.stats().in_flight_max, 3);
    ask(&node, &cid).await.expect("an open gate holds nobody");
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_by_being_dropped_and_has_no_effect() {
    let node = MockNode::new();
    let cid = node.put(RAW, "x");
    node.script(When::any_pin().nth(1), Fault::Hang);
    let holder = holder();
    let pin = node.pin(&holder, &cid, PinDepth::Lazy);
    assert!(
        tokio::time::timeout(Duration::from_secs(9), pin)
            .await
            .is_err()
    );
    assert!(node.pinned().is_empty());
    assert_eq!(node.stats().in_flight, 0);
    node.pin(&holder, &cid, PinDepth::Lazy)
        .await
        .expect("the second");
    assert_eq!(node.pinned().len(), 1);
}

#[tokio::test]
async fn pins_fail_before_and_after_their_effect() {
    let node = MockNode::new();
    let [a, b] = ["a", "b"].map(|text| node.put(RAW, text));
    node.script(When::pin(&a).nth(1), Fault::Error(unavailable()));
    node.script(When::pin(&a).nth(2), Fault::ErrorAfter(unavailable()));
    for pinned in [0, 1] {
        assert!(node.pin(&holder(), &a, PinDepth::Recursive).await.is_err());
        assert_eq!(node.pinned().len(), pinned);
    }
    node.pin(&holder(), &b, PinDepth::Lazy)
        .await
        .expect("no rule");

    node.script(When::unpin(&a).nth(1), Fault::Error(unavailable()));
    node.script(When::any_unpin().nth(2), Fault::ErrorAfter(unavailable()));
    for pinned in [2, 1] {
        assert!(node.unpin(&holder(), &a).await.is_err());
        assert_eq!(node.pinned().len(), pinned);
    }

    node.pin(&holder(), &a, PinDepth::Lazy).await.expect("pin");
    node.script(When::pins().nth(1), Fault::Error(unavailable()));
    node.script(When::pins().nth(2), Fault::ErrorAfter(unavailable()));
    for came in [0, 1] {
        let mut seen = 0;
        let ended = node.pins().try_for_each(|_| {
            seen += 1;
            std::future::ready(Ok(()))
        });
        assert!(ended.await.is_err());
        assert_eq!(seen, came);
    }
    let all: Vec<_> = node.pins().try_collect().await.expect("no rule left");
    assert_eq!(all, node.pinned());
}

#[tokio::test]
async fn names_resolve_and_go_missing() {
    let node = MockNode::new();
    let root = node.put(RAW, "x");
    let ttl = Some(Duration::from_secs(60));
    node.set_name("example.org", root, "a/b", ttl);
    let resolved = node.resolve("example.org").await.expect("a name");
    assert_eq!((resolved.root, resolved.path.as_str()), (root, "a/b"));
    assert_eq!(resolved.ttl, ttl);
    node.script(When::resolve().nth(1), Fault::Missing);
    let missing = node.resolve("example.org").await;
    assert!(matches!(missing, Err(PinnerError::NameNotFound { name }) if name == "example.org"));
    assert!(node.remove_name("example.org"));
    assert!(node.resolve("example.org").await.is_err());
}

#[tokio::test]
async fn the_log_and_the_counters_agree() {
    let node = MockNode::new();
    let cid = node.put(RAW, "four");
    let away = MockNode::new().put(RAW, "away");
    node.put_remote(away, "away");
    let origin = Origin::new(cid, "a/b");
    for cid in [&cid, &cid, &away] {
        let request = BlockRequest::new(*cid).with_origin(origin.clone());
        node.block(&request).await.expect("a block");
    }
    node.pin(&holder(), &cid, PinDepth::Lazy)
        .await
        .expect("pin");
    node.unpin(&holder(), &cid).await.expect("unpin");
    let _: Vec<_> = node.pins().try_collect().await.expect("pins");
    assert!(node.resolve("nothing").await.is_err());

    let stats = node.stats();
    assert_eq!((stats.blocks, stats.bytes, stats.fetched), (3, 12, 1));
    assert_eq!((stats.pins, stats.unpins), (1, 1));
    assert_eq!((stats.listings, stats.resolutions), (1, 1));
    assert_eq!((node.blocks_asked(&cid), node.blocks_asked(&away)), (2, 1));
    assert_eq!(node.distinct_blocks_asked(), 2);
    let log = node.log();
    assert_eq!(log.len(), 7);
    let first = Call::Block {
        cid,
        origin,
        deadline: None,
        avoid: Vec::new(),
    };
    assert_eq!(log[0], first);
    assert_eq!(log[5], Call::Pins);

    node.clear_log();
    assert!(node.log().is_empty());
    assert_eq!((node.stats().blocks, node.blocks_asked(&cid)), (0, 0));
    node.record(pinner_mock::Recording::Counters);
    ask(&node, &cid).await.expect("a block");
    assert!(node.log().is_empty());
    assert_eq!(node.blocks_asked(&cid), 1);
}

#[test]
#[should_panic(expected = "script it for another")]
fn a_pin_has_no_bytes_to_be_wrong() {
    MockNode::new().script(When::any_pin(), Fault::WrongBytes);
}
