//! The conformance suite over a repository alone, with each sharding function.

use std::sync::Arc;

use async_trait::async_trait;
use pinner_api::{Cid, Pinner};
use pinner_conformance::{Abilities, Backend, Content, FixtureResult, Oversize};
use pinner_kubo::RepositoryPinner;

use super::Repository;

struct Fixture {
    repository: Repository,
    pinner: Arc<RepositoryPinner>,
}

impl Fixture {
    async fn over(function: &str, content: Content) -> FixtureResult<Self> {
        let repository = Repository::new(function);
        for block in content.blocks.iter().chain(&content.oversize) {
            repository.put(block);
        }
        let pinner = Arc::new(RepositoryPinner::open(repository.path()).await?);
        Ok(Self { repository, pinner })
    }
}

#[async_trait]
impl Backend for Fixture {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            oversize: Oversize::Held,
            ..Abilities::default()
        }
    }

    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        let second = RepositoryPinner::open(self.repository.path()).await?;
        Ok(Some(Arc::new(second)))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok(Some(self.repository.file(cid).exists()))
    }
}

mod next_to_last {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(
        crate::repository::DEFAULT,
        content
    ));
}

mod prefix {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over("prefix/6", content));
}

mod suffix {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over("suffix/3", content));
}
