//! Single flight as its waiters see it. The models test it under many orders of events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{future::join_all, poll};
use tokio::sync::oneshot;

use crate::{error::Error, flight::Flights};

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen within ten seconds");
}

#[tokio::test]
async fn all_waiters_share_one_answer_and_one_piece_of_work() {
    let flights = Flights::<u8, u32>::new();
    let started = AtomicUsize::new(0);
    let (send, receive) = oneshot::channel::<u32>();
    let mut receive = Some(receive);
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let waiting = flights.join(1, |_| {
                started.fetch_add(1, Ordering::Relaxed);
                let receive = receive.take().unwrap();
                async move { Ok(receive.await.unwrap()) }
            });
            waiting.result()
        })
        .collect();
    assert_eq!(started.load(Ordering::Relaxed), 1);
    send.send(7).unwrap();
    let answers = join_all(waiters).await;
    assert!(answers.iter().all(|it| matches!(it, Ok(Some(7)))));
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn a_cancelled_waiter_harms_no_other() {
    let flights = Arc::new(Flights::<u8, u32>::new());
    let (send, receive) = oneshot::channel::<u32>();
    let first = flights.join(1, |_| async move { Ok(receive.await.unwrap()) });
    let first = tokio::spawn(first.result());
    tokio::task::yield_now().await;
    let second = flights.join(1, |_| async { unreachable!("it is under way") });
    let second = tokio::spawn(second.result());
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.is_err());
    send.send(3).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), second).await;
    assert!(matches!(answer.unwrap().unwrap(), Ok(Some(3))));
}

#[tokio::test]
async fn the_work_ends_with_its_last_waiter() {
    let flights = Flights::<u8, u32>::new();
    let (send, receive) = oneshot::channel::<u32>();
    let work = flights.join(1, |_| async move { Ok(receive.await.unwrap()) });
    let other = flights.join(1, |_| async { unreachable!("it is under way") });
    drop(work);
    tokio::task::yield_now().await;
    assert!(!send.is_closed());
    drop(other);
    until(|| send.is_closed() && flights.len() == 0).await;
    let again = flights.join(1, |_| async { Ok(5) });
    assert!(matches!(again.result().await, Ok(Some(5))));
}

#[tokio::test]
async fn a_waiter_that_is_not_polled_delays_neither_the_work_nor_others() {
    let flights = Flights::<u8, u32>::new();
    let (send, receive) = oneshot::channel::<u32>();
    let (ended, end) = oneshot::channel::<()>();
    let paused = flights.join(1, |_| async move {
        let answer = receive.await.unwrap();
        ended.send(()).unwrap();
        Ok(answer)
    });
    let mut paused = Box::pin(paused.result());
    assert!(poll!(paused.as_mut()).is_pending());
    send.send(1).unwrap();
    // The paused waiter is alive, and the work ends without it.
    end.await.unwrap();
    until(|| flights.len() == 0).await;
    assert!(paused.await.is_ok());
}

/// A result that counts the holders of it.
type Counted = Arc<()>;

#[tokio::test]
async fn a_result_is_given_up_soon_and_a_late_waiter_looks_again() {
    let flights = Flights::<u8, Counted>::new();
    let counted = Counted::default();
    let result = counted.clone();
    let paused = flights.join(1, |_| async move { Ok(result) });
    let mut paused = Box::pin(paused.result());
    until(|| Arc::strong_count(&counted) == 1).await;
    assert!(matches!(
        poll!(paused.as_mut()),
        std::task::Poll::Ready(Ok(None))
    ));
}

#[tokio::test]
async fn an_error_is_not_given_up() {
    let flights = Flights::<u8, u32>::new();
    let paused = flights.join(1, |_| async { Err(Error::Closed) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(matches!(paused.result().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_panic_fails_this_piece_of_work_alone() {
    let flights = Flights::<u8, u32>::new();
    let waiting = flights.join(1, |_| async { panic!("on purpose") });
    assert!(matches!(waiting.result().await, Err(Error::Panicked)));
    assert_eq!(flights.len(), 0);
    let again = flights.join(1, |_| async { Ok(5) });
    assert!(matches!(again.result().await, Ok(Some(5))));
}

#[test]
fn work_goes_on_in_the_runtime_of_its_flights_whoever_waits() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let flights = runtime.block_on(async { Flights::<u8, u32>::new() });
    let work = |_| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(1)
    };
    let other = tokio::runtime::Runtime::new().unwrap();
    let answer = other.block_on(flights.join(1, work).result());
    assert!(matches!(answer, Ok(Some(1))));
    drop(runtime);
    let answer = other.block_on(flights.join(1, work).result());
    assert!(matches!(answer, Err(Error::Closed)));
    assert_eq!(flights.len(), 0);
}
