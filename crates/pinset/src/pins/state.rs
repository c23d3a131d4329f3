//! What is pinned, what waits to be, and which pins have to go for others: bookkeeping, without a call to anybody.

use std::collections::{HashMap, HashSet, VecDeque};

use cid::Cid;
use pinner_api::PinDepth;
use tokio::task::JoinHandle;

use crate::policy::replacement::{Admission, Decision, Eviction, Insertion, Replacement};

pub(super) struct State {
    pub(super) policy: Replacement<Cid>,
    /// Invariant: all keys that are resident in `policy`. The others are whole pins that found no room there.
    pub(super) entries: HashMap<Cid, Entry>,
    pub(super) jobs: VecDeque<Job>,
    /// What is to be released and may be on the backend still: closing tries it again.
    pub(super) unreleased: HashSet<Cid>,
    /// Whole pins that are being made just now.
    pub(super) making: usize,
    pub(super) worker: Option<JoinHandle<()>>,
    pub(super) closed: bool,
}

pub(super) struct Entry {
    pub(super) phase: Phase,
    /// Handles open on it: it is in use.
    pub(super) opens: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting, or being made.
    Queued,
    /// On the backend.
    Held(PinDepth),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Pin(Cid),
    Release(Cid),
}

impl Job {
    pub(super) fn cid(self) -> Cid {
        match self {
            Self::Pin(cid) | Self::Release(cid) => cid,
        }
    }
}

impl State {
    /// Takes `cid` among the pins to be made, and queues the release of those that have to go for it under the budget
    /// as it is now.
    pub(super) fn admit(&mut self, cid: Cid, bytes: u64, budget_bytes: u64) -> bool {
        self.policy.set_budget(budget_bytes);
        let Decision::Admit(room) = self.policy.request(&cid, bytes, Admission::Use) else {
            // coverage: what is declared was cut to the budget, and what is resident has an entry.
            return false;
        };
        let entries = &mut self.entries;
        let found = loop {
            // One that is being made is not released under way.
            let in_use = |cid: &Cid| {
                let entry = entries.get(cid);
                entry.is_some_and(|entry| entry.opens > 0 || entry.phase == Phase::Queued)
            };
            match self.policy.evict(&room, in_use) {
                Eviction::Enough => break true,
                Eviction::NoneFree => break false,
                Eviction::Victim { key, .. } => {
                    entries.remove(&key);
                    self.jobs.push_back(Job::Release(key));
                }
            }
        };
        let admitted = found && matches!(self.policy.insert(cid, room), Insertion::Admitted);
        if admitted {
            let phase = Phase::Queued;
            entries.insert(cid, Entry { phase, opens: 0 });
        }
        admitted
    }

    /// Whether there was a pin, made or queued.
    pub(super) fn forget(&mut self, cid: &Cid) -> bool {
        self.policy.remove(cid);
        self.jobs.retain(|job| *job != Job::Pin(*cid));
        self.entries.remove(cid).is_some()
    }
}
