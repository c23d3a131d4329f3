//! `block`: the right bytes, and nothing else.

use cid::Cid;
use futures_util::StreamExt;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{BlockRequest, MAX_BLOCK, Origin, PinnerError};

use crate::{
    Block, Content, Dag, Elsewhere, Failure, Oversize, Start,
    cases::subject::{PATIENCE, Subject, abandon, same_bytes},
    dag::{DAG_CBOR, DAG_PB, RAW},
    failure::{Outcome, ensure, ensure_eq},
};

async fn comes_back(start: Start, block: Block) -> Outcome {
    let it = Subject::over(&start, Content::of([block.clone()])).await?;
    it.reads(&block).await?;
    // A second request has the same answer.
    it.reads(&block).await
}

pub(crate) async fn a_raw_block_comes_back(start: Start) -> Outcome {
    comes_back(start, Block::unique(1000)).await
}

pub(crate) async fn a_dag_pb_block_comes_back(start: Start) -> Outcome {
    comes_back(start, Block::unique_dag_pb(1000)).await
}

pub(crate) async fn an_empty_block_comes_back(start: Start) -> Outcome {
    comes_back(start, Block::new(RAW, "")).await
}

pub(crate) async fn a_block_of_one_byte_comes_back(start: Start) -> Outcome {
    comes_back(start, Block::new(RAW, "1")).await
}

pub(crate) async fn a_block_of_one_mib_comes_back(start: Start) -> Outcome {
    comes_back(start, Block::unique(1 << 20)).await
}

pub(crate) async fn the_largest_block_comes_back(start: Start) -> Outcome {
    comes_back(start, Block::unique(MAX_BLOCK)).await
}

pub(crate) async fn a_block_that_is_too_large_does_not(start: Start) -> Outcome {
    let large = Block::unique(MAX_BLOCK + 1);
    let other = Block::unique(1000);
    let content = Content::of([other.clone()]).with_oversize(large.clone());
    let it = Subject::over(&start, content).await?;
    for _ in 0..2 {
        let got = it.ask(&large.cid).await;
        match (it.abilities().oversize, got) {
            (_, Ok(bytes)) => {
                return Err(Failure::Broken(format!(
                    "a block of {} bytes came back, but at most {MAX_BLOCK} are allowed",
                    bytes.len()
                )));
            }
            (Oversize::Held, Err(error)) => ensure!(
                matches!(error, PinnerError::Corrupt { .. }),
                "a block that is too large: wanted Corrupt, got {error:?}"
            ),
            (Oversize::Refused, Err(error)) => {
                it.says_absent("a block that was refused", &error)?
            }
        }
        // It does no harm to other blocks.
        it.reads(&other).await?;
    }
    Ok(())
}

pub(crate) async fn v0_and_v1_of_one_multihash_are_one_block(start: Start) -> Outcome {
    let block = Block::unique_dag_pb(500);
    let it = Subject::over(&start, Content::of([block.clone()])).await?;
    let v0 = Cid::new_v0(*block.cid.hash()).map_err(|e| Failure::Broken(e.to_string()))?;
    same_bytes(&v0, it.ask(&v0).await, &block.bytes)?;
    it.reads(&block).await
}

pub(crate) async fn another_codec_selects_the_same_block(start: Start) -> Outcome {
    // Real DAGs hold HAMT shards under CIDs of the raw codec.
    let raw = Block::unique(500);
    let dag_pb = Block::unique_dag_pb(500);
    let it = Subject::over(&start, Content::of([raw.clone(), dag_pb.clone()])).await?;
    for (block, codec) in [(&raw, DAG_PB), (&dag_pb, RAW), (&dag_pb, DAG_CBOR)] {
        let cid = Cid::new_v1(codec, *block.cid.hash());
        same_bytes(&cid, it.ask(&cid).await, &block.bytes)?;
    }
    Ok(())
}

pub(crate) async fn an_absent_block_is_not_found(start: Start) -> Outcome {
    let block = Block::unique(100);
    let it = Subject::over(&start, Content::of([block.clone()])).await?;
    it.is_absent(&Block::absent(RAW)).await?;
    it.is_absent(&Block::absent(DAG_PB)).await?;
    it.reads(&block).await
}

pub(crate) async fn an_identity_cid_gives_its_own_data_if_anything(start: Start) -> Outcome {
    let it = Subject::over(&start, Content::default()).await?;
    let own = &b"the data are in the CID"[..];
    // 0x00 is the multihash code of identity, which the code table does not provide.
    let hash = cid::multihash::Multihash::wrap(0x00, own)
        .map_err(|error| Failure::Broken(error.to_string()))?;
    if let Ok(bytes) = it.ask(&Cid::new_v1(RAW, hash)).await {
        ensure_eq("an identity CID's data", bytes.as_ref(), own)?;
    }
    Ok(())
}

pub(crate) async fn a_wrong_origin_changes_nothing(start: Start) -> Outcome {
    let dag = Dag::sample();
    let block = &dag.blocks()[1];
    let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
    let elsewhere = Block::absent(DAG_PB);
    let origins = [
        Origin::root(dag.root()),
        Origin::root(elsewhere),
        Origin::new(elsewhere, "a/b"),
        Origin::new(dag.root(), "no/such path/ä%2e\n"),
        Origin::new(dag.root(), "../.."),
        Origin::new(dag.root(), "/"),
        Origin::new(dag.root(), "x?format=car&offline=true#y"),
    ];
    for origin in origins {
        let request = BlockRequest::new(block.cid).with_origin(origin);
        let got = it.pinner.block(&request).await;
        same_bytes(&block.cid, got.map(|answer| answer.bytes), &block.bytes)?;
    }
    Ok(())
}

/// Requests for these blocks, on the way down from `root`.
fn requests(cids: &[Cid], root: Cid) -> Vec<BlockRequest> {
    let origin = Origin::root(root);
    cids.iter()
        .map(|cid| BlockRequest::new(*cid).with_origin(origin.clone()))
        .collect()
}

pub(crate) async fn what_lies_elsewhere_comes_back(start: Start) -> Outcome {
    let dag = Dag::sample();
    let content = Content::default().with_elsewhere(dag.blocks().iter().cloned());
    let it = Subject::over(&start, content).await?;
    match it.abilities().elsewhere {
        Elsewhere::Reachable => it.reads_all(dag.blocks()).await,
        Elsewhere::Unreachable => it.is_absent(&dag.root()).await,
    }
}

pub(crate) async fn readers_side_by_side_get_what_they_asked_for(start: Start) -> Outcome {
    const READERS: usize = 64;
    let dag = Dag::file(40);
    let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
    let readers: Vec<_> = (0..READERS)
        .map(|n| {
            let pinner = it.pinner.clone();
            let mut blocks = dag.blocks().to_vec();
            // Each in an order of its own, so that calls at the same moment are for different blocks.
            let turn = n % blocks.len();
            blocks.rotate_left(turn);
            tokio::spawn(async move {
                for block in blocks {
                    let got = pinner.block(&BlockRequest::new(block.cid)).await;
                    same_bytes(&block.cid, got.map(|answer| answer.bytes), &block.bytes)?;
                }
                Ok(())
            })
        })
        .collect();
    for reader in readers {
        match reader.await {
            Ok(outcome) => outcome?,
            Err(stopped) => return Err(Failure::Broken(format!("a reader stopped: {stopped}"))),
        }
    }
    Ok(())
}

pub(crate) async fn an_abandoned_read_leaves_it_usable(start: Start) -> Outcome {
    let dag = Dag::file(12);
    let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
    let all: Vec<_> = dag.blocks().iter().map(|block| block.cid).collect();
    let all = requests(&all, dag.root());
    for patience in PATIENCE {
        for block in dag.blocks() {
            if let Some(got) = abandon(patience, it.ask(&block.cid)).await {
                same_bytes(&block.cid, got, &block.bytes)?;
            }
        }
        abandon(patience, it.ask(&it.nowhere())).await;
        // Many calls at once, dropped together, and dropped after the first answer.
        abandon(patience, it.ask_all(&all).count()).await;
        it.ask_all(&all).next().await;
    }
    // No connection, permit or lock was lost with the dropped calls.
    let digest = |bytes: &[u8]| Code::Sha2_256.digest(bytes);
    let answers: Vec<_> = it.ask_all(&all).collect().await;
    ensure_eq("answers after abandoned reads", answers.len(), all.len())?;
    for (cid, answer) in answers {
        let answer = crate::cases::subject::must(answer, || format!("block({cid})"))?;
        ensure_eq(
            "a block after abandoned reads",
            &digest(&answer.bytes),
            cid.hash(),
        )?;
    }
    it.reads_all(dag.blocks()).await
}
