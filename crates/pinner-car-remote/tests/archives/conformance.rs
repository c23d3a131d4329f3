//! The conformance suite, over archives of all kinds.

use std::sync::{Arc, atomic::Ordering};

use cid::Cid;
use pinner_api::{Pinner, async_trait};
use pinner_car_remote::RemoteCarPinner;
use pinner_conformance::{Backend, Content, FixtureResult};

use crate::{
    content::{Block, Kind, car, indexed},
    server::Served,
};

struct Fixture {
    served: Served,
    pinner: Arc<RemoteCarPinner>,
}

impl Fixture {
    async fn start(kind: Option<Kind>, content: Content) -> FixtureResult<Self> {
        let blocks: Vec<Block> = content
            .blocks
            .into_iter()
            .map(|b| (b.cid, b.bytes))
            .collect();
        // So long a block comes first that none of the others is in what is read when the archive is opened.
        let first = crate::content::many(1, 100_000);
        let car = car(&[first, blocks].concat());
        let bytes = match kind {
            Some(kind) => indexed(&car, kind),
            None => car,
        };
        let served = Served::start(bytes).await;
        let pinner = Arc::new(served.open().await?);
        Ok(Self { served, pinner })
    }
}

#[async_trait]
impl Backend for Fixture {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok(Some(self.pinner.contains(cid)))
    }

    // No `stall`: the answer about a block that is not there takes no request, so it is never late. The deadline of a
    // request that hangs is tested in `http`.
    async fn drip(&self) -> FixtureResult<Option<()>> {
        self.served.state.drips.store(true, Ordering::SeqCst);
        Ok(Some(()))
    }
}

mod version_1 {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::start(None, content));
}

mod version_2_with_digests {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::start(Some(Kind::Sorted), content));
}

mod version_2_with_multihashes {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        Fixture::start(Some(Kind::MultihashSorted), content)
    });
}
