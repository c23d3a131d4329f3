//! The parts of a request beside its CID and origin, which are its deadline and the sources to avoid; and the verdicts
//! that come back to the backend.

use std::{
    sync::mpsc::{self, TryRecvError},
    time::Duration,
};

use futures_util::StreamExt;
use pinner_api::{BlockRequest, PinnerError, SourceId, Verdict};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    Block, Content, Dag, Failure, Start,
    cases::subject::{Subject, cannot, must, same_bytes},
    dag::RAW,
    failure::{Outcome, ensure, ensure_eq},
};

/// How long a call to a slow source gets.
const SHORT: Duration = Duration::from_millis(100);
/// A deadline for a search. A backend that needs several attempts at an answer has time for them on a slow machine too.
const SEARCH: Duration = Duration::from_secs(2);
/// How late a call may end on a busy machine. Far less than a slow source takes, or a backend's own deadline.
const SLACK: Duration = Duration::from_secs(5);
/// How many wrong answers a caller takes before the right one. More than any fixture has sources.
const MOST_LIES: usize = 16;
/// A deadline that no call reaches.
const HOUR: Duration = Duration::from_secs(3600);

fn by(cid: cid::Cid, deadline: Instant) -> BlockRequest {
    BlockRequest::new(cid).with_deadline(deadline.into_std())
}

/// Sources that no backend has.
fn unknown() -> Vec<SourceId> {
    let long = "x".repeat(10_000);
    let names = ["", "unknown", "../..", "http://192.0.2.1:1", "ä\n\0", &long];
    names.map(SourceId::new).into()
}

/// Asserts that the call ends by its deadline, and says so.
async fn is_late(it: &Subject, request: &BlockRequest, deadline: Instant) -> Outcome {
    let cid = request.cid();
    match timeout_at(deadline + SLACK, it.pinner.block(request)).await {
        Ok(Err(PinnerError::TimedOut { .. })) => Ok(()),
        Ok(Err(error)) => Err(Failure::Broken(format!(
            "block({cid}) after its deadline: wanted TimedOut, got {error:?}"
        ))),
        Ok(Ok(_)) => Err(Failure::Broken(format!(
            "block({cid}) after its deadline: wanted TimedOut, got a block"
        ))),
        Err(_) => Err(Failure::Broken(format!(
            "block({cid}) has not ended {SLACK:?} after its deadline"
        ))),
    }
}

pub(crate) async fn a_request_that_is_late_ends_at_once(start: Start) -> Outcome {
    let (block, other) = (Block::unique(1000), Block::unique(1000));
    let it = Subject::over(&start, Content::of([block.clone(), other.clone()])).await?;
    let now = Instant::now();
    let before = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
    for deadline in [now, before] {
        is_late(&it, &by(block.cid, deadline), now).await?;
        // It is a failure, and no proof that there is no such block.
        is_late(&it, &by(it.nowhere(), deadline), now).await?;
    }
    // It does no harm to others, nor to the same block when it is asked for in time.
    let requests = [by(block.cid, now), by(other.cid, now + HOUR)];
    let answers = it.ask_all(&requests).collect::<Vec<_>>();
    let Ok(answers) = timeout(SLACK, answers).await else {
        return Err(Failure::Broken(format!(
            "calls beside a late one have not ended after {SLACK:?}"
        )));
    };
    ensure_eq("answers beside a late one", answers.len(), 2)?;
    for (cid, answer) in answers {
        match (cid == block.cid, answer) {
            (true, Err(PinnerError::TimedOut { .. })) => {}
            (true, got) => {
                return Err(Failure::Broken(format!(
                    "a late request beside another: wanted TimedOut, got {got:?}"
                )));
            }
            (false, got) => same_bytes(&cid, got.map(|answer| answer.bytes), &other.bytes)?,
        }
    }
    it.reads(&block).await
}

pub(crate) async fn a_slow_source_ends_by_the_deadline(start: Start) -> Outcome {
    let block = Block::unique(1000);
    let it = Subject::over(&start, Content::of([block.clone()])).await?;
    let in_time = by(block.cid, Instant::now() + HOUR);
    let got = it.pinner.block(&in_time).await;
    same_bytes(&block.cid, got.map(|answer| answer.bytes), &block.bytes)?;

    // The backend may have to search for it, for longer than there is time.
    let deadline = Instant::now() + SEARCH;
    let absent = by(it.nowhere(), deadline);
    match timeout_at(deadline + SLACK, it.pinner.block(&absent)).await {
        Ok(Err(PinnerError::TimedOut { .. })) => {}
        Ok(Err(error)) => it.says_absent("a search with little time", &error)?,
        Ok(Ok(_)) => {
            return Err(Failure::Broken(format!(
                "block({}) made it up",
                absent.cid()
            )));
        }
        Err(_) => {
            return Err(Failure::Broken(format!(
                "a search goes on {SLACK:?} after its deadline"
            )));
        }
    }

    let stalls = it.fixture.stall().await;
    if stalls.map_err(cannot("stall the source"))?.is_none() {
        return Ok(());
    }
    let slow = Block::absent(RAW);
    for cid in [slow, block.cid] {
        let deadline = Instant::now() + SHORT;
        is_late(&it, &by(cid, deadline), deadline).await?;
    }
    // More than are served at once, so that some wait for their turn.
    let deadline = Instant::now() + SHORT;
    let requests = vec![by(slow, deadline); it.pinner.concurrency().min(100) + 3];
    let answers = it.ask_all(&requests).collect::<Vec<_>>();
    let answers = timeout_at(deadline + SLACK, answers).await;
    ensure!(
        answers.is_ok_and(|answers| {
            let late = |got: &Result<_, _>| matches!(got, Err(PinnerError::TimedOut { .. }));
            answers.len() == requests.len() && answers.iter().all(|(_, got)| late(got))
        }),
        "many calls to a slow source: wanted TimedOut for each by its deadline"
    );
    Ok(())
}

pub(crate) async fn a_source_that_drips_ends_by_the_deadline(start: Start) -> Outcome {
    let (small, large) = (Block::unique(1000), Block::unique(1 << 20));
    let it = Subject::over(&start, Content::of([small.clone(), large.clone()])).await?;
    it.reads(&large).await?;
    let drips = it.fixture.drip().await;
    if drips.map_err(cannot("make the source drip"))?.is_none() {
        return Ok(());
    }
    for block in [small, large] {
        let deadline = Instant::now() + SHORT;
        is_late(&it, &by(block.cid, deadline), deadline).await?;
    }
    Ok(())
}

pub(crate) async fn avoiding_a_source_loses_no_block(start: Start) -> Outcome {
    let dag = Dag::sample();
    let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
    for block in dag.blocks() {
        let mut request = BlockRequest::new(block.cid).avoiding(unknown());
        // First sources that the backend does not have, then those that answered. The last one answers all the same.
        for _ in 0..3 {
            let answer = must(it.pinner.block(&request).await, || {
                format!("block({}) with sources to avoid", block.cid)
            })?;
            same_bytes(&block.cid, Ok(answer.bytes), &block.bytes)?;
            request = request.avoiding(answer.source);
        }
    }
    let absent = BlockRequest::new(it.nowhere()).avoiding(unknown());
    match it.pinner.block(&absent).await {
        Ok(_) => Err(Failure::Broken(format!(
            "block({}) made it up",
            absent.cid()
        ))),
        Err(error) => it.says_absent("an absent block with sources to avoid", &error),
    }
}

pub(crate) async fn a_wrong_answer_is_not_the_end(start: Start) -> Outcome {
    let blocks = [1000, 100, 70_000, 1 << 20].map(Block::unique);
    let it = Subject::over(&start, Content::of(blocks.iter().cloned())).await?;
    let spoilt = it.fixture.spoil().await;
    if spoilt.map_err(cannot("make a source lie"))?.is_none() {
        return Ok(());
    }
    let mut lies = 0;
    for block in &blocks {
        lies += lies_before_the_block(&it, block).await?;
        // The liar rests, so that nobody has to avoid it any more.
        let got = it.ask(&block.cid).await;
        same_bytes(&block.cid, got, &block.bytes)?;
    }
    match lies {
        0 => Err(Failure::Disagrees(
            "spoil() has to make a source lie that the backend asks".into(),
        )),
        _ => Ok(()),
    }
}

/// Asks for the block as a caller that verifies does, and counts the wrong answers before the right one.
async fn lies_before_the_block(it: &Subject, block: &Block) -> Outcome<usize> {
    let cid = block.cid;
    let mut request = BlockRequest::new(cid);
    loop {
        let answer = must(it.pinner.block(&request).await, || {
            format!("block({cid}), of which a source is right")
        })?;
        let verdict = match answer.bytes == block.bytes {
            true => Verdict::Right,
            false => Verdict::Wrong,
        };
        let (pinner, about, source) = (it.pinner.clone(), request.clone(), answer.source.clone());
        returns_at_once(move || pinner.verdict(&about, source.as_ref(), verdict)).await?;
        if verdict == Verdict::Right {
            return Ok(request.avoid().len());
        }
        let Some(source) = answer.source else {
            return Err(Failure::Broken(format!(
                "block({cid}): a wrong answer names no source, so no other can be asked"
            )));
        };
        ensure!(
            !request.avoids(&source) && request.avoid().len() < MOST_LIES,
            "block({cid}): wrong bytes of {source}, though {:?} are to be avoided and another source is right",
            request.avoid()
        );
        request = request.avoiding([source]);
    }
}

pub(crate) async fn a_verdict_neither_panics_nor_blocks(start: Start) -> Outcome {
    let block = Block::unique(1000);
    let it = Subject::over(&start, Content::of([block.clone()])).await?;
    let request = BlockRequest::new(block.cid);
    let answer = must(it.pinner.block(&request).await, || {
        format!("block({})", block.cid)
    })?;
    let never_asked = BlockRequest::new(it.nowhere()).avoiding(unknown());
    let real = [None, answer.source];
    let told = |sources: Vec<Option<SourceId>>, verdict| {
        let (pinner, requests) = (it.pinner.clone(), [request.clone(), never_asked.clone()]);
        returns_at_once(move || {
            for (source, request) in sources
                .iter()
                .flat_map(|source| requests.iter().map(move |request| (source, request)))
            {
                pinner.verdict(request, source.as_ref(), verdict);
            }
        })
    };
    told(real.to_vec(), Verdict::Right).await?;
    for verdict in [Verdict::Right, Verdict::Wrong] {
        told(unknown().into_iter().map(Some).collect(), verdict).await?;
    }
    it.reads(&block).await?;
    // Last, since a backend may put a source to rest for it.
    told(real.to_vec(), Verdict::Wrong).await
}

/// Runs `told` on a thread of its own, which may block without blocking the suite.
async fn returns_at_once(told: impl FnOnce() + Send + 'static) -> Outcome {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        told();
        // The suite may have stopped waiting.
        let _ = done.send(());
    });
    let deadline = Instant::now() + SLACK;
    loop {
        match ended.try_recv() {
            Ok(()) => return Ok(()),
            Err(TryRecvError::Disconnected) => {
                return Err(Failure::Broken("verdict() panics".into()));
            }
            Err(TryRecvError::Empty) if Instant::now() < deadline => {
                sleep(Duration::from_millis(1)).await;
            }
            Err(TryRecvError::Empty) => {
                return Err(Failure::Broken(format!(
                    "verdict() has not returned after {SLACK:?}"
                )));
            }
        }
    }
}

pub(crate) async fn the_concurrency_is_at_least_one_and_stays(start: Start) -> Outcome {
    let block = Block::unique(1000);
    let it = Subject::over(&start, Content::of([block.clone()])).await?;
    let at_once = it.pinner.concurrency();
    ensure!(
        at_once > 0,
        "concurrency() is 0: nothing could be asked for"
    );
    let requests = vec![BlockRequest::new(block.cid); at_once.min(64)];
    let calls = requests.iter().map(|request| it.pinner.block(request));
    for got in futures_util::future::join_all(calls).await {
        same_bytes(&block.cid, got.map(|answer| answer.bytes), &block.bytes)?;
    }
    ensure_eq(
        "concurrency(), asked again",
        it.pinner.concurrency(),
        at_once,
    )
}
