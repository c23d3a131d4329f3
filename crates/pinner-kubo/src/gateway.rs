//! The node's own gateway as a source of its blocks: more than twice as fast as the RPC, and optional.
//!
//! Invariant: the RPC is asked for whatever the gateway cannot do. A gateway that fails, sends wrong bytes, or turns out
//! to be another node's, is left alone for a while, and has to prove itself before it is used again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Bytes, SourceId};
use pinner_gateway::GatewayError;
use pinner_http::{Client, HeaderValue, HttpError, Waiting, header};
use serde::Deserialize;
use tokio::time::Instant;

use crate::rpc::{CallError, call, may_be_empty};

/// How long a gateway is left alone after its first failure. The time doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The pause after wrong bytes.
const PAUSE_AFTER_LIE: Duration = Duration::from_secs(60);
/// How long the proof may take.
const PROVING: Duration = Duration::from_secs(5);

const RAW_BLOCK: HeaderValue = HeaderValue::from_static("application/vnd.ipld.raw");
const ONLY_IF_CACHED: HeaderValue = HeaderValue::from_static("only-if-cached");
const RAW: u64 = 0x55;

/// A gateway, and whether it is in use at the moment.
#[derive(Debug)]
pub(crate) struct Gateway {
    blocks: pinner_gateway::Gateway,
    source: SourceId,
    client: Client,
    ownership: Ownership,
    state: Mutex<State>,
}

/// Why a gateway is taken to be the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The caller says so.
    Given,
    /// It has to serve a block that only this node has.
    Proven,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Works,
    /// Not to be asked before `until`. The next pause takes `next`.
    Paused {
        since: Instant,
        until: Instant,
        next: Duration,
    },
}

/// The part of the answer of `id` that is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Identity {
    id: String,
}

impl Gateway {
    pub(crate) fn new(client: Client, ownership: Ownership) -> Self {
        Self {
            blocks: pinner_gateway::Gateway::new(client.clone()),
            source: SourceId::new(client.endpoint().to_string()),
            client,
            ownership,
            state: Mutex::new(State::Works),
        }
    }

    /// The gateway's address.
    pub(crate) fn endpoint(&self) -> &pinner_http::Endpoint {
        self.client.endpoint()
    }

    /// The gateway as a source of blocks.
    pub(crate) fn source(&self) -> &SourceId {
        &self.source
    }

    /// Returns the block by the deadline, or `None` if the RPC is to be asked. `node` is that RPC.
    pub(crate) async fn block(&self, node: &Client, cid: &Cid, deadline: Instant) -> Option<Bytes> {
        // The gateway gets half the time, so that one that hangs leaves the other half to the RPC. A block that is not
        // found by then is looked for again through the RPC, by a node that is now connected to possible providers.
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / 2;
        if !self.usable(node, share).await {
            return None;
        }
        let began = Instant::now();
        match self.blocks.block(cid, share).await {
            Ok(block) if block.is_empty() && !may_be_empty(cid) => {
                self.pause("it returned an empty body for a block that is not empty");
                None
            }
            Ok(block) => {
                self.resume(began);
                Some(block)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Decides whether a failure is a reason to leave the gateway alone. The RPC is asked in any case.
    fn failed(&self, error: &GatewayError) {
        let is_its_own = match error {
            // An absence is not believed until the node itself has been asked. Nor is a block that is too large.
            GatewayError::Absent { .. } | GatewayError::Http(HttpError::TooLarge { .. }) => false,
            // The gateway was not asked: the limit of calls in flight was reached.
            GatewayError::Http(HttpError::TimedOut {
                waiting: Waiting::Turn,
                ..
            }) => false,
            // This block was not found in time, or may not be served. Others may still come.
            GatewayError::Http(HttpError::Status(status)) => {
                !matches!(status.status.as_u16(), 451 | 504)
            }
            _ => true,
        };
        if is_its_own {
            self.pause(&error.to_string());
        }
    }

    /// Whether this is the gateway of the node whose RPC is `node`: it has to serve, without fetching it, a block
    /// that only that node has.
    ///
    /// The block is put on the node for this purpose, once. It is the same each time, contains the node's ID, and is
    /// not pinned.
    pub(crate) async fn proves(&self, node: &Client, deadline: Instant) -> bool {
        let deadline = deadline.min(Instant::now() + PROVING);
        match self.shows_its_nodes_block(node, deadline).await {
            Ok(shows) => shows,
            Err(error) => {
                tracing::debug!(?error, "cannot find out whether the gateway is the node's");
                false
            }
        }
    }

    async fn shows_its_nodes_block(
        &self,
        node: &Client,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let identity = call(node, "id", "")
            .json::<Identity>(64 * 1024, deadline)
            .await?;
        let Ok(Identity { id }) = identity else {
            return Ok(false);
        };
        let block = format!("wasi-ipfs asks whose gateway this is: the node's is {id}\n");
        let cid = Cid::new_v1(RAW, Code::Sha2_256.digest(block.as_bytes()));
        if self.shows(&cid, block.as_bytes(), deadline).await {
            return Ok(true);
        }
        call(node, "block/put", cid)
            .option("cid-codec", "raw")
            .file(block.as_bytes())
            .done(deadline)
            .await?;
        Ok(self.shows(&cid, block.as_bytes(), deadline).await)
    }

    async fn shows(&self, cid: &Cid, block: &[u8], deadline: Instant) -> bool {
        let answer = self
            .client
            .get(&format!("ipfs/{cid}"))
            .query("format", "raw")
            .header(header::ACCEPT, RAW_BLOCK)
            .header(header::CACHE_CONTROL, ONLY_IF_CACHED)
            .whole(4096, deadline)
            .await;
        answer.is_ok_and(|answer| answer.body == block)
    }

    /// Whether the gateway may be asked now. After a pause, one caller tries it while the others go on without it.
    async fn usable(&self, node: &Client, deadline: Instant) -> bool {
        {
            let mut state = self.state();
            match *state {
                State::Works => return true,
                State::Paused { until, .. } if Instant::now() < until => return false,
                State::Paused { next, .. } => *state = paused(next),
            }
        }
        let proves = match self.ownership {
            Ownership::Given => true,
            Ownership::Proven => self.proves(node, deadline).await,
        };
        if proves && self.ownership == Ownership::Proven {
            self.resume(Instant::now());
        }
        proves
    }

    /// Records that a block of the gateway was wrong.
    pub(crate) fn lied(&self) {
        tracing::warn!(gateway = %self.endpoint(), "the gateway sent wrong bytes; blocks come through the RPC for a while");
        *self.state() = paused(PAUSE_AFTER_LIE);
    }

    /// Uses the gateway again from now on, since a call that began at `began` succeeded.
    fn resume(&self, began: Instant) {
        let mut state = self.state();
        // A call that began before the pause says nothing about the time after it.
        match *state {
            State::Paused { since, .. } if began < since => {}
            State::Paused { .. } | State::Works => *state = State::Works,
        }
    }

    fn pause(&self, why: &str) {
        let mut state = self.state();
        if let State::Works = *state {
            tracing::debug!(gateway = %self.endpoint(), why, "blocks come through the RPC for a while");
            *state = paused(FIRST_PAUSE);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // The value is only ever replaced as a whole, so a panic elsewhere cannot leave it inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paused(pause: Duration) -> State {
    let now = Instant::now();
    State::Paused {
        since: now,
        until: now + pause,
        next: (2 * pause).min(LONGEST_PAUSE),
    }
}
