//! Which entries stay when there is no room for all: ARC (Megiddo & Modha, "ARC: A Self-Tuning, Low Overhead
//! Replacement Cache", FAST 2003), weighted.
//!
//! Events in, decisions out: no I/O, no clock, no lock. What an entry is (a staged block, a pin on the backend)
//! and how it is evicted is the caller's. Invariant: [`resident_bytes`](Replacement::resident_bytes) never
//! exceeds the budget but between a [`set_budget`](Replacement::set_budget) that lowers it and the evictions
//! that it calls for.
//!
//! # The way of one entry
//!
//! 1. [`touch`](Replacement::touch): a use. Of a resident entry: done.
//! 2. Else the caller gets hold of the thing, learns its weight, and calls [`request`](Replacement::request),
//!    which adapts `p` where the key is a ghost, and gives a [`Room`].
//! 3. [`evict`](Replacement::evict), called until it says [`Enough`](Eviction::Enough): each call names one
//!    victim, by the paper's REPLACE.
//! 4. [`insert`](Replacement::insert): the key is resident. The ghost lists are trimmed (the paper's case IV).
//!
//! Anything may happen between the steps, as the caller's lock allows: a room that somebody else took in the
//! meantime is [`NoRoom`](Insertion::NoRoom), and step 3 is taken again. A room that is not wanted any more is
//! dropped; the ghost it was for is still one.
//!
//! # In bytes
//!
//! The paper counts pages. Here the sizes of the lists, the budget, `p` and its step are bytes: a hit in a ghost
//! list moves `p` by `max(ratio of the ghost lists, 1) x weight of the ghost`. Multiplying every weight and the
//! budget by the same number therefore changes no decision (exactly so for powers of two, within the rounding of
//! `f64` for others), and unit weights give the paper's algorithm, event by event. (With a step of
//! `max(ratio, 1)` bytes, `p` would hardly move.)
//!
//! | | paper | here |
//! |---|---|---|
//! | L1 = T1 and B1 | at most c pages | at most the budget, where B1 can be trimmed for it |
//! | all four lists | at most 2c pages | at most twice the budget, where ghosts can be trimmed for it |
//! | ghosts | at most c | also at most as many as residents, or [`GHOSTS_ALWAYS`] |
//! | a ghost hit | replaces one page | replaces as many as there must be for the newcomer, perhaps none |
//! | no victim in the list that REPLACE chose | cannot be | the other list gives it |
//!
//! A weight of 0 is charged as 1. What is heavier than the budget [bypasses](Decision::Oversize): nothing is
//! evicted for it, and no list changes.
//!
//! # Read-ahead
//!
//! An entry admitted [ahead](Admission::Ahead) has not been used: it waits at the cold end of T1, behind all that
//! was used, the oldest of its kind going first. Its first touch is its first use. Where its key was a ghost when
//! it was admitted, that first touch is the ghost hit: `p` moves then, and the entry goes to T2, as if it had
//! been fetched on demand. (Else a file that is read sequentially again and again would never teach `p`
//! anything.) Evicted before its first use, it leaves no ghost; if it was one, it is one again, at the cold end.
//!
//! # In use
//!
//! An entry that the caller says is in use is passed over, and goes to the hot end of its list, since it is being
//! used now (one that was read ahead: to the hot end of those). So each entry that is held up is looked at once
//! a round, not once an eviction. At most [`LOOKED_AT`] entries of a list are looked at for one eviction, which
//! with the rest makes every event constant in time (amortised, where memory grows).

#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
};

pub use super::decision::{Admission, Decision, Eviction, Ghost, Insertion, Room};
use super::order::{End, List, Order, Slot};

/// As many ghosts are kept as there are residents, or this number, if that is more, whatever their bytes.
///
/// A budget of a gigabyte could else remember a thousand million entries of one byte. With unit weights there
/// are never more ghosts than residents, so this limit changes nothing there.
pub const GHOSTS_ALWAYS: usize = 1 << 16;

/// How many entries in use are passed over in a list, for one eviction, before the list is given up.
pub const LOOKED_AT: usize = 128;

/// The largest budget that is told from larger ones, in bytes: sums of twice the budget must not overflow.
const MAX_BUDGET: u64 = u64::MAX / 4;

/// Entries and bytes of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListSize {
    /// Number of entries.
    pub entries: usize,
    /// Their weights' sum, in bytes.
    pub bytes: u64,
}

/// A look at all of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReplacementStats {
    /// The budget, in bytes.
    pub budget: u64,
    /// The target for T1, in bytes: see [`Replacement::p`].
    pub p: f64,
    /// T1 but for what was read ahead.
    pub recent: ListSize,
    /// The part of T1 that was read ahead and not used yet.
    pub ahead: ListSize,
    /// T2.
    pub frequent: ListSize,
    /// B1.
    pub recent_ghosts: ListSize,
    /// B2.
    pub frequent_ghosts: ListSize,
    /// Uses of what had been used before and was still resident, since the start: the cache's hits. The first use of
    /// what was read ahead is none.
    pub hits: u64,
    /// Their weights' sum, in bytes.
    pub hit_bytes: u64,
    /// Hits in B1, since the start.
    pub recent_ghost_hits: u64,
    /// Hits in B2, since the start.
    pub frequent_ghost_hits: u64,
}

/// Weighted ARC over keys `K`; the module's documentation says how it is used and what it decides.
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
    /// Nothing resident, under a budget of so many bytes (of which more than 2^62 - 1 count as that).
    pub fn new(budget: u64) -> Self {
        Self::with_hasher(budget, RandomState::new())
    }
}

impl<K: Clone + Eq + Hash, S: BuildHasher> Replacement<K, S> {
    /// As [`new`](Replacement::new), with a hasher of the caller's. Keys that a guest can choose want one with a
    /// random state.
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

    /// Notes a use, if the key is resident: the paper's case I. Says whether it is.
    ///
    /// The second use of an entry takes it to T2. What counts as one use is the caller's to say.
    pub fn touch(&mut self, key: &K) -> bool {
        let resident = self.resident(key);
        if let Some(slot) = resident {
            self.used(slot);
        }
        resident.is_some()
    }

    /// Asks for room for a key that is not resident: the beginning of the paper's cases II to IV.
    ///
    /// A [use](Admission::Use) of a ghost moves `p`, here and not later. A resident key is
    /// [touched](Self::touch) if this is a use, and its weight stays what it was.
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

    /// Evicts one entry, if that must be for the room: the paper's REPLACE.
    ///
    /// `in_use` says of a key whether it must not be evicted now. The victim becomes a ghost, unless it was
    /// never used.
    pub fn evict(&mut self, room: &Room, in_use: impl FnMut(&K) -> bool) -> Eviction<K> {
        self.evict_for(room.weight, room.is_frequent_ghost_hit(), in_use)
    }

    /// Evicts one entry, if more is resident than the budget allows: for after [`set_budget`](Self::set_budget).
    pub fn evict_excess(&mut self, in_use: impl FnMut(&K) -> bool) -> Eviction<K> {
        self.evict_for(0, false, in_use)
    }

    /// Makes the key resident, in the room that [`request`](Self::request) gave for it.
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

    /// Forgets the key, resident or ghost: the entry vanished, or turned out to be corrupt. Gives its weight, if
    /// it was resident.
    pub fn remove(&mut self, key: &K) -> Option<u64> {
        let slot = self.order.find(key)?;
        let entry = self.order.entry(slot);
        let weight = entry.list.is_resident().then_some(entry.weight);
        self.order.remove(slot);
        weight
    }

    /// Sets the budget, in bytes. `p` keeps its share of it; ghosts beyond it are forgotten. Where more is
    /// resident than it allows, [`evict_excess`](Self::evict_excess) is to be called until it says
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

    /// Whether the key is resident. No use is noted.
    pub fn contains(&self, key: &K) -> bool {
        self.resident(key).is_some()
    }

    /// The budget, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// How many bytes of the budget are to go to entries that were used once (T1), by what the ghost hits taught
    /// so far: 0 is the start, and the whole budget the most.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The weights' sum of what is resident, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.recent_bytes() + self.order.bytes(List::Frequent)
    }

    /// The weights' sum of the ghosts, in bytes that nobody holds any more.
    pub fn ghost_bytes(&self) -> u64 {
        self.order.bytes(List::RecentGhosts) + self.order.bytes(List::FrequentGhosts)
    }

    /// How many entries are resident.
    pub fn len(&self) -> usize {
        self.order.len(List::Ahead) + self.order.len(List::Recent) + self.order.len(List::Frequent)
    }

    /// Whether nothing is resident.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is resident, with its weight in bytes: read ahead, used once, used more often, each from cold to hot.
    pub fn residents(&self) -> impl Iterator<Item = (&K, u64)> {
        [List::Ahead, List::Recent, List::Frequent]
            .into_iter()
            .flat_map(|list| self.order.iter(list))
            .map(|entry| (&entry.key, entry.weight))
    }

    /// Sizes and counters.
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

    /// T1, in bytes.
    fn recent_bytes(&self) -> u64 {
        self.order.bytes(List::Ahead) + self.order.bytes(List::Recent)
    }

    /// A use of a resident entry.
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

    /// A hit in a ghost list: the paper's cases II and III. `taken` is what the ghost weighed, if it has left
    /// its list: the ratio is taken with the ghost in it.
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
            // coverage: a budget has to shrink between the request for room and the eviction.
            return Eviction::NoneFree;
        }
        if self.resident_bytes() + room <= self.budget {
            return Eviction::Enough;
        }
        let recent = self.recent_bytes() as f64;
        // An empty T1 has no victim: the next list in the row gives it.
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

    /// The coldest entry of a list that is not in use; those that are go to the hot end.
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

    /// Evicts: a resident entry becomes a ghost, unless it was never used.
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
        // L1 and the sum of all lists are what they were or less: there is something to trim only where a
        // smaller budget left residents beyond it.
        self.trim_ghost_bytes();
        victim
    }

    /// The deletions of the paper's case IV. It makes them before REPLACE, which here would be too early: how
    /// much is to be deleted depends on what gets in. With unit weights it comes to the same, since REPLACE
    /// looks at no ghost list, and changes neither L1 nor the sum of all lists.
    fn trim_ghost_bytes(&mut self) {
        while self.recent_bytes() + self.order.bytes(List::RecentGhosts) > self.budget {
            let Some(slot) = self.order.coldest(List::RecentGhosts) else {
                break;
            };
            self.order.remove(slot);
        }
        while self.resident_bytes() + self.ghost_bytes() > 2 * self.budget {
            // B2 first, as in the paper, where B1 alone cannot be too much.
            let Some(slot) = (self.order.coldest(List::FrequentGhosts))
                .or_else(|| self.order.coldest(List::RecentGhosts))
            else {
                break;
            };
            self.order.remove(slot);
        }
    }

    /// Not in an eviction: until the newcomer is in, there is one resident too few to count by.
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

/// How far a hit in a ghost list moves `p`, in bytes: by the ghost's weight, and more, where the other list is
/// longer, the fewer hits there are to be expected.
fn step(other: u64, hit: u64, weight: u64) -> f64 {
    (other as f64 / hit as f64).max(1.0) * weight as f64
}

impl<K: Clone + Eq + Hash, S: BuildHasher> fmt::Debug for Replacement<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replacement").field(&self.stats()).finish()
    }
}
