//! The repository of a Kubo node on this machine: the flag that names it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use pinner_api::Pinner;
use pinner_kubo::{RepositoryError, RepositoryPinner};

/// The repository of a Kubo node.
#[derive(Args, Debug)]
pub(crate) struct RepositoryArgs {
    /// The repository of a Kubo node on this machine (~/.ipfs), with its blocks in flatfs, as usual. They are read from
    /// its files and verified. No daemon is needed, and nothing is written. With --kubo, its node is asked for blocks
    /// that are not there. A node's denylists are not consulted for blocks from files
    #[arg(long, value_name = "DIR")]
    kubo_repo: Option<PathBuf>,
}

impl RepositoryArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str =
        "  --kubo-repo DIR the files of a Kubo node's repository, with or without its daemon\n";

    /// The repository, if the flag is given.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.kubo_repo.as_deref()
    }

    /// Opens the repository in `dir` without a node. `block_deadline` is the longest that a block may take.
    pub(crate) async fn open(
        &self,
        dir: &Path,
        block_deadline: Duration,
    ) -> anyhow::Result<Arc<dyn Pinner>> {
        match RepositoryPinner::open(dir).await {
            Ok(repository) => Ok(Arc::new(repository.block_deadline(block_deadline))),
            Err(error @ RepositoryError::NotFlatfs { .. }) => Err(anyhow::anyhow!(
                "{error} (start `ipfs daemon`, and pass --kubo instead)"
            )),
            Err(error) => Err(anyhow::Error::new(error).context("--kubo-repo cannot be used")),
        }
    }
}
