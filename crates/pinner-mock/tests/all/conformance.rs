//! The node under the conformance suite, with all of its capabilities and with fewer.

use std::{sync::Arc, time::Duration};

use pinner_api::{Capabilities, Cid, Pinner, async_trait};
use pinner_conformance::{
    Abilities, Absence, Backend, Content, Elsewhere, FixtureResult, Oversize,
};
use pinner_mock::{Fault, MockNode, When};

/// The surroundings of the node. On a network, its fixture can answer every question about it. Alone, like a CAR file,
/// it has a single handle, and no way to tell what it holds.
#[derive(Clone, Copy, PartialEq)]
enum Surroundings {
    Network,
    Alone,
}
use Surroundings::{Alone, Network};

struct Fixture {
    node: MockNode,
    surroundings: Surroundings,
}

impl Fixture {
    async fn over(
        surroundings: Surroundings,
        capabilities: Capabilities,
        content: Content,
    ) -> FixtureResult<Self> {
        let node = MockNode::builder().capabilities(capabilities).build();
        for block in content.blocks {
            node.put_block(block.cid, block.bytes)?;
        }
        if surroundings == Network {
            for block in content.elsewhere {
                node.put_remote(block.cid, block.bytes);
            }
            for block in content.oversize {
                node.put_unchecked(block.cid, block.bytes);
            }
        }
        Ok(Self { node, surroundings })
    }
}

#[async_trait]
impl Backend for Fixture {
    fn pinner(&self) -> Arc<dyn Pinner> {
        Arc::new(self.node.clone())
    }

    fn abilities(&self) -> Abilities {
        match self.surroundings {
            Network => Abilities {
                absence: Absence::Proven,
                elsewhere: Elsewhere::Reachable,
                oversize: Oversize::Held,
            },
            Alone => Abilities::default(),
        }
    }

    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        Ok((self.surroundings == Network).then(|| self.pinner()))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok((self.surroundings == Network).then(|| self.node.contains(cid)))
    }

    async fn stall(&self) -> FixtureResult<Option<()>> {
        let an_hour = Fault::Delay(Duration::from_secs(3600));
        self.node.script(When::any_block(), an_hour);
        Ok(Some(()))
    }

    async fn drip(&self) -> FixtureResult<Option<()>> {
        self.stall().await
    }

    async fn collect(&self) -> FixtureResult<Option<()>> {
        match self.node.capabilities().collects {
            true => Ok(Some(self.node.collect_garbage().map(drop)?)),
            false => Ok(None),
        }
    }

    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        match self.node.capabilities().collects {
            true => Ok(Some(self.node.foreign_pin(root)?)),
            false => Ok(None),
        }
    }

    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        if !self.node.capabilities().names {
            return Ok(None);
        }
        self.node.set_name("example.org", *root, path, None);
        Ok(Some("example.org".into()))
    }
}

const NOTHING: Capabilities = Capabilities::blocks_only();
const EVERYTHING: Capabilities = NOTHING
    .with_recursive_pins()
    .with_lazy_pins()
    .with_collection()
    .with_names();

mod everything {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(Network, EVERYTHING, content));
}

mod everything_alone {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(Alone, EVERYTHING, content));
}

mod blocks_only {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(Network, NOTHING, content));
}

mod recursive_only {
    use super::*;

    const CAN: Capabilities = NOTHING.with_recursive_pins().with_collection();
    pinner_conformance::conformance_tests!(|content| Fixture::over(Network, CAN, content));
}

mod lazy_only {
    use super::*;

    const CAN: Capabilities = NOTHING.with_lazy_pins().with_collection();
    pinner_conformance::conformance_tests!(|content| Fixture::over(Network, CAN, content));
}

/// Like a CAR file: recursive pins that change nothing but the set of pins.
mod keeps_everything {
    use super::*;

    const CAN: Capabilities = NOTHING.with_recursive_pins();
    pinner_conformance::conformance_tests!(|content| Fixture::over(Alone, CAN, content));
}
