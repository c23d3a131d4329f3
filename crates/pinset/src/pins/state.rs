//! What is pinned, what waits to be, and which pins have to go for others: bookkeeping, without a call to anybody.

use std::collections::{HashSet, VecDeque};

use cid::Cid;
use pinner_api::PinDepth;
use tokio::task::JoinHandle;

use crate::policy::{replacement::Admission, residents::Residents};

pub(super) struct State {
    /// Every pin that is resident has an entry. The others are whole pins that found no room.
    pub(super) entries: Residents<Cid, Entry>,
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
        self.entries.set_budget(budget_bytes);
        // One that is being made is not released under way.
        let in_use = |entry: &Entry| entry.opens > 0 || entry.phase == Phase::Queued;
        let jobs = &mut self.jobs;
        let release = |cid, _| jobs.push_back(Job::Release(cid));
        let admitted = self
            .entries
            .admit(cid, bytes, Admission::Use, in_use, release);
        if admitted {
            let phase = Phase::Queued;
            self.entries.put(cid, Entry { phase, opens: 0 });
        }
        admitted
    }

    /// Whether there was a pin, made or queued.
    pub(super) fn forget(&mut self, cid: &Cid) -> bool {
        self.jobs.retain(|job| *job != Job::Pin(*cid));
        self.entries.remove(cid).is_some()
    }
}
