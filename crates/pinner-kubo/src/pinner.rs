//! [`KuboPinner`]: a node that answered, as a [`Pinner`]. Each call of the trait is handed to the file that owns it.

use std::time::Duration;

use cid::Cid;
use kubo_protocol::Version;
use pinner_api::{
    BoxStream, Bytes, Capabilities, Holder, Names, Origin, Pin, PinDepth, Pinner, PinnerError,
    async_trait,
};
use pinner_http::{Client, Endpoint};
use tokio::{sync::Semaphore, time::Instant};

use crate::{cluster::Front, gateway::Gateway, turns::Turns};

/// A Kubo node.
///
/// # Pins
/// They are counted by holder, on the node itself: any number of processes may hold the same content on one node. A
/// holder is one process's at a time, as `pinset`'s are: two processes that pin and release *as the same holder* side
/// by side may lose a pin of that holder's, and no other's.
///
/// # Cancellation
/// A call that is dropped closes its connection, upon which the node gives up what it was doing. Whether a pin was
/// made, or released, is then not known; [`unpin`](Pinner::unpin) makes it so, whatever it was.
///
/// # Errors
/// As [`PinnerError`] has them. [`NotFound`](PinnerError::NotFound) is given by nodes that are offline; one with a
/// network behind it cannot prove that a block is nowhere, and gives [`TimedOut`](PinnerError::TimedOut).
#[derive(Debug)]
pub struct KuboPinner {
    /// The RPC, in lanes: calls for blocks, pins that may take hours, and the rest do not take each other's turns.
    pub(crate) blocks: Client,
    pub(crate) long: Client,
    pub(crate) control: Client,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) version: Version,
    pub(crate) front: Front,
    pub(crate) capabilities: Capabilities,
    pub(crate) block_deadline: Duration,
    pub(crate) pin_stall_deadline: Duration,
    pub(crate) turns: Turns,
    /// How many recursive pins are under way. A pin waits for its place here for as long as it takes.
    pub(crate) places: Semaphore,
    /// Held while MFS is written.
    pub(crate) mfs: tokio::sync::Mutex<()>,
}

impl KuboPinner {
    /// The address of the node's RPC.
    pub fn endpoint(&self) -> &Endpoint {
        self.control.endpoint()
    }

    /// The gateway that blocks come through, where there is one.
    pub fn gateway(&self) -> Option<&Endpoint> {
        self.gateway.as_ref().map(Gateway::endpoint)
    }

    /// Whether what answers at [`endpoint`](Self::endpoint) is IPFS Cluster's proxy: pins are the cluster's then,
    /// and there are no lazy ones.
    pub fn is_cluster_proxy(&self) -> bool {
        self.front == Front::ClusterProxy
    }

    /// What the node was when it was connected to.
    pub fn version(&self) -> Version {
        self.version
    }
}

#[async_trait]
impl Pinner for KuboPinner {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The origin is not used: the node keeps no session from one call to the next, and asks everybody whom it is
    /// connected to, which those are that had the root.
    async fn block(&self, cid: &Cid, _origin: &Origin) -> Result<Bytes, PinnerError> {
        let deadline = Instant::now() + self.block_deadline;
        let fetched = self.fetch(cid, deadline).await;
        fetched.map_err(|error| match error {
            // Not the share of the one that was asked last.
            PinnerError::TimedOut { operation, .. } => PinnerError::TimedOut {
                operation,
                after: self.block_deadline,
            },
            other => other,
        })
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        match depth {
            PinDepth::Recursive => self.pin_recursive(holder, root).await,
            PinDepth::Lazy if !self.capabilities.lazy_pins => Err(PinnerError::Unsupported {
                operation: match self.front {
                    Front::Node => "lazy pins (a Kubo node has them from 0.43 on)",
                    Front::ClusterProxy => "lazy pins (IPFS Cluster's proxy takes no part in MFS)",
                },
            }),
            PinDepth::Lazy => self.pin_lazy(holder, root).await,
        }
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let recursive = self.unpin_recursive(holder, root).await;
        // Even if that failed: what can be released is.
        let lazy = match self.capabilities.lazy_pins {
            true => self.unpin_lazy(holder, root).await,
            false => Ok(()),
        };
        recursive.and(lazy)
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        self.list()
    }

    fn names(&self) -> Option<&dyn Names> {
        Some(self)
    }
}
