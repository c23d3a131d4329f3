//! Whether a fixture agrees with its backend's capabilities. If a fixture denied what its backend claims, other cases
//! would assert nothing.

use crate::{
    Content, Dag, Elsewhere, Failure, Start,
    cases::subject::{Subject, cannot},
    failure::{Outcome, ensure_eq},
};

fn agree(agrees: bool, wrong: &str) -> Outcome {
    match agrees {
        true => Ok(()),
        false => Err(Failure::Disagrees(wrong.into())),
    }
}

pub(crate) async fn the_fixture_agrees_with_the_capabilities(start: Start) -> Outcome {
    let dag = Dag::sample();
    let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
    let can = it.can();

    ensure_eq("capabilities, asked again", it.pinner.capabilities(), can)?;
    let second = it.second().await?;
    ensure_eq(
        "the other handle's capabilities",
        second.capabilities(),
        can,
    )?;
    for pinner in [&it.pinner, &second] {
        agree(
            pinner.names().is_some() == can.names,
            "the capability `names` contradicts `Pinner::names`",
        )?;
    }

    let name = it.fixture.set_name(&dag.root(), "").await;
    let name = name.map_err(cannot("set a name"))?;
    agree(
        name.is_some() == can.names,
        "set_name() has to return a name exactly where the backend resolves names",
    )?;

    let foreign = it.fixture.foreign_pin(&dag.root()).await;
    let foreign = foreign.map_err(cannot("pin as the owner"))?;
    agree(
        foreign.is_some() || !(can.any_pins() && can.collects),
        "foreign_pin() has to work where the backend has pins and collects",
    )?;

    let held = it.holds(&dag.root()).await?;
    agree(held != Some(false), "holds() denies a block that was put")?;
    let reachable = it.abilities().elsewhere == Elsewhere::Reachable;
    agree(
        held.is_some() || !(reachable && can.lazy_pins),
        "holds() has to return an answer where lazy pins could fetch too much",
    )?;
    agree(
        it.holds(&it.nowhere()).await? != Some(true),
        "holds() claims a block that is nowhere",
    )?;

    // Last, because it removes what the others look at. It compares the result with `collects` itself.
    it.collect().await
}
