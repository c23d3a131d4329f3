//! The conformance suite over two mocks: an archive before a node, and two sources of which one lies.

use std::{sync::Arc, time::Duration};

use pinner_api::{Capabilities, Cid, Pinner, async_trait};
use pinner_conformance::{
    Abilities, Absence, Backend, Content, Elsewhere, FixtureResult, Oversize,
};
use pinner_layered::Layered;
use pinner_mock::{Fault, MockNode, When};

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
    /// All of it at both.
    Twice,
}

/// The kind of the first of the two.
#[derive(Clone, Copy, PartialEq)]
enum First {
    Archive,
    Source,
}

struct Fixture {
    local: MockNode,
    behind: MockNode,
    lies: Lies,
    pinner: Arc<Layered>,
}

impl Fixture {
    async fn over(
        first: First,
        lies: Lies,
        behind: Capabilities,
        content: Content,
    ) -> FixtureResult<Self> {
        let node = |can| MockNode::builder().capabilities(can).build();
        let (local, behind) = (node(ARCHIVE), node(behind));
        local.put(0x55, "something else");
        for (number, block) in content.blocks.into_iter().enumerate() {
            let (here, there) = match lies {
                Lies::Behind => (false, true),
                Lies::InHalves => (number % 2 == 0, number % 2 == 1),
                Lies::Here => (true, false),
                Lies::Twice => (true, true),
            };
            for (node, has) in [(&local, here), (&behind, there)] {
                if has {
                    node.put_block(block.cid, block.bytes.clone())?;
                }
            }
        }
        if lies == Lies::Behind {
            for block in content.elsewhere {
                behind.put_remote(block.cid, block.bytes);
            }
            for block in content.oversize {
                behind.put_unchecked(block.cid, block.bytes);
            }
        }
        let pinner = Arc::new(layered(first, &local, &behind));
        Ok(Self {
            local,
            behind,
            lies,
            pinner,
        })
    }
}

fn layered(first: First, local: &MockNode, behind: &MockNode) -> Layered {
    let (local, behind) = (Arc::new(local.clone()), Arc::new(behind.clone()));
    let builder = match first {
        First::Archive => Layered::builder().archive(local),
        First::Source => Layered::builder().source(local),
    };
    builder.keeper(behind).build()
}

#[async_trait]
impl Backend for Fixture {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        match self.lies {
            Lies::Behind => Abilities {
                absence: Absence::Proven,
                elsewhere: Elsewhere::Reachable,
                oversize: Oversize::Held,
            },
            Lies::InHalves | Lies::Here | Lies::Twice => Abilities::default(),
        }
    }

    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        if self.lies != Lies::Behind {
            // The pins on local content are kept in the value.
            return Ok(None);
        }
        let second = layered(First::Archive, &self.local, &self.behind);
        Ok(Some(Arc::new(second)))
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

    async fn drip(&self) -> FixtureResult<Option<()>> {
        self.stall().await
    }

    async fn spoil(&self) -> FixtureResult<Option<()>> {
        if self.lies != Lies::Twice {
            return Ok(None);
        }
        self.local.script(When::any_block(), Fault::WrongBytes);
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

mod a_node_and_an_archive_of_something_else {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        Fixture::over(First::Archive, Lies::Behind, EVERYTHING, content)
    });
}

mod an_archive_before_gateways {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        Fixture::over(First::Archive, Lies::InHalves, NOTHING, content)
    });
}

mod an_archive_that_has_it_all {
    use super::*;

    const CAN: Capabilities = NOTHING.with_recursive_pins().with_lazy_pins();
    pinner_conformance::conformance_tests!(|content| {
        Fixture::over(First::Archive, Lies::Here, CAN, content)
    });
}

mod an_archive_of_which_a_node_has_all {
    use super::*;

    const CAN: Capabilities = NOTHING.with_recursive_pins().with_lazy_pins();
    pinner_conformance::conformance_tests!(|content| {
        Fixture::over(First::Archive, Lies::Twice, CAN, content)
    });
}

mod two_sources_of_the_same {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        Fixture::over(First::Source, Lies::Twice, NOTHING, content)
    });
}
