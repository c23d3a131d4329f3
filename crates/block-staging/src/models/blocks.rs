//! Commits and evictions of one directory, beside its readers in this process and in another.

use shuttle::thread;
use test_support::schedules::under_many_schedules;

use super::{Directory, follower, key, read};

#[test]
fn whoever_holds_a_block_is_never_above_a_hole_and_nothing_of_what_goes_stays() {
    under_many_schedules(|own| {
        let directory = Directory::new(own, 2);
        let threads: Vec<_> = (0..3_u64)
            .map(|n| {
                let directory = directory.clone();
                thread::spawn(move || {
                    for n in [n, n + 1] {
                        if let Some(extent) = directory.find(n) {
                            read(&extent, n);
                        } else {
                            directory.stage(n);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        directory.empty();
    });
}

#[test]
fn what_another_process_leases_stands_until_its_lease_ends() {
    under_many_schedules(|own| {
        let directory = Directory::new(own, 2);
        assert!(directory.stage(0));
        let reader = follower(&directory.path);
        let readers: Vec<_> = [[0, 1], [1, 2]]
            .into_iter()
            .map(|wanted| {
                let reader = reader.clone();
                thread::spawn(move || {
                    for n in wanted {
                        if let Some(leased) = reader.lease(&key(n)).unwrap() {
                            read(&leased.extent, n);
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = [[1, 2], [3, 4]]
            .into_iter()
            .map(|staged| {
                let directory = directory.clone();
                thread::spawn(move || {
                    for n in staged {
                        directory.stage(n);
                    }
                })
            })
            .collect();
        for thread in readers.into_iter().chain(writers) {
            thread.join().unwrap();
        }
        directory.empty();
    });
}

#[test]
fn a_wrong_block_that_is_leased_goes_when_the_lease_ends() {
    under_many_schedules(|own| {
        let directory = Directory::new(own, 2);
        assert!(directory.stage(0));
        let reader = follower(&directory.path);
        let reading = {
            let reader = reader.clone();
            thread::spawn(move || {
                if let Some(leased) = reader.lease(&key(0)).unwrap() {
                    read(&leased.extent, 0);
                }
            })
        };
        directory.forget(0);
        assert!(reader.lease(&key(0)).unwrap().is_none(), "it is found");
        directory.stage(1);
        reading.join().unwrap();
        assert!(directory.stage(2));
        directory.empty();
    });
}
