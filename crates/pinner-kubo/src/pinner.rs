//! [`KuboPinner`]: a connected node as a [`Pinner`]. Each call of the trait is passed to the file that owns it.

use std::{path::Path, time::Duration};

use cid::Cid;
use kubo_protocol::Version;
use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Holder, Names, Pin, PinDepth, Pinner,
    PinnerError, SourceId, Verdict, async_trait,
};
use pinner_http::{Client, Endpoint};
use tokio::{sync::Semaphore, time::Instant};

use crate::{cluster::Front, gateway::Gateway, repository::Beside, turns::Turns};

/// A Kubo node.
///
/// # Pins
/// They are counted by holder, on the node itself: any number of processes may hold the same content on one node. A
/// holder belongs to one process at a time, as those of `pinset` do. Two processes that pin and release *as the same
/// holder* concurrently may lose a pin of that holder, but of no other.
///
/// # Cancellation
/// Dropping a call closes its connection, and the node then stops the work. Whether the pin was made or released is
/// unknown afterwards; [`unpin`](Pinner::unpin) releases it in either case.
///
/// # Errors
/// See [`PinnerError`]. A node that is offline returns [`NotFound`](PinnerError::NotFound). A node on a network cannot
/// prove that a block exists nowhere, and returns [`TimedOut`](PinnerError::TimedOut).
#[derive(Debug)]
pub struct KuboPinner {
    /// The RPC, in lanes: calls for blocks, pins that may take hours, and other calls do not wait for each other.
    pub(crate) blocks: Client,
    pub(crate) long: Client,
    pub(crate) control: Client,
    /// The RPC as a source of blocks.
    pub(crate) source: SourceId,
    pub(crate) gateway: Option<Gateway>,
    /// The files in which the node keeps its blocks, if they are read.
    pub(crate) repository: Option<Beside>,
    /// How many blocks the lane of the RPC, or the gateway, lets be in flight.
    pub(crate) in_flight: usize,
    pub(crate) version: Version,
    pub(crate) front: Front,
    pub(crate) capabilities: Capabilities,
    pub(crate) block_deadline: Duration,
    pub(crate) pin_stall_deadline: Duration,
    pub(crate) turns: Turns,
    /// Bounds the recursive pins under way. A pin waits here without a deadline.
    pub(crate) places: Semaphore,
    /// Held while MFS is written.
    pub(crate) mfs: tokio::sync::Mutex<()>,
}

impl KuboPinner {
    /// The address of the node's RPC.
    pub fn endpoint(&self) -> &Endpoint {
        self.control.endpoint()
    }

    /// The gateway from which blocks come, if there is one.
    pub fn gateway(&self) -> Option<&Endpoint> {
        self.gateway.as_ref().map(Gateway::endpoint)
    }

    /// The repository whose files are read, if there is one.
    pub fn repository(&self) -> Option<&Path> {
        self.repository.as_ref().map(Beside::repository)
    }

    /// Whether IPFS Cluster's proxy answers at [`endpoint`](Self::endpoint). Pins are then the cluster's, and there are
    /// no lazy pins.
    pub fn is_cluster_proxy(&self) -> bool {
        self.front == Front::ClusterProxy
    }

    /// The node's version when it was connected to.
    pub fn version(&self) -> Version {
        self.version
    }
}

#[async_trait]
impl Pinner for KuboPinner {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The origin is not used. The node keeps no session between calls; it asks all its connected peers, which include
    /// those that had the root. The source of an answer is the address of the node's gateway or of its RPC, or the
    /// repository. A repository's block that was found [wrong](Verdict::Wrong) comes from the node afterwards.
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let started = Instant::now();
        request.in_time(started.into_std())?;
        let deadline = request.ends_by(started.into_std(), self.block_deadline);
        let deadline = Instant::from_std(deadline);
        let fetched = self.fetch(request, deadline).await;
        fetched.map_err(|error| match error {
            // The error has the share of the server asked last; report the whole time.
            PinnerError::TimedOut { operation, .. } => PinnerError::TimedOut {
                operation,
                after: deadline - started,
            },
            other => other,
        })
    }

    /// A gateway whose block was wrong is not used for a while.
    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        let gateway = self.gateway.as_ref();
        let gateway = gateway.filter(|gateway| Some(gateway.source()) == source);
        if let (Some(gateway), Verdict::Wrong) = (gateway, verdict) {
            gateway.lied();
        }
        if let Some(repository) = &self.repository {
            repository.verdict(request.cid(), source, verdict);
        }
    }

    /// As many as [`KuboBuilder::in_flight`](crate::KuboBuilder::in_flight) allows.
    fn concurrency(&self) -> usize {
        self.in_flight
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        match depth {
            PinDepth::Recursive => self.pin_recursive(holder, root).await,
            PinDepth::Lazy if !self.capabilities.lazy_pins => Err(PinnerError::Unsupported {
                operation: match self.front {
                    Front::Node => "lazy pins (they need Kubo 0.43 or newer)",
                    Front::ClusterProxy => "lazy pins (IPFS Cluster does not share MFS)",
                },
            }),
            PinDepth::Lazy => self.pin_lazy(holder, root).await,
        }
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let recursive = self.unpin_recursive(holder, root).await;
        // Release this one even if the other failed.
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
