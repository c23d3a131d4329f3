//! [`Layer`]: one source, its breaker, and the blocks that it had wrong.
//!
//! A layer's answers always name a source: the layer's own label, or the label and the name that the backend gave.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use pinner_api::{Answer, BlockRequest, Cid, Pinner, PinnerError, SourceId, Verdict};
use tokio::time::Instant;

use crate::breaker::{Breaker, Readiness};

/// The largest number of wrong blocks that are remembered for a layer, of some 100 bytes each.
const MOST_WRONG: usize = 4096;

/// The purpose of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It loses no block that it has. A wrong block says nothing about its others.
    Archive,
    /// Blocks alone.
    Source,
    /// It has the pins and the names too.
    Keeper,
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) pinner: Arc<dyn Pinner>,
    pub(crate) role: Role,
    label: SourceId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    /// The blocks that were wrong here, where the backend does not tell its sources apart.
    wrong: HashSet<Cid>,
    has_failed: bool,
}

/// Why a layer's answer is not taken at once.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It came from a source to avoid, and is taken only if no other layer has one.
    Avoided(Answer),
    Failed(PinnerError),
}

impl Layer {
    /// The layer at this place, counted from one.
    pub(crate) fn new(place: usize, pinner: Arc<dyn Pinner>, role: Role) -> Self {
        Self {
            pinner,
            role,
            label: SourceId::new(format!("layer {place}")),
            state: Mutex::default(),
        }
    }

    /// Whether the layer is known to have this block wrong, or is itself to be avoided.
    pub(crate) fn is_wrong_for(&self, request: &BlockRequest) -> bool {
        request.avoids(&self.label) || self.state().wrong.contains(&by_hash(request.cid()))
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.state().breaker.readiness(Instant::now())
    }

    /// Asks for the block, by `deadline`.
    pub(crate) async fn ask(
        &self,
        request: &BlockRequest,
        deadline: Option<Instant>,
    ) -> Result<Answer, Miss> {
        let began = Instant::now();
        let own = match deadline {
            Some(deadline) => self.own(request).with_deadline(deadline.into_std()),
            None => self.own(request),
        };
        // A backend may also panic before it returns a future.
        let answer = AssertUnwindSafe(async { self.pinner.block(&own).await }).catch_unwind();
        let answer = answer.await.unwrap_or_else(|_panic| {
            Err(PinnerError::Unavailable {
                operation: format!("block {} at {}: it panicked", request.cid(), self.label),
                source: None,
            })
        });
        self.record(request.cid(), began, answer.as_ref().err());
        let answer = answer.map_err(Miss::Failed)?;
        let source = match &answer.source {
            Some(own) => SourceId::new(format!("{}: {own}", self.label)),
            None => self.label.clone(),
        };
        let avoided = request.avoids(&source);
        let answer = answer.with_source(source);
        match avoided {
            true => Err(Miss::Avoided(answer)),
            false => Ok(answer),
        }
    }

    /// Records what a call that began at `began` came to.
    fn record(&self, cid: &Cid, began: Instant, error: Option<&PinnerError>) {
        let (now, mut state) = (Instant::now(), self.state());
        match error {
            None | Some(PinnerError::NotFound { .. }) => state.breaker.worked(began),
            Some(PinnerError::Unavailable { .. }) => state.breaker.failed(began, now, None),
            Some(PinnerError::RateLimited { retry_after, .. }) => {
                state.breaker.failed(began, now, *retry_after);
            }
            Some(PinnerError::TimedOut { .. }) => state.breaker.missed(cid, began, now),
            // The block's own, or this caller's.
            Some(_) => {}
        }
        let failed = error.filter(|error| !error.is_absence());
        let Some(error) = failed else { return };
        // Others may hide that an archive is damaged, so somebody has to be told, once.
        let first = !std::mem::replace(&mut state.has_failed, true);
        drop(state);
        match self.role == Role::Archive && first {
            true => tracing::warn!(source = %self.label, %cid, %error, "an archive fails"),
            false => tracing::debug!(source = %self.label, %cid, %error, "a source fails"),
        }
    }

    /// Records that another source answered while this one, asked at `began`, had not.
    pub(crate) fn overtaken(&self, cid: &Cid, began: Instant) {
        self.state().breaker.missed(cid, began, Instant::now());
    }

    /// Passes a verdict on, if it is on an answer of this layer.
    pub(crate) fn verdict(&self, request: &BlockRequest, source: &SourceId, verdict: Verdict) {
        let Some(own) = self.own_name(source) else {
            return;
        };
        let named = own.is_some();
        self.pinner
            .verdict(&self.own(request), own.as_ref(), verdict);
        if named {
            // The backend chooses among its sources itself.
            return;
        }
        let mut state = self.state();
        match verdict {
            Verdict::Right => state.breaker.right(),
            Verdict::Wrong => {
                if state.wrong.len() >= MOST_WRONG {
                    state.wrong.clear();
                }
                state.wrong.insert(by_hash(request.cid()));
                if self.role != Role::Archive {
                    state.breaker.lied(Instant::now());
                }
                drop(state);
                tracing::warn!(source = %self.label, cid = %request.cid(), "a block was wrong");
            }
            _ => {}
        }
    }

    /// The backend's own name of one of its sources, if it is one: `None` within where it has no name.
    fn own_name(&self, source: &SourceId) -> Option<Option<SourceId>> {
        let rest = source.as_str().strip_prefix(self.label.as_str())?;
        match rest {
            "" => Some(None),
            _ => rest.strip_prefix(": ").map(|own| Some(SourceId::new(own))),
        }
    }

    /// The request, with the backend's own names of the sources to avoid.
    fn own(&self, request: &BlockRequest) -> BlockRequest {
        if request.avoid().is_empty() {
            return request.clone();
        }
        let avoid = request.avoid().iter();
        let own = BlockRequest::new(*request.cid())
            .with_origin(request.origin().clone())
            .avoiding(avoid.filter_map(|source| self.own_name(source)?));
        match request.deadline() {
            Some(deadline) => own.with_deadline(deadline),
            None => own,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The values stay consistent even if a thread panicked while it held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One CID for all CIDs of a multihash.
fn by_hash(cid: &Cid) -> Cid {
    Cid::new_v1(0x55, *cid.hash())
}
