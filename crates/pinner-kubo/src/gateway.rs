//! The node's own gateway as the way to its blocks: more than twice as fast as the RPC, and never needed.
//!
//! Invariant: whatever the gateway cannot do, the RPC is asked for. A gateway that fails, or that turns out to be
//! another node's, is left alone for a while, and has to prove itself before it is used again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Bytes, PinnerError};
use pinner_gateway::GatewayError;
use pinner_http::{Client, HeaderValue, HttpError, Waiting, header};
use serde::Deserialize;
use tokio::time::Instant;

use crate::rpc::{CallError, call, may_be_empty};

/// How long a gateway is left alone after its first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long proving may take at most.
const PROVING: Duration = Duration::from_secs(5);

const RAW_BLOCK: HeaderValue = HeaderValue::from_static("application/vnd.ipld.raw");
const ONLY_IF_CACHED: HeaderValue = HeaderValue::from_static("only-if-cached");
const RAW: u64 = 0x55;

/// A gateway, and whether it is used at the moment.
#[derive(Debug)]
pub(crate) struct Gateway {
    blocks: pinner_gateway::Gateway,
    client: Client,
    ownership: Ownership,
    state: Mutex<State>,
}

/// Why a gateway is taken for the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Whoever set it says so.
    Given,
    /// It has to show a block that only this node has.
    Proven,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Works,
    /// Not to be asked before then. The next pause would be that long.
    Paused {
        until: Instant,
        next: Duration,
    },
}

/// The answer of `id`, as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Identity {
    id: String,
}

impl Gateway {
    pub(crate) fn new(client: Client, ownership: Ownership) -> Self {
        Self {
            blocks: pinner_gateway::Gateway::new(client.clone()),
            client,
            ownership,
            state: Mutex::new(State::Works),
        }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &pinner_http::Endpoint {
        self.client.endpoint()
    }

    /// The block by the deadline; `None` where the RPC is to be asked. `node` is that RPC.
    pub(crate) async fn block(
        &self,
        node: &Client,
        cid: &Cid,
        deadline: Instant,
    ) -> Option<Result<Bytes, PinnerError>> {
        // Half the time: a gateway that hangs leaves the other half to the RPC. A block that is not found by then is
        // looked for again, by a node that has met whoever might have it.
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / 2;
        if !self.usable(node, share).await {
            return None;
        }
        match self.blocks.block(cid, share).await {
            Ok(block) if block.is_empty() && !may_be_empty(cid) => {
                self.pause("it gives an empty body for a block");
                None
            }
            Ok(block) => {
                self.resume();
                Some(Ok(block))
            }
            Err(error) => self.failed(cid, error),
        }
    }

    /// What a failure is: the answer, or a reason to ask the RPC.
    fn failed(&self, cid: &Cid, error: GatewayError) -> Option<Result<Bytes, PinnerError>> {
        let error = match error {
            GatewayError::Http(error) => error,
            // An absence: the node itself is asked before that is believed.
            GatewayError::Absent { .. } => return None,
            other => {
                self.pause(&other.to_string());
                return None;
            }
        };
        match &error {
            // It would be as large by the RPC.
            HttpError::TooLarge { .. } => Some(Err(error.into_pinner(format_args!("block {cid}")))),
            // The gateway was not asked: as many calls as are allowed were in flight.
            HttpError::TimedOut {
                waiting: Waiting::Turn,
                ..
            } => None,
            HttpError::Status(status) => {
                // A block that was not found in time, or may not be given: another one may be.
                if !matches!(status.status.as_u16(), 451 | 504) {
                    self.pause(&error.to_string());
                }
                None
            }
            _ => {
                self.pause(&error.to_string());
                None
            }
        }
    }

    /// Shows that this is the gateway of the node whose RPC is `node`: it has, without fetching it, a
    /// block that only that node has.
    ///
    /// The block is put on the node for this, once: it is the same each time, named after the node's key, and not
    /// pinned.
    pub(crate) async fn proves(&self, node: &Client, deadline: Instant) -> bool {
        let deadline = deadline.min(Instant::now() + PROVING);
        match self.shows_its_nodes_block(node, deadline).await {
            Ok(shows) => shows,
            Err(error) => {
                tracing::debug!(?error, "whose gateway it is could not be found out");
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

    /// Whether it may be asked now. After a pause, one caller tries it out while the others go on without.
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
            self.resume();
        }
        proves
    }

    /// It is used again, from now on.
    fn resume(&self) {
        *self.state() = State::Works;
    }

    fn pause(&self, why: &str) {
        let mut state = self.state();
        if let State::Works = *state {
            tracing::debug!(gateway = %self.endpoint(), why, "blocks come by the RPC for a while");
            *state = paused(FIRST_PAUSE);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // One value is put for another: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paused(pause: Duration) -> State {
    State::Paused {
        until: Instant::now() + pause,
        next: (2 * pause).min(LONGEST_PAUSE),
    }
}
