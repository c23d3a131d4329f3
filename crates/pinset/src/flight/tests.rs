//! Single flight as its waiters see it. `tests/concurrency` tests it under many orders of events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::flight::Flights;

#[tokio::test]
async fn all_waiters_share_one_answer_and_one_piece_of_work() {
    let flights = Flights::<u8, u32>::new();
    let started = AtomicUsize::new(0);
    let (send, receive) = oneshot::channel::<u32>();
    let mut receive = Some(receive);
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            flights.join(1, || {
                started.fetch_add(1, Ordering::Relaxed);
                let receive = receive.take().unwrap();
                async move { receive.await.unwrap() }
            })
        })
        .collect();
    assert_eq!(started.load(Ordering::Relaxed), 1);
    send.send(7).unwrap();
    assert_eq!(futures_util::future::join_all(waiters).await, [7; 10]);
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn a_cancelled_waiter_harms_no_other() {
    let flights = Arc::new(Flights::<u8, u32>::new());
    let (send, receive) = oneshot::channel::<u32>();
    // The first waiter polls the work, and is cancelled in the middle.
    let first = tokio::spawn(flights.join(1, || async move { receive.await.unwrap() }));
    tokio::task::yield_now().await;
    let second = tokio::spawn(flights.join(1, || async { unreachable!("it is under way") }));
    tokio::task::yield_now().await;
    first.abort();
    _ = first.await;
    send.send(3).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), second).await;
    assert_eq!(answer.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn the_work_ends_with_its_last_waiter() {
    let flights = Flights::<u8, u32>::new();
    let (send, receive) = oneshot::channel::<u32>();
    let work = flights.join(1, || async move { receive.await.unwrap() });
    let other = work.clone();
    drop(work);
    assert!(!send.is_closed());
    drop(other);
    assert!(send.is_closed() && flights.len() == 0);
    assert_eq!(flights.join(1, || async { 5 }).await, 5);
}
