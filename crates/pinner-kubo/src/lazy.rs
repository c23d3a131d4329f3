//! Lazy pins: an entry in MFS, the node's own file system, one for each holder and root.
//!
//! Kubo's collector keeps what lies below MFS's root and does not miss what is not there, which is just what a lazy
//! pin is. Entries are `/wasi-ipfs-pins/<holder>/<CID>`.
//!
//! Writes are flushed: one that is not lives in the node's memory alone, and a node that is killed would have lost
//! pins whose holders live. One at a time: each rewrites the directories up to MFS's root.
//!
//! Invariant (I5): only entries of that form are made and removed. A root is not asked of the network while MFS
//! waits for it: `files/cp` of what cannot be found would hold up the node's collection.

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

/// How long one change of MFS may take, once the root's block is on the node. It may wait for a collection.
const CHANGE: Duration = Duration::from_secs(10);

/// The answer of `files/stat`, as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    /// The links of the directory's own block: none where the directory is empty.
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
                // It may have been made, and only the answer was lost; an error says that nothing is pinned.
                if let Err(error) = self.remove_entry(holder, root).await {
                    tracing::debug!(?error, %root, "an entry that failed could not be made sure to be gone");
                }
                Err(error.into_pinner(Some(root)))
            }
        }
    }

    /// Removes the entry, and the holder's directory with the last of them. What is not there is done.
    pub(crate) async fn unpin_lazy(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        // Held over all of it: a directory is removed as empty, and nobody of this process fills it meanwhile.
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

    /// Has the root's block on the node, by its own deadline: what is not to be had is found out here, where no
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
                // By the RPC: a gateway that was named may be another node's.
                Some(Reason::BlockAbsent { .. }) => {
                    self.block_get(root, deadline).await.map(|_| ())
                }
                Some(_) | None => Err(error.into_pinner(Some(root))),
            },
        }
    }

    async fn remove_entry(&self, holder: &Holder, root: &Cid) -> Result<(), CallError> {
        // By force: absent is fine then, and so is a root that is a directory, or whose block is gone.
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
