//! One recursive pin of a pair at a time.
//!
//! Kubo answers a second `pin/add` of what is pinned by taking the pin out first, and does not put it back if that
//! call fails or is given up. So a pair is pinned only after it was seen not to be, and nobody else of this process
//! is at it meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cid::Cid;
use pinner_api::Holder;
use tokio::sync::OwnedMutexGuard;

type Pair = (Holder, Cid);

/// Whose turn it is, by pair.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Pair, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits until nobody else has the turn of this pair. Dropping the future, or the guard, lets the next one.
    pub(crate) async fn of(&self, holder: &Holder, root: &Cid) -> OwnedMutexGuard<()> {
        self.turn((*holder, *root)).lock_owned().await
    }

    fn turn(&self, pair: Pair) -> Arc<tokio::sync::Mutex<()>> {
        // A panic of another thread's cannot leave the map half-changed.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&pair).and_then(Weak::upgrade) {
            return turn;
        }
        // Pins are far slower than this, so there are never many that are still going on.
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
        // What is over is forgotten.
        drop(turns.of(&two, &Cid::default()).await);
        let left = turns.0.lock().expect("not poisoned").len();
        assert!(left <= 1, "{left} turns are remembered");
    }
}
