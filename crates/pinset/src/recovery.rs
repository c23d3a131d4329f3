//! What the dead of our own lock directory left: their staging directories are swept, their pins released.
//!
//! Only the lock directory that a holder names can prove its death (I5): holders of other directories are never
//! touched here.

use std::{collections::HashSet, sync::Arc};

use futures_util::StreamExt;
use pinner_api::{Holder, Pinner, PinnerError};

use crate::lock_dir::{DeadHolder, LockDir};

/// Sweeps now, and releases pins beside what follows. A failure leaves things for the next start.
pub(crate) fn start(pinner: &Arc<dyn Pinner>, lock_dir: &LockDir) {
    let dead = match lock_dir.dead() {
        Ok(dead) => dead,
        Err(error) => {
            tracing::warn!(%error, "what dead processes left was not swept");
            return;
        }
    };
    if dead.is_empty() || !pinner.capabilities().any_pins() {
        // Their pins are on another backend: their locks stay for a pinset that can release them.
        return;
    }
    let (pinner, id) = (pinner.clone(), lock_dir.id());
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            if let Err(error) = release(&*pinner, id, dead).await {
                tracing::warn!(%error, "pins of dead processes were not released");
            }
        });
    }
}

async fn release(
    pinner: &dyn Pinner,
    lock_dir: [u8; 8],
    dead: Vec<DeadHolder>,
) -> Result<(), PinnerError> {
    let mut released = HashSet::new();
    let names: HashSet<_> = dead.iter().map(DeadHolder::name).collect();
    let mut of_the_dead = Vec::new();
    let mut pins = pinner.pins();
    while let Some(pin) = pins.next().await {
        let pin = pin?;
        let mut name = [0; 16];
        name.copy_from_slice(&pin.holder.as_bytes()[8..]);
        if pin.holder.lock_dir() == lock_dir && names.contains(&name) {
            of_the_dead.push(pin);
        }
    }
    for pin in of_the_dead {
        pinner.unpin(&pin.holder, &pin.root).await?;
        released.insert(pin.holder);
    }
    // One without pins here may have some on another backend: its lock stays as the proof for whoever finds them.
    let released = |holder: &DeadHolder| released.contains(&Holder::new(lock_dir, holder.name()));
    for holder in dead.into_iter().filter(released) {
        if let Err(error) = holder.finish() {
            tracing::warn!(%error, "a dead process's lock stays");
        }
    }
    Ok(())
}
