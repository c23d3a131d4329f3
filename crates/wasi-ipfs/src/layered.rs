//! Joins local sources and one backend behind them into a single backend: local blocks are read here, all others come
//! from the backend behind.
//!
//! Names, capabilities and pins are those of the backend behind. The exception is a pin on a local root, which is kept
//! here: a node that has never seen the root would search for it in vain, and no garbage collection removes local
//! blocks. Blocks that the local sources lack *below* a local root come from behind as usual, without the protection of
//! a pin there.
//!
//! Invariant: a local block is never requested from the backend behind. An error of a local source is not an absence:
//! it is returned and the other backend is not asked, so that a damaged archive is noticed.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, stream};
use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Cid, Holder, Names, Pin, PinDepth, Pinner,
    PinnerError, SourceId, Verdict, async_trait,
};

/// Two backends as one.
pub(crate) struct Layered {
    local: Arc<dyn Pinner>,
    behind: Arc<dyn Pinner>,
    /// Stands for the local backend in its answers that name no source.
    unnamed: SourceId,
    kept: Mutex<Kept>,
}

/// The pins that are kept here, in the memory of this process, as those of a CAR are.
#[derive(Default)]
struct Kept {
    here: BTreeSet<Pin>,
    /// Pairs of holder and root that had to be pinned behind, since their DAGs are not complete here.
    behind_too: BTreeSet<(Holder, Cid)>,
}

impl Layered {
    /// Asks `local` first, then `behind`. `local` must not garbage-collect.
    pub(crate) fn new(local: Arc<dyn Pinner>, behind: Arc<dyn Pinner>) -> Self {
        Self {
            local,
            behind,
            unnamed: SourceId::new("local"),
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the pin needs nothing from the backend behind: its root is local and, for a recursive pin, so is the
    /// whole DAG.
    async fn needs_nothing(
        &self,
        holder: &Holder,
        root: &Cid,
        depth: PinDepth,
    ) -> Result<bool, PinnerError> {
        let here = match self.local.block(&BlockRequest::new(*root)).await {
            Ok(_) => true,
            Err(PinnerError::NotFound { .. }) => false,
            Err(other) => return Err(other),
        };
        if !here || depth == PinDepth::Lazy {
            return Ok(here);
        }
        // The local source decides whether the DAG is complete. If it cannot tell, the DAG counts as incomplete.
        match self.local.pin(holder, root, depth).await {
            Ok(()) => Ok(true),
            Err(PinnerError::NotFound { .. } | PinnerError::Unsupported { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered")
            .field("local", &self.local)
            .field("behind", &self.behind)
            .finish_non_exhaustive()
    }
}

#[deny(
    clippy::missing_trait_methods,
    reason = "a method that is not forwarded would fall back to the trait's default"
)]
#[async_trait]
impl Pinner for Layered {
    fn capabilities(&self) -> Capabilities {
        self.behind.capabilities()
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        match self.local.block(request).await {
            Err(PinnerError::NotFound { .. }) => self.behind.block(request).await,
            Ok(answer) if answer.source.is_none() => Ok(answer.with_source(self.unnamed.clone())),
            there_or_failed => there_or_failed,
        }
    }

    fn blocks<'a>(
        &'a self,
        requests: &'a [BlockRequest],
    ) -> BoxStream<'a, (Cid, Result<Answer, PinnerError>)> {
        stream::iter(requests)
            .map(move |request| async move { (*request.cid(), self.block(request).await) })
            .buffer_unordered(self.concurrency().max(1))
            .boxed()
    }

    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        match source {
            None => self.behind.verdict(request, None, verdict),
            Some(source) if *source == self.unnamed => self.local.verdict(request, None, verdict),
            // A backend ignores a source that it never had.
            Some(_) => {
                self.local.verdict(request, source, verdict);
                self.behind.verdict(request, source, verdict);
            }
        }
    }

    /// Local blocks come at once, so the backend behind sets the pace.
    fn concurrency(&self) -> usize {
        self.behind.concurrency()
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        // The backend behind refuses unsupported pins, before anything changes here.
        if !self.capabilities().pins(depth) || !self.needs_nothing(holder, root, depth).await? {
            self.behind.pin(holder, root, depth).await?;
            self.kept().behind_too.insert((*holder, *root));
            return Ok(());
        }
        self.kept().here.insert(Pin::new(*holder, *root, depth));
        Ok(())
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let (was_here, behind_too) = {
            let kept = self.kept();
            let pair = |pin: &Pin| (pin.holder, pin.root) == (*holder, *root);
            let behind = kept.behind_too.contains(&(*holder, *root));
            (kept.here.iter().any(pair), behind)
        };
        // A pair that was not pinned here was left by a process that died, and can only be behind.
        if behind_too || !was_here {
            self.behind.unpin(holder, root).await?;
        }
        if was_here {
            match self.local.unpin(holder, root).await {
                Ok(()) | Err(PinnerError::Unsupported { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let mut kept = self.kept();
        kept.behind_too.remove(&(*holder, *root));
        kept.here
            .retain(|pin| (pin.holder, pin.root) != (*holder, *root));
        Ok(())
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        if !self.capabilities().any_pins() {
            return self.behind.pins();
        }
        let here: Vec<_> = self.kept().here.iter().copied().map(Ok).collect();
        stream::iter(here).chain(self.behind.pins()).boxed()
    }

    fn names(&self) -> Option<&dyn Names> {
        self.behind.names()
    }
}

#[cfg(test)]
mod tests;
