//! The files of a repository, written here as Kubo writes them, or as it would not.

mod beside;
mod conformance;
mod hostile;
mod opening;

use std::{
    fs,
    path::{Path, PathBuf},
};

use kubo_protocol::Sharding;
use pinner_api::{BlockRequest, Bytes, Cid, Pinner, PinnerError};
use pinner_conformance::Block;
use pinner_kubo::RepositoryPinner;
use tempfile::TempDir;

/// The function that Kubo uses unless it is told otherwise.
const DEFAULT: &str = "next-to-last/2";

/// A repository. Dropping it removes it.
struct Repository {
    folder: TempDir,
    sharding: Sharding,
}

impl Repository {
    /// An empty repository with this sharding function, as `ipfs init` makes it.
    fn new(function: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let function = format!("/repo/flatfs/shard/v1/{function}");
        let it = Self {
            folder,
            sharding: function.parse().expect("a function"),
        };
        let spec = format!(
            r#"{{"mounts":[{{"mountpoint":"/blocks","path":"blocks","shardFunc":"{function}","type":"flatfs"}},{{"mountpoint":"/","path":"datastore","type":"levelds"}}],"type":"mount"}}"#
        );
        it.write("datastore_spec", &spec);
        it.write("version", "18\n");
        fs::create_dir(it.path().join("blocks")).expect("a directory");
        it.write("blocks/SHARDING", &format!("{function}\n"));
        it
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// The file of a block, in a directory that exists.
    fn file(&self, cid: &Cid) -> PathBuf {
        let file = self.sharding.file_of(cid);
        let shard = self.path().join("blocks").join(file.shard);
        fs::create_dir_all(&shard).expect("a directory");
        shard.join(file.name)
    }

    fn put(&self, block: &Block) {
        fs::write(self.file(&block.cid), &block.bytes).expect("written");
    }

    /// A new block, put into the repository.
    fn with_block(&self) -> Block {
        let block = Block::unique(1000);
        self.put(&block);
        block
    }

    async fn open(&self) -> RepositoryPinner {
        RepositoryPinner::open(self.path()).await.expect("it opens")
    }
}

async fn read(pinner: &dyn Pinner, cid: &Cid) -> Result<Bytes, PinnerError> {
    let answer = pinner.block(&BlockRequest::new(*cid)).await?;
    Ok(answer.bytes)
}

async fn reads(pinner: &dyn Pinner, block: &Block) {
    let got = read(pinner, &block.cid).await;
    assert_eq!(got.expect("it is there"), block.bytes, "{}", block.cid);
}
