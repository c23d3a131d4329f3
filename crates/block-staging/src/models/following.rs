//! The journal: what a follower finds while the writer goes on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shuttle::thread;
use test_support::schedules::under_many_schedules;

use super::{Directory, follower, key, read};
use crate::sync::lock;

#[test]
fn what_was_committed_before_the_look_and_stays_is_found() {
    under_many_schedules(|own| {
        let directory = Directory::new(own, 3);
        let reader = follower(&directory.path);
        // How many were committed, and how many of these are on their way out or gone. Not steps of the model.
        let (committed, evicted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let writing = {
            let (committed, evicted) = (committed.clone(), evicted.clone());
            let directory = directory.clone();
            thread::spawn(move || {
                for n in 0..4 {
                    if n >= 2 {
                        evicted.store(n - 1, Ordering::SeqCst);
                        directory.forget(n - 2);
                    }
                    assert!(directory.stage(n), "no room");
                    committed.store(n + 1, Ordering::SeqCst);
                }
            })
        };
        for _ in 0..4 {
            let Some(n) = committed.load(Ordering::SeqCst).checked_sub(1) else {
                thread::yield_now();
                continue;
            };
            match reader.lease(&key(n)).unwrap() {
                Some(leased) => read(&leased.extent, n),
                None => assert!(evicted.load(Ordering::SeqCst) > n, "{n} was not found"),
            }
        }
        writing.join().unwrap();
        for n in 0..4 {
            let found = reader.lease(&key(n)).unwrap();
            assert_eq!(found.is_some(), n >= 2, "{n}");
        }
    });
}

#[test]
fn in_the_end_a_follower_finds_what_several_threads_left_and_nothing_else() {
    under_many_schedules(|own| {
        let directory = Directory::new(own, 2);
        let reader = follower(&directory.path);
        // It begins before they do. One that begins later may miss a change whose number is taken just then.
        assert!(reader.lease(&key(0)).unwrap().is_none());
        let writers: Vec<_> = (0..2_u64)
            .map(|n| {
                let directory = directory.clone();
                thread::spawn(move || {
                    for n in [2 * n, 2 * n + 1] {
                        directory.stage(n);
                    }
                })
            })
            .collect();
        for n in 0..2 {
            if let Some(leased) = reader.lease(&key(n)).unwrap() {
                read(&leased.extent, n);
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
        let there: Vec<_> = lock(&directory.blocks).iter().map(|(n, _)| *n).collect();
        for n in 0..4 {
            let found = reader.lease(&key(n)).unwrap();
            assert_eq!(found.is_some(), there.contains(&n), "{n} of {there:?}");
        }
        directory.empty();
    });
}
