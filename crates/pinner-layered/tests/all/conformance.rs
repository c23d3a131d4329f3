//! Two mocks joined into one backend: the conformance suite, and tests of `Layered` itself.

use std::{sync::Arc, time::Duration};

use pinner_conformance::{
    Abilities, Absence, Backend, Content, Elsewhere, FixtureResult, Oversize,
};
use pinner_mock::{Fault, MockNode, When};

use super::*;

const NOTHING: Capabilities = Capabilities::blocks_only();
const EVERYTHING: Capabilities = NOTHING
    .with_recursive_pins()
    .with_lazy_pins()
    .with_collection()
    .with_names();
/// The capabilities of a CAR.
const ARCHIVE: Capabilities = NOTHING.with_recursive_pins();

/// Where the content of a case is.
#[derive(Clone, Copy, PartialEq)]
enum Lies {
    /// All of it behind, as with a node and an archive of other content.
    Behind,
    /// Every other block local, the others behind.
    InHalves,
    /// All of it local.
    Here,
}

struct Fixture {
    local: MockNode,
    behind: MockNode,
    lies: Lies,
}

impl Fixture {
    async fn over(lies: Lies, behind: Capabilities, content: Content) -> FixtureResult<Self> {
        let node = |can| MockNode::builder().capabilities(can).build();
        let (local, behind) = (node(ARCHIVE), node(behind));
        local.put(0x55, "something else");
        for (number, block) in content.blocks.into_iter().enumerate() {
            let here = match lies {
                Lies::Behind => false,
                Lies::InHalves => number % 2 == 0,
                Lies::Here => true,
            };
            let node = if here { &local } else { &behind };
            node.put_block(block.cid, block.bytes)?;
        }
        if lies == Lies::Behind {
            for block in content.elsewhere {
                behind.put_remote(block.cid, block.bytes);
            }
            for block in content.oversize {
                behind.put_unchecked(block.cid, block.bytes);
            }
        }
        Ok(Self {
            local,
            behind,
            lies,
        })
    }
}

#[async_trait]
impl Backend for Fixture {
    fn pinner(&self) -> Arc<dyn Pinner> {
        let (local, behind) = (self.local.clone(), self.behind.clone());
        Arc::new(Layered::new(Arc::new(local), Arc::new(behind)))
    }

    fn abilities(&self) -> Abilities {
        match self.lies {
            Lies::Behind => Abilities {
                absence: Absence::Proven,
                elsewhere: Elsewhere::Reachable,
                oversize: Oversize::Held,
            },
            Lies::InHalves | Lies::Here => Abilities::default(),
        }
    }

    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        // The pins on local content are kept in the value.
        Ok((self.lies == Lies::Behind).then(|| self.pinner()))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok(Some(self.local.contains(cid) || self.behind.contains(cid)))
    }

    async fn stall(&self) -> FixtureResult<Option<()>> {
        for node in [&self.local, &self.behind] {
            let an_hour = Fault::Delay(Duration::from_secs(3600));
            node.script(When::any_block(), an_hour);
        }
        Ok(Some(()))
    }

    async fn collect(&self) -> FixtureResult<Option<()>> {
        match self.behind.capabilities().collects {
            true => Ok(Some(self.behind.collect_garbage().map(drop)?)),
            false => Ok(None),
        }
    }

    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        match self.behind.capabilities().collects {
            true => Ok(Some(self.behind.foreign_pin(root)?)),
            false => Ok(None),
        }
    }

    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        if !self.behind.capabilities().names {
            return Ok(None);
        }
        self.behind.set_name("example.org", *root, path, None);
        Ok(Some("example.org".into()))
    }
}

/// A fixture whose `pinner` is made once for each case: it must be the same value each time.
struct Once(Fixture, Arc<dyn Pinner>);

impl Once {
    async fn over(lies: Lies, behind: Capabilities, content: Content) -> FixtureResult<Self> {
        let fixture = Fixture::over(lies, behind, content).await?;
        let pinner = fixture.pinner();
        Ok(Self(fixture, pinner))
    }
}

#[async_trait]
impl Backend for Once {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.1.clone()
    }
    fn abilities(&self) -> Abilities {
        self.0.abilities()
    }
    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        self.0.second().await
    }
    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        self.0.holds(cid).await
    }
    async fn stall(&self) -> FixtureResult<Option<()>> {
        self.0.stall().await
    }
    async fn collect(&self) -> FixtureResult<Option<()>> {
        self.0.collect().await
    }
    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        self.0.foreign_pin(root).await
    }
    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        self.0.set_name(root, path).await
    }
}

mod a_node_and_an_archive_of_something_else {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Once::over(Lies::Behind, EVERYTHING, content));
}

mod an_archive_before_gateways {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Once::over(Lies::InHalves, NOTHING, content));
}

mod an_archive_that_has_it_all {
    use super::*;

    const CAN: Capabilities = NOTHING.with_recursive_pins().with_lazy_pins();
    pinner_conformance::conformance_tests!(|content| Once::over(Lies::Here, CAN, content));
}

fn holder(n: u8) -> Holder {
    Holder::new([n; 8], [n; 16])
}

fn layers() -> (MockNode, MockNode, Layered) {
    let local = MockNode::builder().capabilities(ARCHIVE).build();
    let behind = MockNode::new();
    let layered = Layered::new(Arc::new(local.clone()), Arc::new(behind.clone()));
    (local, behind, layered)
}

#[tokio::test]
async fn what_is_local_is_not_asked_for_behind_nor_pinned_there() {
    let (local, behind, layered) = layers();
    let (here, there) = (local.put(0x55, "here"), behind.put(0x55, "there"));
    behind.put(0x55, "here");
    for cid in [here, there] {
        layered.block(&BlockRequest::new(cid)).await.unwrap();
        for depth in [PinDepth::Lazy, PinDepth::Recursive] {
            layered.pin(&holder(1), &cid, depth).await.unwrap();
        }
    }
    assert_eq!(behind.blocks_asked(&here), 0);
    let pinned = behind.pinned();
    assert!(pinned.iter().all(|pin| pin.root == there), "{pinned:?}");
    let listed: Vec<_> = layered.pins().collect().await;
    assert_eq!(listed.len(), 4, "{listed:?}");
    let before = behind.stats().unpins;
    layered.unpin(&holder(1), &here).await.unwrap();
    assert_eq!(behind.stats().unpins, before);
    layered.unpin(&holder(1), &there).await.unwrap();
    // Another holder's pin on the same root can only be behind, left by a crash.
    layered.unpin(&holder(2), &here).await.unwrap();
    assert_eq!(behind.stats().unpins, before + 2);
    assert_eq!(layered.pins().collect::<Vec<_>>().await.len(), 0);
}

#[tokio::test]
async fn a_damaged_archive_is_seen() {
    let (local, behind, layered) = layers();
    let cid = local.put(0x55, "content");
    behind.put(0x55, "content");
    let corrupt = PinnerError::Corrupt {
        operation: "block".into(),
        reason: "cut off".into(),
    };
    local.script(When::any_block(), Fault::Error(corrupt));
    let request = BlockRequest::new(cid);
    let error = layered.block(&request).await.unwrap_err();
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    let error = layered.pin(&holder(1), &cid, PinDepth::Lazy).await;
    assert!(matches!(error, Err(PinnerError::Corrupt { .. })));
    assert_eq!((behind.blocks_asked(&cid), behind.pinned().len()), (0, 0));
}

#[tokio::test]
async fn a_verdict_reaches_the_backend_that_answered() {
    let sources = [None, Some(SourceId::new("an archive"))];
    for (named, behind_named) in sources.clone().into_iter().zip(sources.into_iter().rev()) {
        let node = |source: &Option<SourceId>| {
            let builder = MockNode::builder().concurrency(7);
            match source {
                Some(source) => builder.source(source.clone()),
                None => builder,
            }
            .build()
        };
        let (local, behind) = (node(&named), node(&behind_named));
        let layered = Layered::new(Arc::new(local.clone()), Arc::new(behind.clone()));
        assert_eq!(layered.concurrency(), 7);
        let (here, there) = (local.put(0x55, "here"), behind.put(0x55, "there"));
        for cid in [here, there] {
            let request = BlockRequest::new(cid);
            let answer = layered.block(&request).await.unwrap();
            layered.verdict(&request, answer.source.as_ref(), Verdict::Wrong);
        }
        let judged = |node: &MockNode, source: &Option<SourceId>| {
            let own = node.verdicts().into_iter();
            own.filter(|judged| judged.source == *source)
                .map(|judged| judged.cid)
                .collect::<Vec<_>>()
        };
        assert_eq!(judged(&local, &named), [here]);
        assert_eq!(judged(&behind, &behind_named), [there]);
    }
}
