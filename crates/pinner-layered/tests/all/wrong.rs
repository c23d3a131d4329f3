//! Wrong blocks: the next source is asked, and the one that had it wrong is asked last.

use std::sync::Arc;

use pinner_api::{BlockRequest, Bytes, Cid, Pinner, PinnerError, SourceId, Verdict};
use pinner_layered::Layered;
use pinner_mock::{Fault, MockNode, When};

use crate::{get, sources};

/// Reads a block as a caller that verifies does, and returns the sources that were asked for it.
async fn verified(layered: &Layered, cid: &Cid, right: &str) -> Vec<String> {
    let mut request = BlockRequest::new(*cid);
    let mut asked = Vec::new();
    loop {
        let answer = layered.block(&request).await.unwrap();
        let source = answer.source.expect("every answer names its source");
        asked.push(source.to_string());
        let is_right = answer.bytes == right;
        let verdict = match is_right {
            true => Verdict::Right,
            false => Verdict::Wrong,
        };
        layered.verdict(&request, Some(&source), verdict);
        if is_right {
            return asked;
        }
        assert!(!request.avoids(&source), "no source is left: {asked:?}");
        request = request.avoiding([source]);
    }
}

#[tokio::test]
async fn a_liar_is_asked_last_from_then_on() {
    let [liar, good] = [(); 2].map(|()| MockNode::new());
    let layered = sources(&[&liar, &good]).build();
    liar.script(When::any_block(), Fault::WrongBytes);
    let [one, two] = ["one", "two"].map(|text| {
        liar.put(0x55, text);
        good.put(0x55, text)
    });
    let asked = verified(&layered, &one, "one").await;
    assert_eq!(asked, ["layer 1", "layer 2"]);
    assert_eq!(verified(&layered, &two, "two").await, ["layer 2"]);
    assert_eq!(get(&layered, &one).await.unwrap(), "one");
    assert_eq!(liar.stats().blocks, 1);
    // If it alone has a block, it is asked.
    let alone = liar.put(0x55, "alone");
    assert_ne!(get(&layered, &alone).await.unwrap(), "alone");
}

#[tokio::test]
async fn a_rotten_block_of_an_archive_says_nothing_about_its_others() {
    let [archive, node] = [(); 2].map(|()| MockNode::new());
    let layered = Layered::builder()
        .archive(Arc::new(archive.clone()))
        .keeper(Arc::new(node.clone()))
        .build();
    let [rotten, sound] = ["rotten", "sound"].map(|text| {
        archive.put(0x55, text);
        node.put(0x55, text)
    });
    archive.script(When::block(&rotten), Fault::WrongBytes);
    let asked = verified(&layered, &rotten, "rotten").await;
    assert_eq!(asked, ["layer 1", "layer 2"]);
    assert_eq!(verified(&layered, &sound, "sound").await, ["layer 1"]);
    // The rotten one is remembered, also under another codec.
    let other = Cid::new_v1(0x70, *rotten.hash());
    assert_eq!(verified(&layered, &other, "rotten").await, ["layer 2"]);
    assert_eq!(node.blocks_asked(&sound), 0);
}

#[tokio::test]
async fn a_source_to_avoid_within_a_layer_does_not_hide_the_next_layer() {
    // The first layer has one source, and names it; it knows nothing of verdicts.
    let named = SourceId::new("http://liar");
    let liar = MockNode::builder().source(named.clone()).build();
    let good = MockNode::new();
    let layered = sources(&[&liar, &good]).build();
    let cid = good.put(0x55, "content");
    liar.put(0x55, "content");
    liar.script(When::any_block(), Fault::WrongBytes);
    let asked = verified(&layered, &cid, "content").await;
    assert_eq!(asked, ["layer 1: http://liar", "layer 2"]);
    // It was told, under its own name, and was asked with its own name to avoid.
    let judged = &liar.verdicts()[0];
    assert_eq!(
        (judged.source.as_ref(), judged.verdict),
        (Some(&named), Verdict::Wrong)
    );
    let told = liar.log().into_iter().filter_map(|call| match call {
        pinner_mock::Call::Block { avoid, .. } => Some(avoid),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [vec![], vec![named]]);
    // Its answer is taken if there is no other: to avoid a source proves no absence.
    good.remove(&cid);
    let request = BlockRequest::new(cid).avoiding([SourceId::new("layer 1: http://liar")]);
    assert!(layered.block(&request).await.is_ok());
    // As long as another one may have the block, that is what is told.
    let unavailable = PinnerError::Unavailable {
        operation: "block".into(),
        source: None,
    };
    good.script(When::any_block(), Fault::Error(unavailable));
    let error = layered.block(&request).await.unwrap_err();
    assert!(error.may_pass(), "{error:?}");
}

#[tokio::test]
async fn a_verdict_reaches_the_backend_that_answered_and_no_other() {
    let one = SourceId::new("the same name");
    let nodes: Vec<_> = [Some(&one), Some(&one), None]
        .into_iter()
        .map(|source| match source {
            Some(source) => MockNode::builder().concurrency(7).source(source.clone()),
            None => MockNode::builder().concurrency(5),
        })
        .map(|builder| builder.build())
        .collect();
    let layered = sources(&nodes.iter().collect::<Vec<_>>()).build();
    assert_eq!(layered.concurrency(), 7);
    let cids: Vec<_> = (0_u8..)
        .zip(&nodes)
        .map(|(number, node)| node.put(0x55, vec![number]))
        .collect();
    for (number, cid) in (0_u8..).zip(&cids) {
        let request = BlockRequest::new(*cid);
        let answer = layered.block(&request).await.unwrap();
        assert_eq!(answer.bytes, Bytes::from(vec![number]));
        layered.verdict(&request, answer.source.as_ref(), Verdict::Wrong);
        // Neither these nor others that it never had change anything.
        for unknown in [None, Some("layer 4"), Some("layer 11"), Some("layer 1 ")] {
            let unknown = unknown.map(SourceId::new);
            layered.verdict(&request, unknown.as_ref(), Verdict::Wrong);
        }
    }
    for ((node, cid), source) in nodes.iter().zip(&cids).zip([Some(&one), Some(&one), None]) {
        let judged = node.verdicts();
        let judged: Vec<_> = judged
            .iter()
            .map(|judged| (judged.cid, judged.source.as_ref()))
            .collect();
        assert_eq!(judged, [(*cid, source)]);
    }
}
