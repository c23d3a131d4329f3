//! [`Ranked`]: one gateway of several, and how its calls went.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cid::Cid;
use pinner_api::{Bytes, SourceId, Verdict};
use pinner_http::{Endpoint, Progress, RetryPolicy, Waiting};
use pinner_layered::Breaker;
use tokio::time::Instant;

use crate::{Gateway, GatewayError, error::Finding};

/// A gateway with the memory of how its calls went, which several [`GatewayPinner`](crate::GatewayPinner)s share: what
/// one learns of it, all know. A clone is the same gateway.
///
/// It is for backends that choose the gateways for each block anew.
#[derive(Clone)]
pub struct SharedGateway(pub(crate) Arc<Ranked>);

impl SharedGateway {
    /// This gateway, of which nothing is known yet.
    pub fn new(gateway: Gateway) -> Self {
        Self(Arc::new(Ranked::new(gateway)))
    }

    /// The gateway's address.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.gateway.endpoint()
    }

    /// The source that answers of this gateway name.
    pub fn source(&self) -> &SourceId {
        &self.0.source
    }

    /// Records the caller's verdict on one of its blocks. After a wrong one the gateway rests.
    pub fn judged(&self, verdict: Verdict) {
        self.0.judged(verdict);
    }
}

impl fmt::Debug for SharedGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedGateway({})", self.endpoint())
    }
}

/// One gateway, its name as a source, and its breaker.
#[derive(Debug)]
pub(crate) struct Ranked {
    pub(crate) gateway: Gateway,
    pub(crate) source: SourceId,
    breaker: Mutex<Breaker>,
}

impl Ranked {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self {
            source: SourceId::new(gateway.endpoint().to_string()),
            gateway,
            breaker: Mutex::default(),
        }
    }

    /// Makes one call, without a retry: the caller decides on retries with all gateways in view.
    pub(crate) async fn ask(
        &self,
        cid: &Cid,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Bytes, GatewayError> {
        let began = Instant::now();
        let answer = self
            .gateway
            .ask(cid, deadline, Some(RetryPolicy::NEVER), Some(progress))
            .await;
        let finding = match &answer {
            Ok(_) => Finding::Works,
            Err(error) => error.finding(),
        };
        let (now, mut breaker) = (Instant::now(), self.breaker());
        match finding {
            Finding::Works => breaker.worked(began),
            Finding::Fails(asked) => breaker.failed(began, now, asked),
            Finding::Missed => breaker.missed(cid, began, now),
            Finding::Unknown => {}
        }
        drop(breaker);
        answer
    }

    /// Records that another gateway returned the block first, while this one, asked at `began`, had come to
    /// `waited_for`.
    pub(crate) fn overtaken(&self, cid: &Cid, began: Instant, waited_for: Waiting) {
        let (now, mut breaker) = (Instant::now(), self.breaker());
        match waited_for {
            // It has not been asked.
            Waiting::Turn => {}
            // It has the block, and is slow.
            Waiting::Rest => breaker.failed(began, now, None),
            _ => breaker.missed(cid, began, now),
        }
    }

    /// Records the caller's verdict on a block.
    pub(crate) fn judged(&self, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.breaker().right(),
            Verdict::Wrong => {
                tracing::warn!(gateway = %self.source, "a gateway sent wrong bytes, and rests");
                self.breaker().lied(Instant::now());
            }
            _ => {}
        }
    }

    pub(crate) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // The values are plain and stay consistent even if a thread panicked while it held the lock.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
