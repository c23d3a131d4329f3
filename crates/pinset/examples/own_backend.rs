//! A backend of one's own: a directory with one file a block, named by the CID.
//!
//! A backend without pins implements one method. The cache verifies every block that it returns. So a wrong file makes a
//! read fail, and no reader sees its bytes.

use std::{error::Error, io, ops::ControlFlow, path::PathBuf, sync::Arc, time::Instant};

use pinner_api::{Answer, BlockRequest, Bytes, Cid, Pinner, PinnerError, async_trait};
use pinner_car::{CarError, ImportOptions};
use pinset::{IpfsPath, Node, PinsetBuilder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Blocks as the files of a directory.
#[derive(Debug)]
struct Folder(PathBuf);

#[async_trait]
impl Pinner for Folder {
    async fn block(&self, request: &BlockRequest) -> std::result::Result<Answer, PinnerError> {
        request.in_time(Instant::now())?;
        let cid = request.cid();
        match tokio::fs::read(self.0.join(cid.to_string())).await {
            Ok(bytes) => Ok(Bytes::from(bytes).into()),
            // There is no other place for a block, so a missing file proves its absence.
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
    // A directory of blocks, written by the importer.
    let folder = tempfile::tempdir()?;
    let (source, blocks) = (folder.path().join("note.txt"), folder.path().join("blocks"));
    std::fs::create_dir(&blocks)?;
    std::fs::write(&source, "One file a block.\n")?;
    let write = |cid: Cid, block: Bytes| {
        let path = blocks.join(cid.to_string());
        std::fs::write(&path, block).map_err(|source| CarError::Io {
            operation: "write",
            path,
            source,
        })
    };
    let go_on = |_| ControlFlow::Continue(());
    let root = pinner_car::import(&source, &ImportOptions::default(), write, go_on)?.root;

    let cache = PinsetBuilder::new(Arc::new(Folder(blocks)), 16 << 20)
        .lock_dir(folder.path().join("cache"))
        .shared()
        .await?;
    let Node::File(file) = cache.open(&IpfsPath::root(root)).await? else {
        return Err("the root is not a file".into());
    };
    print!(
        "{}",
        String::from_utf8_lossy(&file.read_at(0, 1 << 20).await?)
    );

    // A backend without pins refuses them.
    if let Err(refused) = cache.ensure(&root).await {
        println!("{refused}: {}", refused.source().ok_or("no source")?);
    }
    cache.close().await?;
    Ok(())
}
