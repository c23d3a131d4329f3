//! Members of one directory that come and go, as its writer or with parts of their own: together they stay within its
//! total, and none of it is lost.

use std::{
    path::{Path, PathBuf},
    slice,
    sync::Arc,
};

use shuttle::thread;
use test_support::schedules::{allocated, under_many_schedules};

use super::{BLOCK, block, follower, key};
use crate::{
    Budget, Extent, Follower, Staging, at_each_step,
    budget::{Evict, Share},
    disk::shares::part_name,
    member::Member,
    sync::{Mutex, lock},
};

/// A total that is enough for three members with a few blocks each.
const TOTAL: u64 = 3 * Budget::MIN_SHARE;

/// A process that uses the directory.
struct Process {
    share: Arc<Share>,
    follower: Follower,
    member: Arc<Member>,
    staged: Mutex<Staged>,
}

#[derive(Default)]
struct Staged {
    staging: Option<Staging>,
    writes: bool,
    /// The oldest first.
    blocks: Vec<Extent>,
}

impl Process {
    fn start(path: &Path) -> Arc<Self> {
        let share = Budget::alone(TOTAL);
        let follower = follower(path);
        let member = loop {
            // The scheduler may delay a thread for long that has the table's lock.
            match follower.member(&share) {
                Ok(member) => break member.expect("a seat"),
                Err(_) => thread::yield_now(),
            }
        };
        let process = Arc::new(Self {
            share,
            follower,
            member,
            staged: Mutex::default(),
        });
        let weak = Arc::downgrade(&process);
        process.share.owned_by(weak);
        process
    }

    /// Becomes the writer if there is none, or else opens a part, if it may.
    fn look_for_a_place(&self) {
        if lock(&self.staged).writes {
            return;
        }
        if let Ok(Some((staging, earlier))) = self.follower.take_over(self.share.clone()) {
            let staged = Staged {
                staging: Some(staging),
                writes: true,
                blocks: earlier.map(|warm| warm.extent).collect(),
            };
            let part = std::mem::replace(&mut *lock(&self.staged), staged);
            drop(part);
        } else if lock(&self.staged).staging.is_none()
            && let Ok(Some(part)) = self.follower.own_part(&self.share)
        {
            lock(&self.staged).staging = Some(part);
        }
    }

    fn stage(&self, n: u64) {
        let mut staged = lock(&self.staged);
        let Some(staging) = staged.staging.clone() else {
            return;
        };
        if let Some(room) = staging.reserve(BLOCK)
            && let Ok(extent) = staging.write_as(room, &key(n), &block(n))
        {
            staged.blocks.push(extent);
        }
    }
}

impl Evict for Process {
    fn evict_beyond_share(&self) -> bool {
        let mut staged = lock(&self.staged);
        let Some(staging) = staged.staging.clone() else {
            return false;
        };
        let charges = |blocks: &[Extent]| blocks.iter().map(Extent::charge).sum::<u64>();
        while charges(&staged.blocks) > staging.for_blocks() {
            staged.blocks.remove(0).discard();
        }
        staging.lower();
        false
    }
}

/// The directory and the parts in it.
fn places(path: &Path) -> Vec<PathBuf> {
    let parts = (1..8).map(|seat| path.join(part_name(seat)));
    parts
        .filter(|part| part.exists())
        .chain([path.to_owned()])
        .collect()
}

#[test]
fn members_that_come_and_go_stay_within_the_total_and_lose_none_of_it() {
    under_many_schedules(|own| {
        let path = own.join("staging");
        drop(follower(&path));
        let looked_at = path.clone();
        at_each_step(move || {
            let now: u64 = places(&looked_at)
                .iter()
                .map(|place| allocated(slice::from_ref(place)))
                .sum();
            assert!(now <= TOTAL, "{now} of {TOTAL} bytes are allocated");
        });
        let threads: Vec<_> = (0..3_u64)
            .map(|n| {
                let path = path.clone();
                thread::spawn(move || {
                    let process = Process::start(&path);
                    for round in 0..2 {
                        process.look_for_a_place();
                        process.member.settle();
                        for block in 0..8 {
                            process.stage(20 * n + 8 * round + block);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(places(&path), [path.clone()], "a part is left");
        let last = Process::start(&path);
        last.look_for_a_place();
        assert!(lock(&last.staged).writes);
        last.member.settle();
        assert_eq!(last.share.cap(), TOTAL);
    });
}
