//! The effect of pins: which blocks a garbage collection keeps, and which it removes.
//!
//! On a backend that does not collect, the same cases assert that everything stays.

use pinner_api::PinDepth::{self, Lazy, Recursive};

use crate::{
    Block, Content, Dag, Elsewhere, Start,
    cases::subject::{DEPTHS, Subject, cannot, must},
    failure::{Outcome, ensure},
};

/// The DAG's blocks that are not among these.
fn others(dag: &Dag, these: &[Block]) -> Vec<Block> {
    let others = dag.blocks().iter().filter(|block| !these.contains(block));
    others.cloned().collect()
}

fn whole(dag: &Dag) -> Content {
    Content::of(dag.blocks().iter().cloned())
}

async fn over(start: &Start, dag: &Dag, depth: PinDepth) -> Outcome<Option<Subject>> {
    let it = Subject::over(start, whole(dag)).await?;
    Ok((!it.denies(depth, &dag.root()).await?).then_some(it))
}

pub(crate) async fn what_nobody_pins_is_collected(start: Start) -> Outcome {
    let dag = Dag::sample();
    let it = Subject::over(&start, whole(&dag)).await?;
    it.reads_all(dag.blocks()).await?;
    it.collect_takes(dag.blocks()).await
}

pub(crate) async fn two_holders_are_counted(start: Start) -> Outcome {
    let dag = Dag::sample();
    for depth in DEPTHS {
        // In both orders of release.
        for [first, then] in [[1, 2], [2, 1]] {
            let Some(it) = over(&start, &dag, depth).await? else {
                continue;
            };
            it.pins_it(1, &dag.root(), depth).await?;
            let other = it.second().await?;
            let pinned = other.pin(&it.holder(2), &dag.root(), depth).await;
            must(pinned, || "pin by the other handle".into())?;
            it.lists(&[(1, dag.root(), depth), (2, dag.root(), depth)])
                .await?;
            it.collect_keeps(dag.blocks()).await?;
            it.unpins(first, &dag.root()).await?;
            it.lists(&[(then, dag.root(), depth)]).await?;
            it.collect_keeps(dag.blocks()).await?;
            it.unpins(then, &dag.root()).await?;
            it.lists(&[]).await?;
            it.collect_takes(dag.blocks()).await?;
        }
    }
    Ok(())
}

pub(crate) async fn many_holders_are_counted(start: Start) -> Outcome {
    let dag = Dag::sample();
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        for holder in 0..10 {
            it.pins_it(holder, &dag.root(), depth).await?;
            // Pinning twice makes one pin, and one release removes it.
            it.pins_it(holder, &dag.root(), depth).await?;
        }
        // The last holder to pin releases first, so that a backend that remembers only one holder fails.
        for holder in [9, 0, 1, 2, 3, 4, 5, 6, 7, 8] {
            it.collect_keeps(dag.blocks()).await?;
            it.unpins(holder, &dag.root()).await?;
        }
        it.collect_takes(dag.blocks()).await?;
    }
    Ok(())
}

pub(crate) async fn a_shared_block_stays_while_one_root_is_pinned(start: Start) -> Outcome {
    let dag = Dag::sample();
    // A node of the lowest level, with the three leaves below it.
    let inner = dag.blocks()[1].clone();
    let below = [&dag.blocks()[4..7], std::slice::from_ref(&inner)].concat();
    let rest = others(&dag, &below);
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        it.pins_it(1, &dag.root(), depth).await?;
        it.pins_it(1, &inner.cid, depth).await?;
        it.unpins(1, &dag.root()).await?;
        it.collect_takes(&rest).await?;
        it.collect_keeps(&below).await?;
        it.unpins(1, &inner.cid).await?;
        it.collect_takes(&below).await?;
    }
    Ok(())
}

pub(crate) async fn a_lazy_pin_keeps_what_is_there(start: Start) -> Outcome {
    let dag = Dag::sample();
    // The root, a node below it, and one leaf of that node.
    let there: Vec<_> = [0, 1, 4].map(|i| dag.blocks()[i].clone()).into();
    let it = Subject::over(&start, Content::of(there.clone())).await?;
    if it.denies(Lazy, &dag.root()).await? {
        return Ok(());
    }
    it.pins_it(1, &dag.root(), Lazy).await?;
    it.collect_keeps(&there).await?;
    it.unpins(1, &dag.root()).await?;
    it.collect_takes(&there).await
}

pub(crate) async fn a_lazy_pin_keeps_what_arrives_later(start: Start) -> Outcome {
    let dag = Dag::sample();
    let read: Vec<_> = [0, 1, 4].map(|i| dag.blocks()[i].clone()).into();
    let unread = others(&dag, &read);
    // Where nothing can arrive later, the blocks that are read are there from the beginning.
    let content = Content::of([read[0].clone()]).with_elsewhere(dag.blocks()[1..].to_vec());
    let it = Subject::over(&start, content).await?;
    let it = match it.abilities().elsewhere {
        Elsewhere::Reachable => it,
        Elsewhere::Unreachable => Subject::over(&start, Content::of(read.clone())).await?,
    };
    if it.denies(Lazy, &dag.root()).await? {
        return Ok(());
    }
    it.pins_it(1, &dag.root(), Lazy).await?;
    it.reads_all(&read).await?;
    it.collect_keeps(&read).await?;
    for block in &unread {
        ensure!(
            it.holds(&block.cid).await? != Some(true),
            "block {} was never asked for, but it is there",
            block.cid
        );
    }
    it.unpins(1, &dag.root()).await?;
    it.collect_takes(&read).await
}

pub(crate) async fn a_lazy_pin_of_an_incomplete_dag_lets_the_collection_pass(
    start: Start,
) -> Outcome {
    let dag = Dag::sample();
    let other = Dag::sample();
    // One node is missing, so some leaves are there that no present block leads to.
    let there: Vec<_> = dag.without(&dag.blocks()[1].cid).collect();
    let content = Content::of(there.iter().chain(other.blocks()).cloned());
    let it = Subject::over(&start, content).await?;
    if it.denies(Lazy, &dag.root()).await? {
        return Ok(());
    }
    it.pins_it(1, &dag.root(), Lazy).await?;
    // The collection does its work: it removes what is not pinned, and keeps the pinned part.
    it.collect_takes(other.blocks()).await?;
    let kept: Vec<_> = [0, 2, 3].map(|i| dag.blocks()[i].clone()).into();
    it.collect_keeps(&kept).await
}

pub(crate) async fn a_foreign_pin_is_never_touched(start: Start) -> Outcome {
    let dag = Dag::sample();
    let root = dag.root();
    for depth in DEPTHS {
        let it = Subject::over(&start, whole(&dag)).await?;
        let pinned = it.fixture.foreign_pin(&root).await;
        // Where nobody else can pin, the other assertions hold anyway; `fixture` says where that is allowed.
        let pinned = pinned.map_err(cannot("pin as the owner"))?;
        if it.denies(depth, &root).await? {
            if pinned.is_some() {
                it.collect_keeps(dag.blocks()).await?;
            }
            continue;
        }
        it.lists(&[]).await?;
        it.unpins(1, &root).await?;
        it.pins_it(1, &root, depth).await?;
        it.lists(&[(1, root, depth)]).await?;
        it.collect_keeps(dag.blocks()).await?;
        // A failed pin on the same node does not disturb the foreign pin either.
        let failed = it.pinner.pin(&it.holder(2), &it.nowhere(), Recursive).await;
        ensure!(failed.is_err(), "a pin of an absent root was made");
        it.unpins(1, &root).await?;
        it.lists(&[]).await?;
        match pinned {
            Some(()) => it.collect_keeps(dag.blocks()).await?,
            None => it.collect_takes(dag.blocks()).await?,
        }
    }
    Ok(())
}
