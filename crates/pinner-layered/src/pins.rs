//! Pins: on the keeper, or here if an archive has the root.

use std::sync::{MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use pinner_api::{BlockRequest, BoxStream, Cid, Holder, Pin, PinDepth, PinnerError, refused};

use crate::{Layered, kept::Kept};

impl Layered {
    pub(crate) async fn make_pin(
        &self,
        holder: &Holder,
        root: &Cid,
        depth: PinDepth,
    ) -> Result<(), PinnerError> {
        let Some(keeper) = self.keeper() else {
            return Err(PinnerError::Unsupported {
                operation: match depth {
                    PinDepth::Recursive => "recursive pins",
                    PinDepth::Lazy => "lazy pins",
                },
            });
        };
        // The keeper refuses unsupported pins, before anything changes here.
        if !keeper.capabilities().pins(depth) || !self.is_archived(holder, root, depth).await {
            keeper.pin(holder, root, depth).await?;
            self.kept().on_keeper_too.insert((*holder, *root));
            return Ok(());
        }
        self.kept().here.insert(Pin::new(*holder, *root, depth));
        Ok(())
    }

    pub(crate) async fn release_pin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let Some(keeper) = self.keeper() else {
            return Err(PinnerError::Unsupported { operation: "pins" });
        };
        let (was_here, on_keeper_too) = {
            let kept = self.kept();
            let pair = |pin: &Pin| (pin.holder, pin.root) == (*holder, *root);
            let keeper = kept.on_keeper_too.contains(&(*holder, *root));
            (kept.here.iter().any(pair), keeper)
        };
        // A pair that was not pinned here was left by a process that died, and can only be on the keeper.
        if on_keeper_too || !was_here {
            keeper.unpin(holder, root).await?;
        }
        if was_here {
            for archive in self.archives() {
                match archive.unpin(holder, root).await {
                    Ok(()) | Err(PinnerError::Unsupported { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        let mut kept = self.kept();
        kept.on_keeper_too.remove(&(*holder, *root));
        kept.here
            .retain(|pin| (pin.holder, pin.root) != (*holder, *root));
        Ok(())
    }

    pub(crate) fn list_pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        let Some(keeper) = self.keeper() else {
            return refused("pins");
        };
        if !keeper.capabilities().any_pins() {
            return keeper.pins();
        }
        let here: Vec<_> = self.kept().here.iter().copied().map(Ok).collect();
        stream::iter(here).chain(keeper.pins()).boxed()
    }

    /// Whether the pin needs nothing from the keeper: an archive has its root and, for a recursive pin, the whole DAG.
    /// An archive that fails has neither.
    async fn is_archived(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> bool {
        for archive in self.archives() {
            if archive.block(&BlockRequest::new(*root)).await.is_err() {
                continue;
            }
            // The archive decides whether the DAG is complete. If it cannot tell, the DAG counts as incomplete.
            if depth == PinDepth::Lazy || archive.pin(holder, root, depth).await.is_ok() {
                return true;
            }
        }
        false
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
