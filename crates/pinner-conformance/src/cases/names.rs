//! Mutable names, where the backend resolves them.

use pinner_api::PinnerError;

use crate::{
    Absence, Content, Dag, Failure, Start,
    cases::subject::{Subject, cannot, must},
    failure::{Outcome, ensure, ensure_eq},
};

pub(crate) async fn a_name_resolves(start: Start) -> Outcome {
    let dag = Dag::sample();
    let it = Subject::over(&start, Content::of(dag.blocks().iter().cloned())).await?;
    for path in ["", "a/b"] {
        let name = it.fixture.set_name(&dag.root(), path).await;
        let name = name.map_err(cannot("set a name"))?;
        let (Some(name), Some(names)) = (&name, it.pinner.names()) else {
            return neither(&it, name.is_some());
        };
        let resolved = must(names.resolve(name).await, || format!("resolve({name})"))?;
        ensure_eq("a name's CID", resolved.root, dag.root())?;
        ensure_eq("a name's path", resolved.path.as_str(), path)?;
    }
    Ok(())
}

pub(crate) async fn an_absent_name_is_not_found(start: Start) -> Outcome {
    let it = Subject::over(&start, Content::default()).await?;
    let Some(names) = it.pinner.names() else {
        return neither(&it, it.can().names);
    };
    // A well-formed key that was never published, and a text that is not a name.
    let unpublished = cid::Cid::new_v1(0x72, *it.nowhere().hash()).to_string();
    for name in [unpublished.as_str(), ""] {
        match (it.abilities().absence, names.resolve(name).await) {
            (_, Ok(resolved)) => {
                return Err(Failure::Broken(format!(
                    "the name '{name}', which points to nothing, resolves to {resolved:?}"
                )));
            }
            (Absence::Proven, Err(error)) => ensure!(
                matches!(error, PinnerError::NameNotFound { .. }),
                "the absent name '{name}': wanted NameNotFound, got {error:?}"
            ),
            (Absence::Unproven, Err(error)) => ensure!(
                !matches!(error, PinnerError::Unsupported { .. }),
                "the absent name '{name}': names are claimed, but refused: {error:?}"
            ),
        }
    }
    Ok(())
}

/// Asserts that a backend without names has nothing that has to do with them.
fn neither(it: &Subject, claimed: bool) -> Outcome {
    ensure_eq("`names` of the capabilities", it.can().names, false)?;
    ensure_eq("names claimed elsewhere", claimed, false)?;
    ensure!(
        it.pinner.names().is_none(),
        "names() returns what the capabilities deny"
    );
    Ok(())
}
