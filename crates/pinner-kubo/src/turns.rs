//! Serialises the recursive pins of each pair of holder and root.
//!
//! A second `pin/add` of a pinned CID makes Kubo remove the pin first, and Kubo does not restore it if that call fails
//! or is cancelled. So a pair is pinned only after a check that it is not pinned, and no other task of this process
//! pins the same pair meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cid::Cid;
use pinner_api::Holder;
use tokio::sync::OwnedMutexGuard;

type Pair = (Holder, Cid);

/// The turns, by pair.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Pair, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for this pair's turn. Dropping the future or the guard passes the turn on.
    pub(crate) async fn of(&self, holder: &Holder, root: &Cid) -> OwnedMutexGuard<()> {
        self.turn((*holder, *root)).lock_owned().await
    }

    fn turn(&self, pair: Pair) -> Arc<tokio::sync::Mutex<()>> {
        // A panic in another thread cannot leave the map half-changed.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&pair).and_then(Weak::upgrade) {
            return turn;
        }
        // Pins are far slower than this scan, so there are never many in progress.
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(pair, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_pair_has_one_turn_and_pairs_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let [one, two] = [1, 2].map(|n| Holder::new([n; 8], [n; 16]));
        let root = Cid::default();
        let held = turns.of(&one, &root).await;
        let other = turns.of(&two, &root).await;
        let waits = tokio::time::timeout(Duration::from_millis(20), turns.of(&one, &root)).await;
        assert!(waits.is_err(), "two turns of one pair");
        drop((held, other));
        drop(turns.of(&one, &root).await);
        // Finished turns are forgotten.
        drop(turns.of(&two, &Cid::default()).await);
        let left = turns.0.lock().expect("not poisoned").len();
        assert!(left <= 1, "{left} turns are remembered");
    }
}
