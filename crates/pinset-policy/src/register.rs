//! The register of pins: for each root, what of ours is on the backend, and what is to be done about it. It owns the
//! state of every pin, calls nobody, and knows no clock: events in, decisions out.
//!
//! Invariants (I5):
//! * At most one call to the backend is under way for a root at any time. So no release overtakes a pin, and no failure
//!   of one call undoes what another did.
//! * A root is forgotten only when nothing of ours can be on the backend under it.
//! * A whole pin that somebody claims, or that [`keep`](Register::keep) keeps, is not released: a claim is never
//!   replaced, and what is kept only makes way for another whole pin.
//!
//! # The states of a root
//!
//! | `Work` | what is on the backend (`There`) | leads to |
//! |---|---|---|
//! | no root | nothing | `LazyQueued`, `WholeMaking` |
//! | `LazyQueued` | nothing, or something uncertain | `LazyMaking`; `WholeMaking`, for a claim |
//! | `LazyMaking` | the same | `Idle`, with a lazy pin; else `ReleaseQueued`, or no root |
//! | `WholeMaking` | anything | `Idle`, with a whole pin; else what was there before, or `ReleaseQueued` |
//! | `Idle` | a pin; nothing, while a handle or a claim waits | `ReleaseQueued`, by replacement or with the last claim |
//! | `ReleaseQueued` | anything of ours | `Releasing`; `Idle` or `WholeMaking`, if it is wanted again |
//! | `Releasing` | the same | no root; `ReleaseFailed`; the next pin, if it is wanted again |
//! | `ReleaseFailed` | something uncertain | `ReleaseQueued`, after another release; the next pin |

use std::collections::{BTreeMap, HashMap};

use cid::Cid;

mod root;
#[cfg(all(test, not(shuttle)))]
mod tests;

use self::root::{Root, There, Work};
use crate::replacement::{Admission, Decision, Eviction, Insertion, Replacement};

/// The most changes that wait for the worker before lazy pins are dropped: a late pin protects little.
pub const QUEUE: usize = 256;

/// For whom room is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Lazy,
    Whole,
}

/// The state of a whole pin that was just claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is on the backend.
    Held,
    /// It has to be made first: [`Register::begin_whole`].
    Wanted,
}

/// Whether a whole pin can be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is under way now: the caller makes it, and reports how it [`ended`](Register::ended).
    Make,
    /// It is on the backend already.
    Held,
    /// Another call is under way for the root. Ask again once one has ended.
    Wait,
    /// The register is closed.
    Closed,
}

/// A change that the worker makes. It is under way, and the worker reports how it [`ended`](Register::ended).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A lazy pin on this root is made.
    Pin(Cid),
    /// Whatever is pinned under this root is released.
    Release(Cid),
}

/// Whether a release can be made on closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Releasing {
    /// It is under way now: the caller makes it, and reports how it [`ended`](Register::ended).
    Make,
    /// Another call is under way for the root. Ask again once one has ended.
    Wait,
    /// Nothing is left to release, or whoever makes a pin on this root now releases it.
    Nothing,
}

/// How a call to the backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Done,
    /// It had no effect: the backend refused it.
    Refused,
    /// It failed, or its caller gave up. It may have had an effect all the same.
    Unknown,
}

/// All pins of one holder.
#[derive(Debug)]
pub struct Register {
    roots: HashMap<Cid, Root>,
    /// Every lazy pin is resident here, queued or made. A whole pin is, if there was room for it.
    policy: Replacement<Cid>,
    /// The changes that wait for the worker, oldest first.
    queue: BTreeMap<u64, Cid>,
    /// The releases that failed, oldest first.
    failed: BTreeMap<u64, Cid>,
    next_number: u64,
    /// The most roots. Lazy pins on further ones are dropped.
    most: usize,
    dropped: u64,
    closed: bool,
}

impl Register {
    /// Makes an empty register. `most` is the most roots for which lazy pins are made.
    pub fn new(budget_bytes: u64, most: usize) -> Self {
        Self {
            roots: HashMap::new(),
            policy: Replacement::new(budget_bytes),
            queue: BTreeMap::new(),
            failed: BTreeMap::new(),
            next_number: 0,
            most,
            dropped: 0,
            closed: false,
        }
    }

    /// Sets the budget. Room is made when something is admitted next.
    pub fn set_budget(&mut self, bytes: u64) {
        if bytes != self.policy.budget() {
            self.policy.set_budget(bytes);
        }
    }

    // The events of lazy pins.

    /// A handle on `cid` was opened. Queues a lazy pin, unless there is a pin or no room for one. Returns whether the
    /// handle counts: then [`handle_closed`](Self::handle_closed) follows.
    pub fn handle_opened(&mut self, cid: Cid, weight: u64) -> bool {
        if self.closed {
            return false;
        }
        let known = self.roots.contains_key(&cid);
        if !known && self.roots.len() >= self.most {
            self.dropped += 1;
            return false;
        }
        let root = self.roots.entry(cid).or_insert_with(|| Root::new(weight));
        root.opens += 1;
        root.weight = root.weight.max(weight);
        match (root.there, root.work) {
            (_, Work::LazyQueued(_) | Work::LazyMaking)
            | (There::Lazy | There::Whole, Work::Idle) => {
                self.policy.touch(&cid);
            }
            (_, Work::WholeMaking | Work::Releasing) => root.lazy_wanted = true,
            (There::Lazy | There::Whole, Work::ReleaseQueued(_) | Work::ReleaseFailed(_)) => {
                match self.admit(cid, Room::Lazy) {
                    true => self.idle(&cid),
                    false => self.dropped += 1,
                }
            }
            (There::Nothing | There::Uncertain, _) => {
                if !self.queue_lazy(cid) && !known {
                    self.roots.remove(&cid);
                    return false;
                }
            }
        }
        true
    }

    /// A handle on `cid` was closed.
    pub fn handle_closed(&mut self, cid: &Cid) {
        if let Some(root) = self.roots.get_mut(cid) {
            root.opens = root.opens.saturating_sub(1);
            self.forget_if_unused(cid);
        }
    }

    // The events of whole pins.

    /// Claims a whole pin of `weight` bytes. Until [`unclaim`](Self::unclaim) or [`keep`](Self::keep) it is not
    /// released. Returns `None` if the register is closed.
    pub fn claim(&mut self, cid: Cid, weight: u64) -> Option<Claimed> {
        if self.closed {
            return None;
        }
        let root = self.roots.entry(cid).or_insert_with(|| Root::new(weight));
        root.claims += 1;
        root.weight = root.weight.max(weight);
        Some(match (root.there, root.work) {
            (There::Whole, Work::Idle) => {
                self.policy.touch(&cid);
                Claimed::Held
            }
            (There::Whole, Work::ReleaseQueued(_) | Work::ReleaseFailed(_)) => {
                self.idle(&cid);
                self.admit(cid, Room::Whole);
                Claimed::Held
            }
            _ => Claimed::Wanted,
        })
    }

    /// Begins to make the whole pin, if nothing else is under way for the root.
    pub fn begin_whole(&mut self, cid: Cid) -> Begun {
        if self.closed {
            return Begun::Closed;
        }
        let root = self.roots.entry(cid).or_insert_with(|| Root::new(1));
        match root.work {
            Work::LazyMaking | Work::WholeMaking | Work::Releasing => return Begun::Wait,
            Work::LazyQueued(_) => root.lazy_wanted = root.opens > 0,
            Work::Idle | Work::ReleaseQueued(_) | Work::ReleaseFailed(_) => {}
        }
        let held = root.there == There::Whole;
        self.idle(&cid);
        // If there is no room beside what is in use, it is pinned all the same, since the caller asked for it.
        // Replacement does not release it then; closing does.
        self.admit(cid, Room::Whole);
        if held {
            return Begun::Held;
        }
        self.set_work(&cid, Work::WholeMaking);
        Begun::Make
    }

    /// Returns whether somebody holds a whole pin on the root, or waits for one.
    pub fn is_claimed(&self, cid: &Cid) -> bool {
        self.roots.get(cid).is_some_and(|root| root.claims > 0)
    }

    /// Returns whether the whole pin is on the backend, and stays there for now.
    pub fn holds_whole(&self, cid: &Cid) -> bool {
        let root = self.roots.get(cid);
        !self.closed
            && root.is_some_and(|root| root.there == There::Whole && root.work == Work::Idle)
    }

    /// Drops a claim. The whole pin is released with the last one, unless it is kept.
    pub fn unclaim(&mut self, cid: &Cid) {
        if let Some(root) = self.roots.get_mut(cid)
            && !self.closed
        {
            root.claims = root.claims.saturating_sub(1);
            self.settle(*cid);
        }
    }

    /// Drops a claim on a whole pin that is held, and keeps the pin until replacement releases it for another whole
    /// pin. Returns `false` if the register is closed.
    pub fn keep(&mut self, cid: &Cid) -> bool {
        match self.roots.get_mut(cid) {
            Some(root) if !self.closed => {
                root.claims = root.claims.saturating_sub(1);
                root.kept = true;
                true
            }
            _ => false,
        }
    }

    // The calls to the backend.

    /// Takes the next change out of the queue.
    pub fn next_job(&mut self) -> Option<Job> {
        let (_, cid) = self.queue.pop_first()?;
        let root = self.roots.get_mut(&cid)?;
        let (work, job) = match root.work {
            Work::LazyQueued(_) => (Work::LazyMaking, Job::Pin(cid)),
            _ => (Work::Releasing, Job::Release(cid)),
        };
        root.work = work;
        Some(job)
    }

    /// Returns whether the worker has something to do.
    pub fn has_jobs(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The call that was under way for this root has ended. Returns whether its caller has to
    /// [release](Self::begin_release) the pin that it made, since the register was closed meanwhile.
    pub fn ended(&mut self, cid: Cid, outcome: Outcome) -> bool {
        let Some(root) = self.roots.get_mut(&cid) else {
            return false;
        };
        let was = root.work;
        root.work = Work::Idle;
        root.there = match (was, outcome) {
            (Work::LazyMaking, Outcome::Done) => There::Lazy,
            (Work::WholeMaking, Outcome::Done) => There::Whole,
            (Work::Releasing, Outcome::Done) => There::Nothing,
            (Work::Releasing, _) => There::Uncertain,
            (_, Outcome::Unknown) if root.there == There::Nothing => There::Uncertain,
            _ => root.there,
        };
        if self.closed {
            if root.there == There::Nothing {
                self.roots.remove(&cid);
                return false;
            }
            root.there = There::Uncertain;
            return was != Work::Releasing;
        }
        match (was, outcome) {
            (Work::Releasing, _) => self.release_ended(cid, outcome),
            (Work::LazyMaking, Outcome::Done) => {}
            (_, Outcome::Done) => {
                root.lazy_wanted = false;
                self.settle(cid);
            }
            _ => {
                if root.there != There::Lazy {
                    self.policy.remove(&cid);
                }
                self.settle(cid);
            }
        }
        false
    }

    fn release_ended(&mut self, cid: Cid, outcome: Outcome) {
        let done = outcome == Outcome::Done;
        if done && let Some((_, again)) = self.failed.pop_first() {
            // The backend works again.
            self.queue_release(again);
        }
        let Some(root) = self.roots.get(&cid) else {
            return;
        };
        if root.claims > 0 || (root.lazy_wanted && root.opens > 0 && self.queue_lazy(cid)) {
            return;
        }
        if done {
            self.forget_if_unused(&cid);
        } else {
            let number = self.number();
            self.failed.insert(number, cid);
            self.set_work(&cid, Work::ReleaseFailed(number));
        }
    }

    // The end.

    /// Ends the making of pins. Everything that is or may be on the backend has to be released from now on.
    pub fn close(&mut self) {
        self.closed = true;
        self.queue.clear();
        self.failed.clear();
        self.policy = Replacement::new(0);
        self.roots.retain(|_, root| {
            root.opens = 0;
            root.claims = 0;
            root.kept = false;
            if root.there != There::Nothing {
                root.there = There::Uncertain;
            }
            if !matches!(
                root.work,
                Work::LazyMaking | Work::WholeMaking | Work::Releasing
            ) {
                root.work = Work::Idle;
            }
            root.there != There::Nothing || root.work != Work::Idle
        });
    }

    /// Returns whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns whether the register is closed, and nothing of ours can be on the backend now or later.
    pub fn is_over(&self) -> bool {
        self.closed && self.roots.is_empty()
    }

    /// The roots that have to be released, once the register is closed.
    pub fn left(&self) -> Vec<Cid> {
        self.roots.keys().copied().collect()
    }

    /// Begins a release, once the register is closed.
    pub fn begin_release(&mut self, cid: &Cid) -> Releasing {
        match self.roots.get_mut(cid) {
            Some(root) => match root.work {
                Work::LazyMaking | Work::Releasing => Releasing::Wait,
                Work::WholeMaking => Releasing::Nothing,
                _ => {
                    root.work = Work::Releasing;
                    Releasing::Make
                }
            },
            None => Releasing::Nothing,
        }
    }

    // The counters.

    /// The number of pins that are on the backend and are to stay there.
    pub fn held(&self) -> usize {
        let held = |root: &&Root| {
            let pinned = matches!(root.there, There::Lazy | There::Whole);
            pinned && matches!(root.work, Work::Idle | Work::WholeMaking)
        };
        self.roots.values().filter(held).count()
    }

    /// The number of pins that are being released, or could not be released yet.
    pub fn unreleased(&self) -> usize {
        let unreleased = |root: &&Root| match root.work {
            Work::Releasing | Work::ReleaseFailed(_) => true,
            _ => self.closed && root.there != There::Nothing,
        };
        self.roots.values().filter(unreleased).count()
    }

    /// The number of lazy pins that were not made because there was no room for them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    // The steps.

    /// Decides on a root for which nothing is under way: if nobody wants what is there, queues its release.
    fn settle(&mut self, cid: Cid) {
        let Some(root) = self.roots.get_mut(&cid) else {
            return;
        };
        if root.kept || root.claims > 0 || root.work != Work::Idle {
            return;
        }
        match root.there {
            There::Nothing => {
                if root.lazy_wanted && root.opens > 0 {
                    self.queue_lazy(cid);
                }
                self.forget_if_unused(&cid);
            }
            There::Lazy if self.policy.contains(&cid) => {}
            There::Lazy | There::Whole | There::Uncertain => {
                // The lazy pin of an open handle goes too, since one release removes both.
                root.lazy_wanted |= root.opens > 0 && root.there != There::Uncertain;
                self.policy.remove(&cid);
                self.queue_release(cid);
            }
        }
    }

    fn forget_if_unused(&mut self, cid: &Cid) {
        let unused = |root: &Root| root.there == There::Nothing && !root.is_in_use();
        if self.roots.get(cid).is_some_and(unused) {
            self.roots.remove(cid);
            self.policy.remove(cid);
        }
    }

    /// Queues a lazy pin, in the place of a release that waits. Returns whether there was room for it.
    fn queue_lazy(&mut self, cid: Cid) -> bool {
        if self.queue.len() >= QUEUE || !self.admit(cid, Room::Lazy) {
            self.dropped += 1;
            return false;
        }
        self.idle(&cid);
        let number = self.number();
        self.queue.insert(number, cid);
        self.set_work(&cid, Work::LazyQueued(number));
        if let Some(root) = self.roots.get_mut(&cid) {
            root.lazy_wanted = false;
        }
        true
    }

    fn queue_release(&mut self, cid: Cid) {
        self.idle(&cid);
        let number = self.number();
        if let Some(root) = self.roots.get_mut(&cid) {
            root.work = Work::ReleaseQueued(number);
            self.queue.insert(number, cid);
        }
    }

    /// Takes whatever waits for this root out of its queue.
    fn idle(&mut self, cid: &Cid) {
        let Some(root) = self.roots.get_mut(cid) else {
            return;
        };
        match root.work {
            Work::LazyQueued(number) | Work::ReleaseQueued(number) => {
                self.queue.remove(&number);
            }
            Work::ReleaseFailed(number) => {
                self.failed.remove(&number);
            }
            Work::Idle | Work::LazyMaking | Work::WholeMaking | Work::Releasing => return,
        }
        root.work = Work::Idle;
    }

    fn set_work(&mut self, cid: &Cid, work: Work) {
        if let Some(root) = self.roots.get_mut(cid) {
            root.work = work;
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Makes room for a pin within the budget, and queues the releases of the pins that are evicted for it. Returns
    /// whether there is room.
    fn admit(&mut self, cid: Cid, room_for: Room) -> bool {
        if self.policy.touch(&cid) {
            return true;
        }
        let weight = self.roots.get(&cid).map_or(1, |root| root.weight);
        let weight = weight.min(self.policy.budget());
        let room = match self.policy.request(&cid, weight, Admission::Use) {
            Decision::Admit(room) => room,
            Decision::Resident => return true,
            Decision::Oversize => return false,
        };
        loop {
            let roots = &self.roots;
            let stays = |cid: &Cid| {
                let stays = |root: &Root| root.is_in_use() || (room_for == Room::Lazy && root.kept);
                roots.get(cid).is_some_and(stays)
            };
            match self.policy.evict(&room, stays) {
                Eviction::Enough => break,
                Eviction::NoneFree => return false,
                Eviction::Victim { key, .. } => {
                    if let Some(root) = self.roots.get_mut(&key) {
                        root.kept = false;
                    }
                    self.queue_release(key);
                }
            }
        }
        matches!(self.policy.insert(cid, room), Insertion::Admitted)
    }
}
