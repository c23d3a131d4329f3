//! CAR files under the conformance suite: one file, the same blocks spread over several files, and two files with all
//! blocks, of which the first can rot.

use std::{fs, sync::Arc};

use pinner_api::{Cid, Pinner, async_trait};
use pinner_car::{CarPinner, CarWriter, parse_car};
use pinner_conformance::{Backend, Content, FixtureResult};
use tempfile::TempDir;

/// CAR files in a folder of their own. There is one handle, because pins live in it, and nothing beyond the files.
struct Fixture {
    pinner: Arc<CarPinner>,
    files: Files,
    directory: TempDir,
}

/// Which blocks each file has.
#[derive(Clone, Copy, PartialEq)]
enum Files {
    /// Each block is in one of so many files.
    Spread(usize),
    /// Each block is in both of two files.
    Twice,
}

impl Fixture {
    async fn over(files: Files, content: Content) -> FixtureResult<Self> {
        let directory = tempfile::tempdir()?;
        let mut paths = Vec::new();
        let (count, first, step) = match files {
            Files::Spread(count) => (count, 1, count),
            Files::Twice => (2, 0, 1),
        };
        for number in 0..count {
            let path = directory.path().join(format!("{number}.car"));
            let mut writer = CarWriter::create(&path, &[])?;
            for block in content.blocks.iter().skip(first * number).step_by(step) {
                writer.put(&block.cid, &block.bytes)?;
            }
            writer.finish(&[])?;
            paths.push(path);
        }
        Ok(Self {
            pinner: Arc::new(CarPinner::open(paths).await?),
            files,
            directory,
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

    async fn spoil(&self) -> FixtureResult<Option<()>> {
        if self.files != Files::Twice {
            return Ok(None);
        }
        let path = self.directory.path().join("0.car");
        let mut bytes = fs::read(&path)?;
        for section in parse_car(&bytes)?.sections {
            if section.length > 0 {
                bytes[usize::try_from(section.offset)?] ^= 1;
            }
        }
        // In place: the backend has the file open.
        fs::write(&path, bytes)?;
        Ok(Some(()))
    }
}

mod one_file {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(Files::Spread(1), content));
}

mod several_files {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(Files::Spread(3), content));
}

mod two_files_of_the_same {
    use super::*;

    pinner_conformance::conformance_tests!(|content| Fixture::over(Files::Twice, content));
}
