//! Recursive pins, for which the caller waits: concurrent callers share one call and one answer.

use std::sync::Arc;

use cid::Cid;
use pinner_api::{PinDepth, PinnerError};
use tracing::Instrument;

use super::{
    keeper::{Inner, Pins},
    state::{Entry, Job, Phase},
};
use crate::{block::canonical, error::Error, sync::lock};

impl Pins {
    /// Pins a whole DAG of `declared_bytes`, and returns once the backend has all of it.
    ///
    /// Dropping the future cancels the pin if nobody else waits for it.
    pub(crate) async fn ensure(&self, cid: &Cid, declared_bytes: u64) -> Result<(), Error> {
        let inner = &self.inner;
        let cid = canonical(*cid);
        if !inner.capabilities.recursive_pins {
            let operation = "recursive pins";
            let source = PinnerError::Unsupported { operation };
            return Err(Error::Pin { cid, source });
        }
        let budget_bytes = inner.share.bytes();
        if declared_bytes > budget_bytes {
            return Err(Error::OverBudget {
                cid,
                size_bytes: declared_bytes,
                budget_bytes,
            });
        }
        loop {
            let work = |_inside| pin_whole(inner.clone(), cid, declared_bytes);
            // A result that was given up is looked for again: the pin is there by then.
            if let Some(pinned) = inner.ensuring.join(cid, work).result().await? {
                return Ok(pinned);
            }
        }
    }
}

async fn pin_whole(inner: Arc<Inner>, cid: Cid, declared_bytes: u64) -> Result<(), Error> {
    {
        let mut state = lock(&inner.state);
        if state.closed {
            return Err(Error::Closed);
        }
        if let Some(entry) = state.entries.get(&cid) {
            let whole = entry.phase == Phase::Held(PinDepth::Recursive);
            state.entries.touch(&cid);
            if whole {
                return Ok(());
            }
        } else {
            // If there is no room beside the open targets, it is pinned all the same, since the caller asked for it.
            // Replacement does not release it then; closing does.
            state.admit(cid, declared_bytes, inner.share.bytes());
        }
        // Making room may have queued releases.
        inner.work(&mut state);
        state.making += 1;
    }
    let mut making = Making {
        inner: &inner,
        cid,
        done: false,
    };
    inner.pins_may_remain().await?;
    // There is no deadline here, since a large DAG may take hours. The backend has a deadline for a lack of progress.
    let span = tracing::debug_span!("pin", %cid, depth = "recursive");
    let pinned = inner
        .pinner
        .pin(&inner.holder, &cid, PinDepth::Recursive)
        .instrument(span)
        .await;
    // On an error, or if the pinset was closed meanwhile, the guard takes the pin back.
    pinned.map_err(|source| inner.failed(cid, source))?;
    making.done = true;
    {
        let mut state = lock(&inner.state);
        if !state.closed {
            let phase = Phase::Held(PinDepth::Recursive);
            match state.entries.get_mut(&cid) {
                Some(entry) => entry.phase = phase,
                None => state.entries.put(cid, Entry { phase, opens: 0 }),
            }
            // An earlier pin on this root that could not be released is now this pin.
            state.unreleased.remove(&cid);
            return Ok(());
        }
        state.unreleased.insert(cid);
    }
    // Closing could not wait for this pin.
    inner.release(cid).await?;
    Err(Error::Closed)
}

/// Takes a recursive pin back if it failed, if nobody waits for it any more, or if the pinset was closed meanwhile.
struct Making<'a> {
    inner: &'a Arc<Inner>,
    cid: Cid,
    done: bool,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.inner.state);
        state.making -= 1;
        if state.closed {
            if !self.done {
                // The pin may exist by now, although closing has released the earlier ones.
                state.unreleased.insert(self.cid);
            }
            drop(state);
            return self.inner.release_beside(None);
        }
        // A lazy pin of an open handle on the same root stays. Only an entry that was made for this pin is removed.
        let made_for_this = state
            .entries
            .get(&self.cid)
            .is_none_or(|entry| entry.phase == Phase::Queued && entry.opens == 0);
        if !self.done && made_for_this {
            state.forget(&self.cid);
            state.jobs.push_back(Job::Release(self.cid));
            self.inner.work(&mut state);
        }
    }
}
