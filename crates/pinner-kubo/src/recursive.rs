//! Recursive pins: the node pins a wrapper of our own, one for each holder and root.
//!
//! Invariant (I5): only wrappers are pinned and unpinned, never a root. So nothing here can lose another holder's pin
//! or the owner's, whatever fails or is cancelled half-way.

use std::time::Duration;

use cid::Cid;
use kubo_protocol::{PinAddLine, Reason, Wrapper};
use pinner_api::{Cause, Holder, PinnerError};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    cluster::Front,
    pinner::KuboPinner,
    rpc::{CallError, call},
};

/// How long to look for another holder's pin of the same root. Finding one saves the node a walk over the DAG.
const LOOKING: Duration = Duration::from_secs(2);

/// How long removing a failed pin may take: the caller is waiting for the error.
const UNDOING: Duration = Duration::from_secs(10);

/// A line of `refs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reference {
    #[serde(default)]
    err: String,
}

impl KuboPinner {
    /// Pins the whole DAG. Returns once the node says that it is complete.
    pub(crate) async fn pin_recursive(
        &self,
        holder: &Holder,
        root: &Cid,
    ) -> Result<(), PinnerError> {
        let wrapper = Wrapper::new(*holder, *root);
        let _turn = self.turns.of(holder, root).await;
        if self.is_pinned(&wrapper).await? {
            return Ok(());
        }
        // A permit guarantees a turn in the lane of long calls, where the deadline for the start of an answer begins.
        // The semaphore is never closed, so acquiring it succeeds in the end.
        let _place = self.places.acquire().await.ok();
        let pinned = self.pin_unpinned(&wrapper).await;
        if pinned.is_err() {
            // The node may have pinned it and only the answer was lost, but an error promises that nothing is pinned.
            let deadline = Instant::now() + UNDOING.min(self.block_deadline);
            if let Err(error) = self.remove(&wrapper, deadline).await {
                tracing::debug!(%wrapper, %error, "cannot make sure that a failed pin is gone");
            }
        }
        pinned
    }

    async fn pin_unpinned(&self, wrapper: &Wrapper) -> Result<(), PinnerError> {
        if self.front == Front::ClusterProxy {
            // The proxy answers `pin/add` before anything is fetched.
            self.complete(&wrapper.root).await?;
        }
        if let Some(live) = self.live_pin_of(&wrapper.root).await {
            match self.update(&live, wrapper).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is(Reason::UpdateToThere) => return Ok(()),
                // The other holder has just released it, or the node has no such call.
                Err(error) => tracing::debug!(?error, "cannot start from another holder's pin"),
            }
        }
        self.add(wrapper).await
    }

    /// Fetches the whole DAG to the node. This may take any time as long as there is progress.
    pub(crate) async fn complete(&self, root: &Cid) -> Result<(), PinnerError> {
        let mut references = call(&self.long, "refs", root)
            .arg(root)
            .option("recursive", true)
            .option("unique", true)
            .stream(self.pin_stall_deadline)
            .await
            .map_err(|error| error.into_pinner(Some(root)))?;
        // Each line is a block that was found, so the lines themselves are the progress.
        while let Some(reference) = references
            .next::<Reference>()
            .await
            .map_err(|error| error.into_pinner(Some(root)))?
        {
            let Reference { err } = reference?;
            if !err.is_empty() {
                return Err(PinnerError::Unavailable {
                    operation: format!("refs {root} at {}", self.long.endpoint()),
                    source: Some(Cause::new(err)),
                });
            }
        }
        Ok(())
    }

    /// Removes the holder's pin. An absent pin is a success.
    pub(crate) async fn unpin_recursive(
        &self,
        holder: &Holder,
        root: &Cid,
    ) -> Result<(), PinnerError> {
        // The call waits for a garbage collection in progress.
        let deadline = Instant::now() + self.pin_stall_deadline;
        self.remove(&Wrapper::new(*holder, *root), deadline).await
    }

    async fn remove(&self, wrapper: &Wrapper, deadline: Instant) -> Result<(), PinnerError> {
        let removed = call(&self.control, "pin/rm", wrapper.root)
            .arg(wrapper)
            .done(deadline)
            .await;
        match removed {
            Ok(()) => Ok(()),
            Err(error) if error.is(Reason::NotPinned) => Ok(()),
            Err(error) => Err(error.into_pinner(None)),
        }
    }

    async fn is_pinned(&self, wrapper: &Wrapper) -> Result<bool, PinnerError> {
        let deadline = Instant::now() + self.block_deadline;
        let listed = call(&self.control, "pin/ls", wrapper.root)
            .arg(wrapper)
            .option("type", "recursive")
            .done(deadline)
            .await;
        match listed {
            Ok(()) => Ok(true),
            Err(error) if error.is(Reason::NotPinned) => Ok(false),
            Err(error) => Err(error.into_pinner(None)),
        }
    }

    /// Returns any holder's pin of the root. `None` if the answer takes too long or fails: it only saves work.
    async fn live_pin_of(&self, root: &Cid) -> Option<Wrapper> {
        let found = timeout(LOOKING, self.wrappers(|wrapper| wrapper.root == *root)).await;
        found.ok()?.ok()?.into_iter().next()
    }

    /// Pins `to`. Everything below its own block is already complete, because `from` is pinned.
    async fn update(&self, from: &Wrapper, to: &Wrapper) -> Result<(), CallError> {
        let deadline = Instant::now() + self.pin_stall_deadline;
        call(&self.long, "pin/update", to.root)
            .arg(from)
            .arg(to)
            .option("unpin", false)
            .done(deadline)
            .await
    }

    /// Has the node fetch and pin the DAG. The node counts the blocks and bytes; the pin may go on as long as these
    /// grow.
    async fn add(&self, wrapper: &Wrapper) -> Result<(), PinnerError> {
        let root = &wrapper.root;
        let stall = self.pin_stall_deadline;
        let mut lines = call(&self.long, "pin/add", root)
            .arg(wrapper)
            .option("progress", true)
            .stream(stall)
            .await
            .map_err(|error| error.into_pinner(Some(root)))?;
        let mut pinned = false;
        let mut reached = (0, 0);
        let mut deadline = Instant::now() + stall;
        // Lines come twice a second even without progress, so a line alone does not extend the deadline.
        while let Some(line) = timeout_at(deadline, lines.next::<PinAddLine>())
            .await
            .map_err(|_| self.stalled(root))?
            .or_else(|error| match pinned {
                true => Ok(None),
                false => Err(error.into_pinner(Some(root))),
            })?
        {
            let line = line?;
            pinned |= line.pins.is_some_and(|pins| !pins.is_empty());
            if (line.progress, line.bytes) != reached {
                reached = (line.progress, line.bytes);
                deadline = Instant::now() + stall;
            } else if Instant::now() >= deadline {
                return Err(self.stalled(root));
            }
        }
        match pinned {
            true => Ok(()),
            // A failure after the start is reported in a trailer, which a proxy may drop.
            false => Err(PinnerError::Unavailable {
                operation: format!("pin/add {root} at {}", self.long.endpoint()),
                source: Some(Cause::new(
                    "the answer ended without saying that the pin was made",
                )),
            }),
        }
    }

    fn stalled(&self, root: &Cid) -> PinnerError {
        PinnerError::TimedOut {
            operation: format!(
                "pin/add {root} at {}: the node found no more blocks",
                self.long.endpoint()
            ),
            after: self.pin_stall_deadline,
        }
    }
}
