//! Which entries stay when there is no room for all: ARC (Megiddo & Modha, "ARC: A Self-Tuning, Low Overhead
//! Replacement Cache", FAST 2003), weighted.
//!
//! Events in, decisions out: no I/O, no clock, no lock. The caller knows what an entry is (a staged block, a pin on the
//! backend) and how to evict it. Invariant: [`resident_bytes`](Replacement::resident_bytes) never exceeds the budget,
//! except between a [`set_budget`](Replacement::set_budget) that lowers it and the evictions that this calls for.
//!
//! # The way of one entry
//!
//! 1. [`touch`](Replacement::touch) notes a use. If the entry is resident, this is all.
//! 2. Otherwise the caller obtains the thing, learns its weight, and calls [`request`](Replacement::request), which
//!    adapts `p` if the key is a ghost, and returns a [`Room`].
//! 3. [`evict`](Replacement::evict) is called until it returns [`Enough`](Eviction::Enough). Each call names one
//!    victim, chosen by the paper's REPLACE.
//! 4. [`insert`](Replacement::insert) makes the key resident and trims the ghost lists (the paper's case IV).
//!
//! Anything may happen between the steps, as the caller's lock allows. If another caller has taken the room in the
//! meantime, `insert` returns [`NoRoom`](Insertion::NoRoom), and step 3 is repeated. A room that is no longer wanted is
//! dropped; the ghost it was for stays a ghost.
//!
//! # In bytes
//!
//! The paper counts pages. Here the sizes of the lists, the budget, `p` and its step are bytes: a hit in a ghost
//! list moves `p` by `max(ratio of the ghost lists, 1) x weight of the ghost`. Multiplying every weight and the
//! budget by the same number therefore changes no decision (exactly for powers of two, within the rounding of
//! `f64` for other numbers). With unit weights this is the paper's algorithm, event by event. (With a step of
//! `max(ratio, 1)` bytes, `p` would hardly move.)
//!
//! | | paper | here |
//! |---|---|---|
//! | L1 = T1 and B1 | at most c pages | at most the budget, as far as B1 can be trimmed |
//! | all four lists | at most 2c pages | at most twice the budget, as far as ghosts can be trimmed |
//! | ghosts | at most c | also at most as many as residents, or [`GHOSTS_ALWAYS`] |
//! | a ghost hit | replaces one page | replaces as many entries as the newcomer needs, perhaps none |
//! | no victim in the list that REPLACE chose | impossible | the victim comes from the other list |
//!
//! A weight of 0 is charged as 1. An entry that is heavier than the budget [bypasses](Decision::Oversize): nothing is
//! evicted for it, and no list changes.
//!
//! # Read-ahead
//!
//! An entry admitted [ahead](Admission::Ahead) has not been used. It waits at the cold end of T1, behind all entries
//! that were used, and among those read ahead the oldest is evicted first. Its first touch is its first use. If its key
//! was a ghost when it was admitted, that first touch is the ghost hit: `p` moves then, and the entry goes to T2, as if
//! it had been fetched on demand. (Otherwise a file that is read sequentially again and again would never teach `p`
//! anything.) An entry that is evicted before its first use leaves no ghost; but if it came from a ghost, it becomes
//! that ghost again, at the cold end.
//!
//! # In use
//!
//! An entry that the caller reports as in use is passed over and goes to the hot end of its list, since it is being
//! used now (an entry that was read ahead goes to the hot end of the list of those). So each entry in use is looked at
//! once a round, not once an eviction. At most [`LOOKED_AT`] entries of a list are looked at for one eviction. With
//! this bound every event takes constant time (amortised, where memory grows).

#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
};

pub use super::decision::{Admission, Decision, Eviction, Ghost, Insertion, Room};
use super::order::{End, List, Order, Slot};

/// The limit on the number of ghosts is the number of residents or this number, whichever is larger, however few bytes
/// the ghosts stand for.
///
/// Without a limit, a budget of a gigabyte could remember a thousand million entries of one byte. With unit weights
/// there are never more ghosts than residents, so the limit changes nothing there.
pub const GHOSTS_ALWAYS: usize = 1 << 16;

/// How many entries in use one eviction passes over in a list before it gives up on the list.
pub const LOOKED_AT: usize = 128;

/// The largest budget, in bytes; larger ones count as this. Sums of twice the budget must not overflow.
const MAX_BUDGET: u64 = u64::MAX / 4;

/// The size of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListSize {
    /// The number of entries.
    pub entries: usize,
    /// The sum of their weights, in bytes.
    pub bytes: u64,
}

/// A snapshot of the sizes and counters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReplacementStats {
    /// The budget, in bytes.
    pub budget: u64,
    /// The target for T1, in bytes: see [`Replacement::p`].
    pub p: f64,
    /// T1 without the entries that were read ahead.
    pub recent: ListSize,
    /// The part of T1 that was read ahead and has not been used yet.
    pub ahead: ListSize,
    /// T2.
    pub frequent: ListSize,
    /// B1.
    pub recent_ghosts: ListSize,
    /// B2.
    pub frequent_ghosts: ListSize,
    /// The cache's hits since the start: uses of entries that had been used before and were still resident. The first
    /// use of an entry that was read ahead is not a hit.
    pub hits: u64,
    /// The sum of the weights of those hits, in bytes.
    pub hit_bytes: u64,
    /// Hits in B1, since the start.
    pub recent_ghost_hits: u64,
    /// Hits in B2, since the start.
    pub frequent_ghost_hits: u64,
}

/// Weighted ARC over keys `K`; the module's documentation explains its use and its decisions.
#[derive(Clone)]
pub struct Replacement<K, S = RandomState> {
    order: Order<K, S>,
    budget: u64,
    p: f64,
    hits: u64,
    hit_bytes: u64,
    recent_ghost_hits: u64,
    frequent_ghost_hits: u64,
}

impl<K: Clone + Eq + Hash> Replacement<K> {
    /// Creates one with nothing resident, under a budget in bytes. A budget above 2^62 - 1 counts as 2^62 - 1.
    pub fn new(budget: u64) -> Self {
        Self::with_hasher(budget, RandomState::new())
    }
}

impl<K: Clone + Eq + Hash, S: BuildHasher> Replacement<K, S> {
    /// As [`new`](Replacement::new), with the caller's hasher. Keys that a guest can choose need a hasher with a random
    /// state.
    pub fn with_hasher(budget: u64, hasher: S) -> Self {
        Self {
            order: Order::new(hasher),
            budget: budget.min(MAX_BUDGET),
            p: 0.0,
            hits: 0,
            hit_bytes: 0,
            recent_ghost_hits: 0,
            frequent_ghost_hits: 0,
        }
    }

    /// Notes a use, if the key is resident: the paper's case I. Returns whether it is resident.
    ///
    /// The second use of an entry takes it to T2. The caller decides what counts as one use.
    pub fn touch(&mut self, key: &K) -> bool {
        let resident = self.resident(key);
        if let Some(slot) = resident {
            self.used(slot);
        }
        resident.is_some()
    }

    /// Requests room for a key that is not resident: the beginning of the paper's cases II to IV.
    ///
    /// A [use](Admission::Use) of a ghost moves `p`, here and not later. A resident key is
    /// [touched](Self::touch) if this is a use, and its weight does not change.
    pub fn request(&mut self, key: &K, weight: u64, admission: Admission) -> Decision {
        let found = self.order.find(key);
        let ghost = match found.map(|slot| self.order.entry(slot).list) {
            None => None,
            Some(List::RecentGhosts) => Some(Ghost::Recent),
            Some(List::FrequentGhosts) => Some(Ghost::Frequent),
            Some(List::Ahead | List::Recent | List::Frequent) => {
                if let (Some(slot), Admission::Use) = (found, admission) {
                    self.used(slot);
                }
                return Decision::Resident;
            }
        };
        let weight = weight.max(1);
        if weight > self.budget {
            return Decision::Oversize;
        }
        if let (Some(slot), Some(ghost), Admission::Use) = (found, ghost, admission) {
            self.adapt(ghost, self.order.entry(slot).weight, 0);
        }
        Decision::Admit(Room {
            weight,
            admission,
            ghost,
        })
    }

    /// Evicts one entry, if the room requires it: the paper's REPLACE.
    ///
    /// `in_use` returns whether a key must not be evicted now. The victim becomes a ghost, unless it was never used.
    pub fn evict(&mut self, room: &Room, in_use: impl FnMut(&K) -> bool) -> Eviction<K> {
        self.evict_for(room.weight, room.is_frequent_ghost_hit(), in_use)
    }

    /// Evicts one entry, if more is resident than the budget allows. For use after [`set_budget`](Self::set_budget).
    pub fn evict_excess(&mut self, in_use: impl FnMut(&K) -> bool) -> Eviction<K> {
        self.evict_for(0, false, in_use)
    }

    /// Makes the key resident, in the room that [`request`](Self::request) returned for it.
    pub fn insert(&mut self, key: K, room: Room) -> Insertion {
        let found = self.order.find(&key);
        if let Some(slot) = found
            && self.order.entry(slot).list.is_resident()
        {
            if room.admission == Admission::Use {
                self.used(slot);
            }
            return Insertion::Resident;
        }
        if self.resident_bytes() + room.weight > self.budget
            || (found.is_none() && self.order.is_full())
        {
            return Insertion::NoRoom(room);
        }
        let (list, ghost_of) = match (room.admission, room.ghost) {
            (Admission::Ahead, ghost) => (List::Ahead, ghost),
            (Admission::Use, None) => (List::Recent, None),
            (Admission::Use, Some(_)) => (List::Frequent, None),
        };
        let slot = match found {
            Some(slot) => {
                self.order.set_weight(slot, room.weight);
                self.order.relink(slot, list, End::Hot);
                slot
            }
            None => self.order.insert(key, room.weight, list, End::Hot),
        };
        self.order.set_ghost_of(slot, ghost_of);
        self.trim_ghost_bytes();
        self.trim_ghost_entries();
        Insertion::Admitted
    }

    /// Forgets the key, resident or ghost: the entry vanished, or turned out to be corrupt. Returns its weight, if it
    /// was resident.
    pub fn remove(&mut self, key: &K) -> Option<u64> {
        let slot = self.order.find(key)?;
        let entry = self.order.entry(slot);
        let weight = entry.list.is_resident().then_some(entry.weight);
        self.order.remove(slot);
        weight
    }

    /// Sets the budget, in bytes. `p` keeps its share of the budget; ghosts beyond the budget are forgotten. If more is
    /// resident than the budget allows, call [`evict_excess`](Self::evict_excess) until it returns
    /// [`Enough`](Eviction::Enough); nothing is admitted before.
    pub fn set_budget(&mut self, budget: u64) {
        let budget = budget.min(MAX_BUDGET);
        if self.budget > 0 {
            self.p *= budget as f64 / self.budget as f64;
        }
        self.p = self.p.min(budget as f64);
        self.budget = budget;
        self.trim_ghost_bytes();
        self.trim_ghost_entries();
    }

    /// Returns whether the key is resident, without noting a use.
    pub fn contains(&self, key: &K) -> bool {
        self.resident(key).is_some()
    }

    /// The budget, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// The target for T1, in bytes: how much of the budget should go to entries that were used once, as learned from
    /// the ghost hits so far. It starts at 0 and is at most the budget.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The sum of the weights of the resident entries, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.recent_bytes() + self.order.bytes(List::Frequent)
    }

    /// The sum of the weights of the ghosts, in bytes. Nobody holds these bytes any more.
    pub fn ghost_bytes(&self) -> u64 {
        self.order.bytes(List::RecentGhosts) + self.order.bytes(List::FrequentGhosts)
    }

    /// The number of resident entries.
    pub fn len(&self) -> usize {
        self.order.len(List::Ahead) + self.order.len(List::Recent) + self.order.len(List::Frequent)
    }

    /// Returns whether nothing is resident.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The resident entries with their weights in bytes: first those read ahead, then those used once, then those used
    /// more often, each from cold to hot.
    pub fn residents(&self) -> impl Iterator<Item = (&K, u64)> {
        [List::Ahead, List::Recent, List::Frequent]
            .into_iter()
            .flat_map(|list| self.order.iter(list))
            .map(|entry| (&entry.key, entry.weight))
    }

    /// Returns the sizes and counters.
    pub fn stats(&self) -> ReplacementStats {
        let size = |list| ListSize {
            entries: self.order.len(list),
            bytes: self.order.bytes(list),
        };
        ReplacementStats {
            budget: self.budget,
            p: self.p,
            recent: size(List::Recent),
            ahead: size(List::Ahead),
            frequent: size(List::Frequent),
            recent_ghosts: size(List::RecentGhosts),
            frequent_ghosts: size(List::FrequentGhosts),
            hits: self.hits,
            hit_bytes: self.hit_bytes,
            recent_ghost_hits: self.recent_ghost_hits,
            frequent_ghost_hits: self.frequent_ghost_hits,
        }
    }

    fn resident(&self, key: &K) -> Option<Slot> {
        let slot = self.order.find(key)?;
        self.order.entry(slot).list.is_resident().then_some(slot)
    }

    /// The size of T1, in bytes.
    fn recent_bytes(&self) -> u64 {
        self.order.bytes(List::Ahead) + self.order.bytes(List::Recent)
    }

    /// Notes a use of a resident entry.
    fn used(&mut self, slot: Slot) {
        let entry = self.order.entry(slot);
        let to = match (entry.list, entry.ghost_of) {
            (List::Ahead, None) => List::Recent,
            (List::Ahead, Some(ghost)) => {
                let weight = entry.weight;
                self.adapt(ghost, weight, weight);
                self.order.set_ghost_of(slot, None);
                List::Frequent
            }
            _ => {
                self.hits += 1;
                self.hit_bytes += entry.weight;
                List::Frequent
            }
        };
        self.order.relink(slot, to, End::Hot);
    }

    /// Moves `p` for a hit in a ghost list: the paper's cases II and III. `taken` is the weight of the ghost if it has
    /// already left its list, else 0: the ratio counts the ghost as still in it.
    fn adapt(&mut self, ghost: Ghost, weight: u64, taken: u64) {
        let recent = self.order.bytes(List::RecentGhosts);
        let frequent = self.order.bytes(List::FrequentGhosts);
        match ghost {
            Ghost::Recent => {
                self.recent_ghost_hits += 1;
                self.p += step(frequent, recent + taken, weight);
                self.p = self.p.min(self.budget as f64);
            }
            Ghost::Frequent => {
                self.frequent_ghost_hits += 1;
                self.p -= step(recent, frequent + taken, weight);
                self.p = self.p.max(0.0);
            }
        }
    }

    fn evict_for(
        &mut self,
        room: u64,
        is_frequent_ghost_hit: bool,
        mut in_use: impl FnMut(&K) -> bool,
    ) -> Eviction<K> {
        if room > self.budget {
            // coverage: needs a budget that shrinks between the request for room and the eviction.
            return Eviction::NoneFree;
        }
        if self.resident_bytes() + room <= self.budget {
            return Eviction::Enough;
        }
        let recent = self.recent_bytes() as f64;
        // A list without a victim is skipped; the next one is tried.
        let lists = if recent > self.p || (is_frequent_ghost_hit && recent == self.p) {
            [List::Ahead, List::Recent, List::Frequent]
        } else {
            [List::Frequent, List::Ahead, List::Recent]
        };
        match lists
            .into_iter()
            .find_map(|list| self.coldest_free(list, &mut in_use))
        {
            Some(slot) => self.make_ghost(slot),
            None => Eviction::NoneFree,
        }
    }

    /// Returns the coldest entry of a list that is not in use. Colder entries that are in use go to the hot end.
    fn coldest_free(&mut self, list: List, in_use: &mut impl FnMut(&K) -> bool) -> Option<Slot> {
        for _ in 0..self.order.len(list).min(LOOKED_AT) {
            let slot = self.order.coldest(list)?;
            if !in_use(&self.order.entry(slot).key) {
                return Some(slot);
            }
            self.order.relink(slot, list, End::Hot);
        }
        None
    }

    /// Evicts a resident entry: it becomes a ghost, unless it was never used.
    fn make_ghost(&mut self, slot: Slot) -> Eviction<K> {
        let entry = self.order.entry(slot);
        let victim = Eviction::Victim {
            key: entry.key.clone(),
            weight: entry.weight,
        };
        let ghosts = match (entry.list, entry.ghost_of) {
            (List::Ahead, None) => None,
            (List::Ahead, Some(Ghost::Recent)) => Some((List::RecentGhosts, End::Cold)),
            (List::Ahead, Some(Ghost::Frequent)) => Some((List::FrequentGhosts, End::Cold)),
            (List::Recent, _) => Some((List::RecentGhosts, End::Hot)),
            _ => Some((List::FrequentGhosts, End::Hot)),
        };
        match ghosts {
            Some((list, end)) => {
                self.order.set_ghost_of(slot, None);
                self.order.relink(slot, list, end);
            }
            None => self.order.remove(slot),
        }
        // L1 and the sum of all lists did not grow. There is something to trim only if a smaller budget left residents
        // beyond it.
        self.trim_ghost_bytes();
        victim
    }

    /// Makes the deletions of the paper's case IV. The paper makes them before REPLACE, which would be too early here:
    /// how much must be deleted depends on the weight of the newcomer. With unit weights the result is the same, since
    /// REPLACE does not look at ghost lists, and changes neither L1 nor the sum of all lists.
    fn trim_ghost_bytes(&mut self) {
        while self.recent_bytes() + self.order.bytes(List::RecentGhosts) > self.budget {
            let Some(slot) = self.order.coldest(List::RecentGhosts) else {
                break;
            };
            self.order.remove(slot);
        }
        while self.resident_bytes() + self.ghost_bytes() > 2 * self.budget {
            // B2 first, as in the paper, where B1 alone cannot be too large.
            let Some(slot) = (self.order.coldest(List::FrequentGhosts))
                .or_else(|| self.order.coldest(List::RecentGhosts))
            else {
                break;
            };
            self.order.remove(slot);
        }
    }

    /// Trims the number of ghosts. An eviction must not call this: until the newcomer is inserted, the number of
    /// residents is one too low.
    fn trim_ghost_entries(&mut self) {
        let most = self.len().max(GHOSTS_ALWAYS);
        loop {
            let recent = self.order.len(List::RecentGhosts);
            let frequent = self.order.len(List::FrequentGhosts);
            let longer = match recent >= frequent {
                true => List::RecentGhosts,
                false => List::FrequentGhosts,
            };
            match self.order.coldest(longer) {
                Some(slot) if recent + frequent > most => self.order.remove(slot),
                _ => break,
            }
        }
    }
}

/// How far a hit in a ghost list moves `p`, in bytes: by the ghost's weight, times the ratio of the lists if the other
/// list is longer, since hits in the shorter list are rarer.
fn step(other: u64, hit: u64, weight: u64) -> f64 {
    (other as f64 / hit as f64).max(1.0) * weight as f64
}

impl<K: Clone + Eq + Hash, S: BuildHasher> fmt::Debug for Replacement<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replacement").field(&self.stats()).finish()
    }
}
