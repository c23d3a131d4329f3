//! [`Ranked`]: one gateway of several, and how its calls went.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cid::Cid;
use pinner_api::{Bytes, SourceId, Verdict};
use pinner_http::{Progress, RetryPolicy, Waiting};
use pinner_layered::Breaker;
use tokio::time::Instant;

use crate::{Gateway, GatewayError, error::Finding};

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
