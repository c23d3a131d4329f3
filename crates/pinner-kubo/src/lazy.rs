//! Lazy pins: an entry in MFS, the node's own file system, one for each holder and root.
//!
//! Kubo's garbage collector keeps the blocks below MFS's root that it has and tolerates missing ones, which is exactly
//! what a lazy pin needs. Entries are `/wasi-ipfs-pins/<holder>/<CID>`.
//!
//! Writes are flushed. An unflushed write exists only in the node's memory, and a node that is killed would lose pins
//! whose holders live. Writes happen one at a time, because each rewrites the directories up to MFS's root.
//!
//! Invariant (I5): only entries of that form are made and removed. MFS never waits for a root from the network:
//! `files/cp` of a block that cannot be found would hold up the node's collection.

use std::time::Duration;

use cid::Cid;
use kubo_protocol::{Reason, mfs};
use pinner_api::{Holder, PinnerError};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    pinner::KuboPinner,
    rpc::{CallError, call},
};

/// How long one change of MFS may take, once the root's block is on the node. It may have to wait for a collection.
const CHANGE: Duration = Duration::from_secs(10);

/// The part of the answer of `files/stat` that is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    /// The number of links in the directory's own block: zero if the directory is empty.
    #[serde(default)]
    blocks: u64,
}

impl KuboPinner {
    /// Makes the entry. Fetches the root's own block, and nothing beyond it.
    pub(crate) async fn pin_lazy(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.bring(root).await?;
        let _writing = self.mfs.lock().await;
        let made = call(&self.control, "files/cp", root)
            .arg(format!("/ipfs/{root}"))
            .arg(mfs::pin_path(holder, root))
            .option("parents", true)
            .done(self.change())
            .await;
        match made {
            Ok(()) => Ok(()),
            Err(error) if error.is(Reason::EntryThere) => Ok(()),
            Err(error) => {
                // The entry may have been made and only the answer lost, but an error promises that nothing is pinned.
                if let Err(error) = self.remove_entry(holder, root).await {
                    tracing::debug!(?error, %root, "cannot make sure that a failed entry is gone");
                }
                Err(error.into_pinner(Some(root)))
            }
        }
    }

    /// Removes the entry, and with the holder's last entry its directory. An absent entry is a success.
    pub(crate) async fn unpin_lazy(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        // Held throughout, so that nobody in this process adds to the directory between the check and its removal.
        let _writing = self.mfs.lock().await;
        self.remove_entry(holder, root)
            .await
            .map_err(|error| error.into_pinner(None))?;
        if let Err(error) = self.remove_if_empty(holder).await {
            // An empty directory holds nothing; the holder's next release tries again.
            tracing::debug!(?error, %holder, "an empty directory is left in MFS");
        }
        Ok(())
    }

    /// Brings the root's block to the node, by its own deadline. A block that cannot be found fails here, while no
    /// collection waits for it.
    async fn bring(&self, root: &Cid) -> Result<(), PinnerError> {
        let deadline = Instant::now() + self.block_deadline;
        let local = call(&self.control, "block/stat", root)
            .arg(root)
            .option("offline", true)
            .done(deadline)
            .await;
        match local {
            Ok(()) => Ok(()),
            Err(error) => match error.refusal().map(|refusal| refusal.reason) {
                // Through the RPC: a configured gateway may be another node's.
                Some(Reason::BlockAbsent { .. }) => {
                    self.block_get(root, deadline).await.map(|_| ())
                }
                Some(_) | None => Err(error.into_pinner(Some(root))),
            },
        }
    }

    async fn remove_entry(&self, holder: &Holder, root: &Cid) -> Result<(), CallError> {
        // With `force`, an absent entry is a success, and a root may be a directory or have lost its block.
        let path = mfs::pin_path(holder, root);
        call(&self.control, "files/rm", &path)
            .arg(&path)
            .option("force", true)
            .done(self.change())
            .await
    }

    async fn remove_if_empty(&self, holder: &Holder) -> Result<(), CallError> {
        let path = mfs::holder_path(holder);
        let stat = call(&self.control, "files/stat", &path)
            .arg(&path)
            .json::<Stat>(4096, self.change())
            .await;
        match stat {
            Ok(Ok(Stat { blocks: 0 })) => {
                call(&self.control, "files/rm", &path)
                    .arg(&path)
                    .option("recursive", true)
                    .done(self.change())
                    .await
            }
            Ok(_) => Ok(()),
            Err(error) if error.is(Reason::EntryAbsent) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn change(&self) -> Instant {
        Instant::now() + CHANGE.min(self.block_deadline)
    }
}
