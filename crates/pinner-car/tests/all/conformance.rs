//! CAR files under the conformance suite: one file, and the same blocks spread over several files.

use std::sync::Arc;

use pinner_api::{Cid, Pinner, async_trait};
use pinner_car::{CarPinner, CarWriter};
use pinner_conformance::{Backend, Content, FixtureResult};
use tempfile::TempDir;

/// CAR files in a folder of their own. There is one handle, because pins live in it, and nothing beyond the files.
struct Fixture {
    pinner: Arc<CarPinner>,
    _directory: TempDir,
}

impl Fixture {
    async fn over(files: usize, content: Content) -> FixtureResult<Self> {
        let directory = tempfile::tempdir()?;
        let mut paths = Vec::new();
        for number in 0..files {
            let path = directory.path().join(format!("{number}.car"));
            let mut writer = CarWriter::create(&path, &[])?;
            for block in content.blocks.iter().skip(number).step_by(files) {
                writer.put(&block.cid, &block.bytes)?;
            }
            writer.finish(&[])?;
            paths.push(path);
        }
        Ok(Self {
            pinner: Arc::new(CarPinner::open(paths).await?),
            _directory: directory,
        })
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
}

mod one_file {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(1, content));
}

mod several_files {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(3, content));
}
