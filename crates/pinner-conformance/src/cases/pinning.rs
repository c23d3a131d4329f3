//! `pin`, `unpin` and `pins`: the set of pins. The protection from a collection is tested in `keeping`.

use cid::Cid;
use futures_util::{StreamExt, future::join_all};
use pinner_api::PinDepth::{self, Lazy, Recursive};

use crate::{
    Block, Content, Dag, Elsewhere, Failure, Start,
    cases::subject::{DEPTHS, PATIENCE, Subject, abandon, must},
    dag::DAG_PB,
    failure::{Outcome, ensure, ensure_eq},
};

/// A backend over the whole DAG; `None` if it denies the depth, after asserting that it refuses it.
async fn over(start: &Start, dag: &Dag, depth: PinDepth) -> Outcome<Option<Subject>> {
    let it = Subject::over(start, Content::of(dag.blocks().iter().cloned())).await?;
    Ok((!it.denies(depth, &dag.root()).await?).then_some(it))
}

pub(crate) async fn what_is_denied_is_refused(start: Start) -> Outcome {
    let dag = Dag::sample();
    for depth in DEPTHS {
        let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
        let denied = it.denies(depth, &dag.root()).await?;
        ensure_eq("denied", denied, !it.can().pins(depth))?;
        // Refused for its depth, whether the root is there or not.
        it.denies(depth, &it.nowhere()).await?;
        it.reads_all(dag.blocks()).await?;
    }
    Ok(())
}

pub(crate) async fn pinning_twice_is_pinning_once(start: Start) -> Outcome {
    let dag = Dag::sample();
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        it.pins_it(1, &dag.root(), depth).await?;
        it.pins_it(1, &dag.root(), depth).await?;
        let second = it.second().await?;
        let again = second.pin(&it.holder(1), &dag.root(), depth).await;
        must(again, || "the same pin by the other handle".into())?;
        it.lists(&[(1, dag.root(), depth)]).await?;
        it.unpins(1, &dag.root()).await?;
        it.lists(&[]).await?;
    }
    Ok(())
}

pub(crate) async fn unpinning_what_is_not_pinned_is_fine(start: Start) -> Outcome {
    let dag = Dag::sample();
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        it.unpins(1, &dag.root()).await?;
        it.unpins(1, &it.nowhere()).await?;
        it.pins_it(1, &dag.root(), depth).await?;
        // Another holder's release, and this holder's release of another root, do not affect this pin.
        it.unpins(2, &dag.root()).await?;
        it.unpins(1, &dag.blocks()[1].cid).await?;
        it.lists(&[(1, dag.root(), depth)]).await?;
        it.unpins(1, &dag.root()).await?;
        it.unpins(1, &dag.root()).await?;
        it.lists(&[]).await?;
    }
    Ok(())
}

pub(crate) async fn pins_lists_each_pair_once(start: Start) -> Outcome {
    let dags = [Dag::sample(), Dag::sample(), Dag::sample()];
    for depth in DEPTHS {
        let content = Content::of(dags.iter().flat_map(|dag| dag.blocks().iter().cloned()));
        let it = Subject::over(&start, content).await?;
        if it.denies(depth, &dags[0].root()).await? {
            continue;
        }
        it.lists(&[]).await?;
        let mut pinned = Vec::new();
        for holder in 1..=2 {
            for dag in &dags {
                it.pins_it(holder, &dag.root(), depth).await?;
                pinned.push((holder, dag.root(), depth));
            }
        }
        it.lists(&pinned).await?;
        // A root below another root is a root of its own.
        it.pins_it(1, &dags[0].blocks()[1].cid, depth).await?;
        pinned.push((1, dags[0].blocks()[1].cid, depth));
        it.lists(&pinned).await?;
        while let Some((holder, root, _)) = pinned.pop() {
            it.unpins(holder, &root).await?;
            it.lists(&pinned).await?;
        }
    }
    Ok(())
}

pub(crate) async fn a_pair_has_one_pin_of_each_depth(start: Start) -> Outcome {
    let dag = Dag::sample();
    for [first, then] in [[Lazy, Recursive], [Recursive, Lazy]] {
        let Some(it) = over(&start, &dag, first).await? else {
            continue;
        };
        it.pins_it(1, &dag.root(), first).await?;
        if !it.can().pins(then) {
            continue;
        }
        it.pins_it(1, &dag.root(), then).await?;
        it.lists(&[(1, dag.root(), Lazy), (1, dag.root(), Recursive)])
            .await?;
        it.unpins(1, &dag.root()).await?;
        it.lists(&[]).await?;
    }
    Ok(())
}

pub(crate) async fn v0_and_v1_are_two_roots(start: Start) -> Outcome {
    let dag = Dag::sample();
    let v1 = dag.root();
    let v0 = Cid::new_v0(*v1.hash()).map_err(|e| Failure::Broken(e.to_string()))?;
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        it.pins_it(1, &v0, depth).await?;
        it.lists(&[(1, v0, depth)]).await?;
        it.pins_it(1, &v1, depth).await?;
        it.lists(&[(1, v0, depth), (1, v1, depth)]).await?;
        it.unpins(1, &v0).await?;
        it.lists(&[(1, v1, depth)]).await?;
        it.collect_keeps(dag.blocks()).await?;
    }
    Ok(())
}

pub(crate) async fn a_lazy_pin_fetches_no_more_than_its_root(start: Start) -> Outcome {
    let dag = Dag::sample();
    let (root, below) = dag.blocks().split_at(1);
    let here = Content::of(root.to_vec()).with_elsewhere(below.to_vec());
    let away = Content::default().with_elsewhere(dag.blocks().to_vec());
    for (content, root_is_here) in [(here, true), (away, false)] {
        let it = Subject::over(&start, content).await?;
        if it.denies(Lazy, &dag.root()).await? {
            continue;
        }
        if !root_is_here && it.abilities().elsewhere == Elsewhere::Unreachable {
            // The root would be absent, which another case tests.
            continue;
        }
        it.pins_it(1, &dag.root(), Lazy).await?;
        it.lists(&[(1, dag.root(), Lazy)]).await?;
        for block in below {
            ensure!(
                it.holds(&block.cid).await? != Some(true),
                "a lazy pin fetched {}, which is not its root",
                block.cid
            );
        }
        it.reads_all(root).await?;
    }
    Ok(())
}

pub(crate) async fn a_recursive_pin_completes_the_dag(start: Start) -> Outcome {
    let dag = Dag::sample();
    let (here, away) = dag.blocks().split_at(4);
    let content = Content::of(here.to_vec()).with_elsewhere(away.to_vec());
    let it = Subject::over(&start, content).await?;
    if it.denies(Recursive, &dag.root()).await? {
        return Ok(());
    }
    match it.abilities().elsewhere {
        Elsewhere::Unreachable => incomplete(&it, &dag).await,
        Elsewhere::Reachable => {
            it.pins_it(1, &dag.root(), Recursive).await?;
            for block in dag.blocks() {
                ensure!(
                    it.holds(&block.cid).await? != Some(false),
                    "a recursive pin was made, but {} is not there",
                    block.cid
                );
            }
            it.collect_keeps(dag.blocks()).await
        }
    }
}

/// Asserts that a recursive pin of a DAG with a missing part is refused, and pins nothing.
async fn incomplete(it: &Subject, dag: &Dag) -> Outcome {
    match it.pinner.pin(&it.holder(1), &dag.root(), Recursive).await {
        Ok(()) => {
            return Err(Failure::Broken(
                "a recursive pin was made of a DAG that is not complete".into(),
            ));
        }
        Err(error) => it.says_absent("a recursive pin of an incomplete DAG", &error)?,
    }
    it.lists(&[]).await
}

pub(crate) async fn an_incomplete_dag_gets_no_recursive_pin(start: Start) -> Outcome {
    let dag = Dag::sample();
    let blocks = dag.blocks();
    // Without the root, an inner node, the first leaf, the last block.
    for missing in [0, 1, 4, blocks.len() - 1] {
        let there: Vec<_> = dag.without(&blocks[missing].cid).collect();
        let it = Subject::over(&start, Content::of(there.clone())).await?;
        if it.denies(Recursive, &dag.root()).await? {
            continue;
        }
        incomplete(&it, &dag).await?;
        it.reads_all(&there).await?;
        // The attempt leaves nothing behind that would protect the blocks or make a collection fail.
        it.collect_takes(&there).await?;
    }
    Ok(())
}

pub(crate) async fn an_absent_root_gets_no_pin(start: Start) -> Outcome {
    for depth in DEPTHS {
        let it = Subject::over(&start, Content::default()).await?;
        let root = Block::absent(DAG_PB);
        if it.denies(depth, &root).await? {
            continue;
        }
        match it.pinner.pin(&it.holder(1), &root, depth).await {
            Ok(()) => {
                return Err(Failure::Broken(format!(
                    "a {depth:?} pin was made of a root that is nowhere"
                )));
            }
            Err(error) => it.says_absent("a pin of an absent root", &error)?,
        }
        it.lists(&[]).await?;
        it.collect().await?;
    }
    Ok(())
}

pub(crate) async fn a_failed_pin_leaves_the_pins_of_others(start: Start) -> Outcome {
    let dag = Dag::sample();
    let blocks = dag.blocks();
    // A node of the lowest level is complete. The last leaf of the whole DAG is missing.
    let inner = blocks[1].cid;
    let missing = blocks[blocks.len() - 1].cid;
    for depth in DEPTHS {
        let there: Vec<_> = dag.without(&missing).collect();
        let it = Subject::over(&start, Content::of(there.clone())).await?;
        if it.denies(depth, &inner).await? {
            continue;
        }
        it.pins_it(1, &inner, depth).await?;
        let mut pinned = vec![(1, inner, depth)];
        let mut kept = blocks[4..7].to_vec();
        kept.push(blocks[1].clone());
        if depth == Lazy {
            it.pins_it(2, &dag.root(), Lazy).await?;
            pinned.push((2, dag.root(), Lazy));
            kept = there;
        }
        // A block is missing, so both pins fail: one by a holder of its own, one by a holder that pins the same root.
        for holder in [2, 3] {
            let failed = it
                .pinner
                .pin(&it.holder(holder), &dag.root(), Recursive)
                .await;
            ensure!(failed.is_err(), "a pin of an incomplete DAG was made");
        }
        let absent = it.nowhere();
        let failed = it.pinner.pin(&it.holder(1), &absent, depth).await;
        ensure!(failed.is_err(), "a pin of an absent root was made");
        it.lists(&pinned).await?;
        it.collect_keeps(&kept).await?;
    }
    Ok(())
}

pub(crate) async fn an_abandoned_pin_leaves_the_pins_of_others(start: Start) -> Outcome {
    let dag = Dag::file(12);
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        it.pins_it(1, &dag.root(), depth).await?;
        for patience in PATIENCE {
            let (one, two) = (it.holder(1), it.holder(2));
            abandon(patience, it.pinner.pin(&two, &dag.root(), depth)).await;
            it.still_lists(1, &dag.root(), depth).await?;
            it.forgets(2, &dag.root()).await?;
            // The same pair again: what is there stays, whenever the call ends.
            abandon(patience, it.pinner.pin(&one, &dag.root(), depth)).await;
            it.lists(&[(1, dag.root(), depth)]).await?;
        }
        it.collect_keeps(dag.blocks()).await?;
    }
    Ok(())
}

pub(crate) async fn an_abandoned_unpin_leaves_the_pins_of_others(start: Start) -> Outcome {
    let dag = Dag::file(12);
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        it.pins_it(1, &dag.root(), depth).await?;
        for patience in PATIENCE {
            it.pins_it(2, &dag.root(), depth).await?;
            let two = it.holder(2);
            abandon(patience, it.pinner.unpin(&two, &dag.root())).await;
            it.still_lists(1, &dag.root(), depth).await?;
            it.forgets(2, &dag.root()).await?;
            it.lists(&[(1, dag.root(), depth)]).await?;
        }
        it.collect_keeps(dag.blocks()).await?;
    }
    Ok(())
}

pub(crate) async fn pins_side_by_side_all_count(start: Start) -> Outcome {
    const HOLDERS: u8 = 16;
    let dag = Dag::sample();
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        let root = dag.root();
        // The same pair pinned by many callers, and by many holders, at once and through both handles.
        let second = it.second().await?;
        let calls = (0..2 * HOLDERS).map(|n| {
            let pinner = [&it.pinner, &second][usize::from(n % 2)].clone();
            let holder = it.holder(n.saturating_sub(HOLDERS));
            tokio::spawn(async move { pinner.pin(&holder, &root, depth).await })
        });
        for made in join_all(calls).await {
            let made = made.map_err(|stopped| Failure::Broken(stopped.to_string()))?;
            must(made, || format!("one of many {depth:?} pins at once"))?;
        }
        let all: Vec<_> = (0..HOLDERS).map(|n| (n, root, depth)).collect();
        it.lists(&all).await?;

        let releases = (1..HOLDERS).map(|n| {
            let pinner = [&it.pinner, &second][usize::from(n % 2)].clone();
            let holder = it.holder(n);
            tokio::spawn(async move { pinner.unpin(&holder, &root).await })
        });
        for released in join_all(releases).await {
            let released = released.map_err(|stopped| Failure::Broken(stopped.to_string()))?;
            must(released, || "one of many releases at once".into())?;
        }
        it.lists(&[(0, root, depth)]).await?;
        it.collect_keeps(dag.blocks()).await?;
    }
    Ok(())
}

pub(crate) async fn an_abandoned_listing_leaves_it_usable(start: Start) -> Outcome {
    let dag = Dag::sample();
    for depth in DEPTHS {
        let Some(it) = over(&start, &dag, depth).await? else {
            continue;
        };
        let mut pinned = Vec::new();
        for holder in 1..=8 {
            it.pins_it(holder, &dag.root(), depth).await?;
            pinned.push((holder, dag.root(), depth));
        }
        for patience in PATIENCE {
            abandon(patience, it.pinner.pins().count()).await;
            it.pinner.pins().next().await;
        }
        it.lists(&pinned).await?;
        // A pin is made and released while a listing is open.
        let mut open = it.pinner.pins();
        open.next().await;
        it.pins_it(9, &dag.root(), depth).await?;
        it.unpins(9, &dag.root()).await?;
        drop(open);
        it.lists(&pinned).await?;
    }
    Ok(())
}
