//! A backend of one's own: a directory with one file a block, named by the CID.
//!
//! A backend without pins implements one method. What it returns is verified by the cache, so a wrong file can
//! make a read fail, and never makes it wrong.

use std::{io, ops::ControlFlow, path::PathBuf, sync::Arc};

use pinner_api::{Bytes, Cid, Origin, Pinner, PinnerError, async_trait};
use pinner_car::ImportOptions;
use pinset::{IpfsPath, PinsetBuilder};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Blocks as the files of a directory.
#[derive(Debug)]
struct Folder(PathBuf);

#[async_trait]
impl Pinner for Folder {
    async fn block(&self, cid: &Cid, _origin: &Origin) -> std::result::Result<Bytes, PinnerError> {
        match tokio::fs::read(self.0.join(cid.to_string())).await {
            Ok(bytes) => Ok(bytes.into()),
            // The directory is all there is, so a file that is not there proves the absence.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(PinnerError::NotFound { cid: *cid })
            }
            Err(error) => Err(PinnerError::Unavailable {
                operation: format!("read the block {cid}"),
                source: Some(pinner_api::Cause::new(error)),
            }),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let blocks = folder.path().join("blocks");
    std::fs::create_dir(&blocks)?;
    let source = folder.path().join("note.txt");
    std::fs::write(&source, "One file a block.\n")?;
    let imported = pinner_car::import(
        &source,
        &ImportOptions::default(),
        |cid, block| Ok(std::fs::write(blocks.join(cid.to_string()), block).unwrap_or_default()),
        |_| ControlFlow::Continue(()),
    )?;

    let cache = PinsetBuilder::new(Arc::new(Folder(blocks)), 16 << 20)
        .lock_dir(folder.path().join("cache"))
        .shared()
        .await?;
    let node = cache.open(&IpfsPath::root(imported.root)).await?;
    println!("{node:?}");
    // There are no pins here, which the backend's capabilities say.
    let refused = cache.ensure(&imported.root).await;
    println!("{}", refused.expect_err("a folder keeps no pins"));
    cache.close().await?;
    Ok(())
}
