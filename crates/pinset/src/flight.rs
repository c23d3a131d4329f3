//! Single flight: one piece of work at a time under each key, however many wait for it (I6).
//!
//! The work is polled by those who wait for it. It goes on while anybody waits, and is dropped with the last waiter:
//! cancelling one waiter does not affect the others.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::sync::{AtomicU64, Mutex, Ordering, lock};

#[cfg(all(test, not(shuttle)))]
mod tests;

type Work<T> = BoxFuture<'static, T>;

/// The flights by key, each with a number that distinguishes it from an earlier one under the same key.
type UnderWay<K, T> = Mutex<HashMap<K, (u64, WeakShared<Work<T>>)>>;

/// The work under way, by key.
pub(crate) struct Flights<K, T: Clone> {
    under_way: Arc<UnderWay<K, T>>,
    next: AtomicU64,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self {
            under_way: Arc::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Returns the work under way for `key`, or starts it with `start`.
    ///
    /// Another piece of work for `key` may have ended just before this call, so the first step of `start` must be to
    /// check whether there is still anything to do.
    pub(crate) fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Shared<Work<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(shared) = under_way.get(&key).and_then(|(_, work)| work.upgrade()) {
            return shared;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let landing = Landing {
            flights: self.under_way.clone(),
            key: key.clone(),
            number,
        };
        let work = start();
        let shared = async move {
            let result = work.await;
            drop(landing);
            result
        }
        .boxed()
        .shared();
        if let Some(weak) = shared.downgrade() {
            under_way.insert(key, (number, weak));
        }
        shared
    }

    /// The number of flights under way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

/// Removes its flight from the map, whether the flight ends or is dropped.
struct Landing<K: Eq + Hash, T: Clone> {
    flights: Arc<UnderWay<K, T>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.flights);
        // Once nobody waited for this flight, another may already have taken its place.
        if under_way
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number)
        {
            under_way.remove(&self.key);
        }
    }
}
