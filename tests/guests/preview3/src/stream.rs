//! Streams that are read from the middle, partly, not at all, impatiently, and by the thousand.

use std::{future::poll_fn, pin::pin, task::Poll};

use guest::content::Fnv;
use wasip3::{clocks::monotonic_clock::wait_for, wit_bindgen::StreamResult};

use crate::{
    errno::{name, outcome},
    place::Place,
};

const MILLISECOND: u64 = 1_000_000;

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Reads from each offset to the end.
pub(crate) async fn from(place: &Place, file: &str, offsets: &[&str]) {
    let file = place.opened(file).await;
    for offset in offsets {
        let (bytes, ended) = file.read_via_stream(number(offset));
        let bytes = bytes.collect().await;
        let ended = ended.await;
        let fnv = Fnv::of(&bytes);
        println!(
            "{offset}: len={} fnv={fnv} {}",
            bytes.len(),
            outcome(&ended)
        );
    }
}

/// Reads `len` bytes and drops the stream. Its future must tell of no error, and the file must still be there.
pub(crate) async fn partly(place: &Place, path: &str, len: &str) {
    let file = place.opened(path).await;
    let (mut bytes, ended) = file.read_via_stream(0);
    let mut read = Vec::new();
    let len = number(len) as usize;
    while read.len() < len {
        let (_, more) = bytes.read(Vec::with_capacity(len - read.len())).await;
        assert!(!more.is_empty(), "{path} ended");
        read.extend(more);
    }
    drop(bytes);
    let ended = outcome(&ended.await);
    let (mut again, _) = file.read_via_stream(0);
    let (_, first) = again.read(Vec::with_capacity(1)).await;
    assert_eq!(first.first(), read.first());
    println!("len={} fnv={} {ended}", read.len(), Fnv::of(&read));
}

/// Asks for no bytes, and drops a stream that it never read.
pub(crate) async fn empty(place: &Place, path: &str) {
    let file = place.opened(path).await;
    let (bytes, ended) = file.read_via_stream(3);
    drop(bytes);
    println!("unread: {}", outcome(&ended.await));
    let (mut bytes, _ended) = file.read_via_stream(3);
    for _ in 0..3 {
        let (_, none) = bytes.read(Vec::new()).await;
        assert!(none.is_empty());
    }
    let (_, some) = bytes.read(Vec::with_capacity(4)).await;
    println!("{some:?}");
    // At the end, a read of nothing may tell of the end already.
    let end = file.stat().await.map(|stat| stat.size).unwrap_or(0);
    let (mut bytes, ended) = file.read_via_stream(end);
    let (status, none) = bytes.read(Vec::new()).await;
    assert!(none.is_empty());
    if status != StreamResult::Dropped {
        let (_, none) = bytes.read(Vec::with_capacity(4)).await;
        assert!(none.is_empty());
    }
    println!("end: {}", outcome(&ended.await));
}

/// Reads from `offset` to the end. Each read is given up after two milliseconds, and begun again until bytes come.
pub(crate) async fn impatient(place: &Place, path: &str, offset: &str) {
    let file = place.opened(path).await;
    let (mut bytes, ended) = file.read_via_stream(number(offset));
    let mut all = Vec::new();
    let mut given_up = 0;
    loop {
        let mut read = pin!(bytes.read(Vec::with_capacity(10_000)));
        let mut timer = pin!(wait_for(2 * MILLISECOND));
        let first = poll_fn(|context| {
            if let Poll::Ready((_, read)) = read.as_mut().poll(context) {
                return Poll::Ready(Some(read));
            }
            timer.as_mut().poll(context).map(|()| None)
        });
        let come = match first.await {
            Some(come) => come,
            None => {
                // Bytes may come while the read is being given up.
                let (_, come) = read.as_mut().cancel();
                if come.is_empty() {
                    given_up += 1;
                    continue;
                }
                come
            }
        };
        if come.is_empty() {
            break;
        }
        all.extend(come);
    }
    drop(bytes);
    let ended = outcome(&ended.await);
    println!("len={} fnv={} {ended}", all.len(), Fnv::of(&all));
    println!("given up: {}", given_up > 0);
}

/// Begins a read of one byte on each of many streams, leaves all of them alive, and sleeps until it is ended.
pub(crate) async fn hoard(place: &Place, path: &str, streams: &str, stride: &str) {
    let file = place.opened(path).await;
    let mut held = Vec::new();
    for at in 0..number(streams) {
        let (mut bytes, ended) = file.read_via_stream(at * number(stride));
        let mut task = Box::pin(async move { (bytes.read(Vec::with_capacity(1)).await, bytes) });
        let begun = poll_fn(|context| Poll::Ready(task.as_mut().poll(context).is_pending()));
        begun.await;
        held.push((task, ended));
    }
    println!("{} streams", held.len());
    loop {
        wait_for(1000 * MILLISECOND).await;
    }
}

/// How the stream of a whole file ends: `len=… ok`, or with an error.
pub(crate) async fn to_its_end(place: &Place, path: &str) -> String {
    let file = match place.open(path).await {
        Ok(file) => file,
        Err(code) => return name(&code),
    };
    let (bytes, ended) = file.read_via_stream(0);
    let len = bytes.collect().await.len();
    format!("len={len} {}", outcome(&ended.await))
}
