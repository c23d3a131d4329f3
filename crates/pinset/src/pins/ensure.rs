//! Recursive pins, for which the caller waits: concurrent callers share one call and one answer. Each caller has a
//! claim on the pin, from before it is made until the caller lets go of it.

use std::{fmt, sync::Arc};

use cid::Cid;
use pinner_api::{PinDepth, PinnerError};
use pinset_policy::register::{Begun, Claimed};

use super::keeper::{Change, Inner, Pins};
use crate::{block::canonical, error::Error};

impl Pins {
    /// Pins a whole DAG of `declared_bytes`, and returns once the backend has all of it.
    ///
    /// Dropping the future cancels the pin if nobody else waits for it.
    pub(crate) async fn ensure(&self, cid: &Cid, declared_bytes: u64) -> Result<EnsuredPin, Error> {
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
        let claimed = inner.tell(|register| {
            register.set_budget(budget_bytes);
            register.claim(cid, declared_bytes)
        });
        let claimed = claimed.ok_or(Error::Closed)?;
        let pin = EnsuredPin {
            inner: inner.clone(),
            cid,
            claimed: true,
        };
        // A lazy pin that is being made on this root is given up.
        inner.changed.notify_waiters();
        let mut held = claimed == Claimed::Held;
        while !held {
            let work = |_inside| pin_whole(inner.clone(), cid);
            inner.ensuring.join(cid, work).result().await?;
            // The answer may be an earlier one, of a pin that was released before this claim.
            held = inner.tell(|register| register.holds_whole(&cid));
        }
        Ok(pin)
    }
}

async fn pin_whole(inner: Arc<Inner>, cid: Cid) -> Result<(), Error> {
    let begun = inner.tell_until(Begun::Wait, |register| register.begin_whole(cid));
    match begun.await {
        Begun::Make => {}
        Begun::Held => return Ok(()),
        Begun::Closed | Begun::Wait => return Err(Error::Closed),
    }
    inner.change(cid, Change::Pin(PinDepth::Recursive)).await?;
    if inner.tell(|register| register.is_closed()) {
        // Closing could not wait for this pin.
        inner.release(cid).await?;
        return Err(Error::Closed);
    }
    Ok(())
}

/// A whole DAG that is pinned on the backend. As long as this exists, the pin is not replaced by others. Dropping it
/// releases the pin in the background, unless somebody else has the same one, or
/// [`ensure`](crate::CacheMode::ensure) keeps it.
///
/// [Closing](crate::CacheMode::close) or dropping the pinset releases the pin as well.
#[must_use = "dropping it releases the pin"]
pub struct EnsuredPin {
    inner: Arc<Inner>,
    cid: Cid,
    claimed: bool,
}

impl EnsuredPin {
    /// The root of the DAG, as a CIDv1.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Keeps the pin without a guard, until replacement releases it for another whole pin.
    pub(crate) fn keep(mut self) -> Result<(), Error> {
        self.claimed = false;
        let kept = self.inner.tell(|register| register.keep(&self.cid));
        kept.then_some(()).ok_or(Error::Closed)
    }
}

impl fmt::Debug for EnsuredPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnsuredPin({})", self.cid)
    }
}

impl Drop for EnsuredPin {
    fn drop(&mut self) {
        if self.claimed {
            self.inner.tell(|register| register.unclaim(&self.cid));
        }
    }
}
