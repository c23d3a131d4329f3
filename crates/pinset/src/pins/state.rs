//! The bookkeeping of pins: which exist, which wait to be made, and which are evicted for others. It calls nobody.

use std::collections::{HashSet, VecDeque};

use cid::Cid;
use pinner_api::PinDepth;
use tokio::task::JoinHandle;

use crate::policy::{replacement::Admission, residents::Residents};

pub(super) struct State {
    /// Every resident pin has an entry. The other entries are recursive pins that found no room.
    pub(super) entries: Residents<Cid, Entry>,
    pub(super) jobs: VecDeque<Job>,
    /// Pins that must be released and may still be on the backend. Closing tries again to release them.
    pub(super) unreleased: HashSet<Cid>,
    /// The number of recursive pins that are being made now.
    pub(super) making: usize,
    pub(super) worker: Option<JoinHandle<()>>,
    pub(super) closed: bool,
}

pub(super) struct Entry {
    pub(super) phase: Phase,
    /// The number of open handles on it. It is in use while there are any.
    pub(super) opens: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The pin waits, or is being made.
    Queued,
    /// The pin is on the backend.
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
    /// Admits `cid` among the pins, and queues the release of the pins that are evicted for it under the current
    /// budget. Returns whether it was admitted.
    pub(super) fn admit(&mut self, cid: Cid, bytes: u64, budget_bytes: u64) -> bool {
        self.entries.set_budget(budget_bytes);
        // A pin is not released while it is being made.
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

    /// Forgets a pin, and returns whether there was one, made or queued.
    pub(super) fn forget(&mut self, cid: &Cid) -> bool {
        self.jobs.retain(|job| *job != Job::Pin(*cid));
        self.entries.remove(cid).is_some()
    }
}
