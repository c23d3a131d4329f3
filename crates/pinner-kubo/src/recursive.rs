//! Recursive pins: the node pins a wrapper of our own, one for each holder and root.
//!
//! Invariant (I5): only wrappers are pinned and unpinned, never a root; so neither another holder's pin nor the
//! owner's can be lost by anything that is done here, whatever fails or is given up half-way.

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

/// How long another holder's pin of the same root is looked for. Finding one saves the node a walk over the DAG.
const LOOKING: Duration = Duration::from_secs(2);

/// How long a pin that failed may take to be taken out again: its caller waits for the error.
const UNDOING: Duration = Duration::from_secs(10);

/// A line of `refs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reference {
    #[serde(default)]
    err: String,
}

impl KuboPinner {
    /// Pins the whole DAG; returns once the node says that it is complete.
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
        // A place means a turn in the lane of long calls: the deadline for the first sign of an answer begins there.
        // Nobody closes the semaphore, so that there is always one in the end.
        let _place = self.places.acquire().await.ok();
        let pinned = self.pin_unpinned(&wrapper).await;
        if pinned.is_err() {
            // The node may have pinned it, and only its answer was lost; an error says that nothing is pinned.
            let deadline = Instant::now() + UNDOING.min(self.block_deadline);
            if let Err(error) = self.remove(&wrapper, deadline).await {
                tracing::debug!(%wrapper, %error, "a pin that failed could not be made sure to be gone");
            }
        }
        pinned
    }

    async fn pin_unpinned(&self, wrapper: &Wrapper) -> Result<(), PinnerError> {
        if self.front == Front::ClusterProxy {
            // It answers before anything is fetched.
            self.complete(&wrapper.root).await?;
        }
        if let Some(live) = self.live_pin_of(&wrapper.root).await {
            match self.update(&live, wrapper).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is(Reason::UpdateToThere) => return Ok(()),
                // Its holder has just let it go; or the node has no such call.
                Err(error) => tracing::debug!(?error, "no pin to start from, after all"),
            }
        }
        self.add(wrapper).await
    }

    /// Fetches the whole DAG to the node, which may take as long as it gets on.
    pub(crate) async fn complete(&self, root: &Cid) -> Result<(), PinnerError> {
        let mut references = call(&self.long, "refs", root)
            .arg(root)
            .option("recursive", true)
            .option("unique", true)
            .stream(self.pin_stall_deadline)
            .await
            .map_err(|error| error.into_pinner(Some(root)))?;
        // Each line is a block that was found, so that no further look at progress is needed.
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

    /// Takes the holder's pin out. What is not pinned is done.
    pub(crate) async fn unpin_recursive(
        &self,
        holder: &Holder,
        root: &Cid,
    ) -> Result<(), PinnerError> {
        // It waits for a collection that is going on.
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

    /// Any holder's pin of the root. None where it cannot be told in a short time: it only makes things cheaper.
    async fn live_pin_of(&self, root: &Cid) -> Option<Wrapper> {
        let found = timeout(LOOKING, self.wrappers(|wrapper| wrapper.root == *root)).await;
        found.ok()?.ok()?.into_iter().next()
    }

    /// Pins `to`, of which all but its own block is complete since `from` is pinned.
    async fn update(&self, from: &Wrapper, to: &Wrapper) -> Result<(), CallError> {
        let deadline = Instant::now() + self.pin_stall_deadline;
        call(&self.long, "pin/update", to.root)
            .arg(from)
            .arg(to)
            .option("unpin", false)
            .done(deadline)
            .await
    }

    /// Has the node fetch and pin the DAG. It counts what it has as it goes; as long as that grows, it may go on.
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
        // Lines without progress come twice a second: it is not enough that anything comes.
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
            // A failure after the beginning is told behind the end, where a proxy may lose it.
            false => Err(PinnerError::Unavailable {
                operation: format!("pin/add {root} at {}", self.long.endpoint()),
                source: Some(Cause::new(
                    "the answer ends without saying that the pin was made",
                )),
            }),
        }
    }

    fn stalled(&self, root: &Cid) -> PinnerError {
        PinnerError::TimedOut {
            operation: format!(
                "pin/add {root} at {}: the node found no further block",
                self.long.endpoint()
            ),
            after: self.pin_stall_deadline,
        }
    }
}
