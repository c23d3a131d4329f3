//! Single flight: one piece of work at a time under each key, however many wait for it (I6).
//!
//! A task of its own drives each piece of work, so a waiter that is not polled delays neither the work nor the other
//! waiters (I11). The work goes on while anybody waits, and is dropped with the last waiter: cancelling one waiter does
//! not affect the others.
//!
//! A result that holds memory or a lease is handed only to the waiters that take it soon. Whoever comes later is told to
//! look again.

use std::{collections::HashMap, hash::Hash, panic::AssertUnwindSafe, pin::pin, sync::Arc};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use tokio::sync::watch;

use crate::{
    error::Error,
    sync::{Mutex, lock},
    task::{Runtime, grace},
};

#[cfg(all(test, not(shuttle)))]
mod tests;

/// The proof that a piece of code runs inside driven work, whose task the runtime polls whether or not its waiters are
/// polled. Whatever others may wait for can be taken only with this proof (I11). Only [`Flights`] makes one.
#[derive(Debug)]
pub(crate) struct Driven(());

#[cfg(all(test, not(shuttle)))]
impl Driven {
    /// For tests of what is inside driven work.
    pub(crate) fn for_test() -> Self {
        Self(())
    }
}

/// The work under way, by key. The work's result is `T`, and `S` is what its waiters share with it.
pub(crate) struct Flights<K, T, S = ()> {
    under_way: Arc<UnderWay<K, T, S>>,
    runtime: Runtime,
}

type UnderWay<K, T, S> = Mutex<HashMap<K, Arc<Flight<T, S>>>>;

struct Flight<T, S> {
    stage: watch::Sender<Stage<T>>,
    shared: Arc<S>,
}

/// The progress of a piece of work.
#[derive(Clone)]
enum Stage<T> {
    UnderWay,
    Over(Result<T, Error>),
    /// The result was given up before all waiters took it.
    GivenUp,
}

impl<K, T, S> Flights<K, T, S>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
    S: Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self {
            under_way: Arc::default(),
            runtime: Runtime::current(),
        }
    }

    /// Joins the work under way for `key`, or starts it with `start`, which returns the part that waiters share with the
    /// work, and the work.
    ///
    /// Another piece of work for `key` may have ended just before this call, so the first step of the work must be to
    /// check whether there is still anything to do.
    pub(crate) fn join_with<F>(
        &self,
        key: K,
        start: impl FnOnce(Driven) -> (Arc<S>, F),
    ) -> (Waiting<T>, Arc<S>)
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.get(&key) {
            return (Waiting(flight.stage.subscribe()), flight.shared.clone());
        }
        let (shared, work) = start(Driven(()));
        let (stage, waiting) = watch::channel(Stage::UnderWay);
        let flight = Arc::new(Flight {
            stage,
            shared: shared.clone(),
        });
        under_way.insert(key.clone(), flight.clone());
        drop(under_way);
        let landing = Landing {
            under_way: self.under_way.clone(),
            key,
            flight,
        };
        self.runtime.spawn(drive(landing, work));
        (Waiting(waiting), shared)
    }

    /// The number of flights under way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Like [`join_with`](Self::join_with), for work that shares nothing with its waiters.
    pub(crate) fn join<F>(&self, key: K, start: impl FnOnce(Driven) -> F) -> Waiting<T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let start = |driven| (Arc::new(()), start(driven));
        self.join_with(key, start).0
    }
}

/// A wait for the result of a piece of work. It holds nothing that the work or another waiter needs.
pub(crate) struct Waiting<T>(watch::Receiver<Stage<T>>);

impl<T: Clone> Waiting<T> {
    /// Returns the result. `None` means that it was given up before this waiter took it, and the caller must look again.
    ///
    /// # Errors
    /// Those of the work; [`Error::Panicked`]; [`Error::Closed`] if the runtime has ended.
    pub(crate) async fn result(mut self) -> Result<Option<T>, Error> {
        let over = |stage: &Stage<T>| !matches!(stage, Stage::UnderWay);
        let stage = self.0.wait_for(over).await.map(|stage| stage.clone());
        match stage {
            Ok(Stage::Over(result)) => result.map(Some),
            Ok(Stage::GivenUp) => Ok(None),
            // The work's task was dropped.
            Ok(Stage::UnderWay) | Err(_) => Err(Error::Closed),
        }
    }
}

/// Drives a piece of work until it ends or the last waiter goes.
async fn drive<K, T, S>(
    landing: Landing<K, T, S>,
    work: impl Future<Output = Result<T, Error>> + Send,
) where
    K: Eq + Hash,
    T: Clone,
{
    let flight = landing.flight.clone();
    let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
    let result = loop {
        match select(work.as_mut(), pin!(flight.stage.closed())).await {
            Either::Left((result, _)) => break result.unwrap_or(Err(Error::Panicked)),
            Either::Right(_) if landing.gave_up() => return,
            // Another waiter has come since.
            Either::Right(_) => {}
        }
    };
    drop(landing);
    let holds_something = result.is_ok();
    flight.stage.send_replace(Stage::Over(result));
    if holds_something {
        grace(flight.stage.closed()).await;
        flight.stage.send_replace(Stage::GivenUp);
    }
}

/// Removes its flight from the map, whether the flight ends or is dropped.
struct Landing<K: Eq + Hash, T, S> {
    under_way: Arc<UnderWay<K, T, S>>,
    key: K,
    flight: Arc<Flight<T, S>>,
}

impl<K: Eq + Hash, T, S> Landing<K, T, S> {
    /// Returns whether nobody waits any more. Then nobody can join this flight either.
    fn gave_up(&self) -> bool {
        let mut under_way = lock(&self.under_way);
        let gave_up = self.flight.stage.receiver_count() == 0;
        if gave_up {
            under_way.remove(&self.key);
        }
        gave_up
    }
}

impl<K: Eq + Hash, T, S> Drop for Landing<K, T, S> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        // After the last waiter went, another flight may have taken its place.
        if under_way
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            under_way.remove(&self.key);
        }
    }
}
