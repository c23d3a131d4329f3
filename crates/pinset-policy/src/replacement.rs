//! Which entries stay when there is no room for all: ARC (Megiddo & Modha, "ARC: A Self-Tuning, Low Overhead
//! Replacement Cache", FAST 2003), weighted.
//!
//! Events in, decisions out: no I/O, no clock, no lock. The caller knows what an entry is (a staged block, a pin on the
//! backend) and how to evict it. An entry may carry a value of the caller's, so that there is one structure and not two
//! that could differ. Invariant: [`resident_bytes`](Replacement::resident_bytes) never exceeds the budget,
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
//! | a ghost is known by | its key | 64 bits of its key's hash |
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

use hashbrown::Equivalent;

pub use super::decision::{Admission, Decision, Eviction, Ghost, Insertion, Room};
use super::{
    chains::{End, Slot},
    order::{List, Order},
};

/// The limit on the number of ghosts is the number of residents or this number, whichever is larger, however few bytes
/// the ghosts stand for.
///
/// Without a limit, a budget of a gigabyte could remember a thousand million entries of one byte. With unit weights
/// there are never more ghosts than residents, so the limit changes nothing there.
pub const GHOSTS_ALWAYS: usize = 1 << 16;

/// How many entries in use one eviction passes over in a list before it gives up on the list.
pub const LOOKED_AT: usize = 128;

/// How many ghosts one event forgets at most. After a budget has become much smaller, the next events forget the rest.
const TRIMMED: usize = 1 << 13;

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

/// Weighted ARC over keys `K`, each with a value; the module's documentation explains its use and its decisions.
#[derive(Clone)]
pub struct Replacement<K, V = (), S = RandomState> {
    order: Order<K, V, S>,
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

impl<K: Clone + Eq + Hash, S: BuildHasher> Replacement<K, (), S> {
    /// Evicts one entry, if the room requires it: the paper's REPLACE.
    ///
    /// `in_use` returns whether a key must not be evicted now. The victim becomes a ghost, unless it was never used.
    pub fn evict(&mut self, room: &Room, mut in_use: impl FnMut(&K) -> bool) -> Eviction<K> {
        self.evict_value(room, |key, ()| in_use(key))
    }

    /// Evicts one entry, if more is resident than the budget allows. For use after [`set_budget`](Self::set_budget).
    pub fn evict_excess(&mut self, mut in_use: impl FnMut(&K) -> bool) -> Eviction<K> {
        self.evict_excess_value(|key, ()| in_use(key))
    }

    /// Makes the key resident, in the room that [`request`](Self::request) returned for it.
    pub fn insert(&mut self, key: K, room: Room) -> Insertion {
        self.insert_value(key, (), room)
    }
}

impl<K: Clone + Eq + Hash, V, S: BuildHasher> Replacement<K, V, S> {
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
    pub fn touch<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> bool {
        let resident = self.find(key);
        if let Some(slot) = resident {
            self.used(slot);
        }
        resident.is_some()
    }

    /// Requests room for a key that is not resident: the beginning of the paper's cases II to IV.
    ///
    /// A [use](Admission::Use) of a ghost moves `p`, here and not later. A resident key is
    /// [touched](Self::touch) if this is a use, and its weight does not change.
    pub fn request<Q: Hash + Equivalent<K> + ?Sized>(
        &mut self,
        key: &Q,
        weight: u64,
        admission: Admission,
    ) -> Decision {
        let fingerprint = self.order.fingerprint(key);
        if let Some(slot) = self.order.find(key, fingerprint) {
            if admission == Admission::Use {
                self.used(slot);
            }
            return Decision::Resident;
        }
        let weight = weight.max(1);
        if weight > self.budget {
            return Decision::Oversize;
        }
        let found = self.order.find_ghost(fingerprint);
        if let (Some((slot, ghost)), Admission::Use) = (found, admission) {
            self.adapt(ghost, self.order.ghost_weight(slot), 0);
        }
        Decision::Admit(Room {
            weight,
            admission,
            ghost: found.map(|(_, ghost)| ghost),
        })
    }

    /// Evicts one entry, as [`evict`](Replacement::evict) does, and returns its value.
    pub fn evict_value(
        &mut self,
        room: &Room,
        in_use: impl FnMut(&K, &V) -> bool,
    ) -> Eviction<K, V> {
        self.evict_for(room.weight, room.is_frequent_ghost_hit(), in_use)
    }

    /// Evicts one entry, as [`evict_excess`](Replacement::evict_excess) does, and returns its value.
    pub fn evict_excess_value(&mut self, in_use: impl FnMut(&K, &V) -> bool) -> Eviction<K, V> {
        self.evict_for(0, false, in_use)
    }

    /// Makes the key resident with a value, in the room that [`request`](Self::request) returned for it.
    pub fn insert_value(&mut self, key: K, value: V, room: Room) -> Insertion {
        let fingerprint = self.order.fingerprint(&key);
        if let Some(slot) = self.order.find(&key, fingerprint) {
            if room.admission == Admission::Use {
                self.used(slot);
            }
            return Insertion::Resident;
        }
        if self.resident_bytes() + room.weight > self.budget || self.order.is_full() {
            return Insertion::NoRoom(room);
        }
        let (list, ghost_of) = match (room.admission, room.ghost) {
            (Admission::Ahead, ghost) => (List::Ahead, ghost),
            (Admission::Use, None) => (List::Recent, None),
            (Admission::Use, Some(_)) => (List::Frequent, None),
        };
        if let Some((slot, _)) = self.order.find_ghost(fingerprint) {
            self.order.remove_ghost(slot);
        }
        let slot = self
            .order
            .insert((key, value), fingerprint, room.weight, list);
        self.order.resident_mut(slot).ghost_of = ghost_of;
        self.trim_ghost_bytes();
        self.trim_ghost_entries();
        Insertion::Admitted
    }

    /// Takes a victim back that turned out to be in use, as if it had been passed over. More may then be resident than
    /// the budget allows: evict the excess. Returns it if its key is resident again by now.
    pub fn take_back(&mut self, key: K, value: V, weight: u64) -> Option<(K, V)> {
        let fingerprint = self.order.fingerprint(&key);
        if self.order.find(&key, fingerprint).is_some() || self.order.is_full() {
            return Some((key, value));
        }
        let ghost = self.order.find_ghost(fingerprint);
        let list = match ghost {
            None => List::Ahead,
            Some((_, Ghost::Recent)) => List::Recent,
            Some((_, Ghost::Frequent)) => List::Frequent,
        };
        if let Some((slot, _)) = ghost {
            self.order.remove_ghost(slot);
        }
        self.order.insert((key, value), fingerprint, weight, list);
        None
    }

    /// Forgets the key, resident or ghost: the entry vanished, or turned out to be corrupt. Returns its weight, if it
    /// was resident.
    pub fn remove<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<u64> {
        let fingerprint = self.order.fingerprint(key);
        if let Some(slot) = self.order.find(key, fingerprint) {
            return self.order.remove(slot).map(|removed| removed.weight);
        }
        if let Some((slot, _)) = self.order.find_ghost(fingerprint) {
            self.order.remove_ghost(slot);
        }
        None
    }

    /// Sets the budget, in bytes. `p` keeps its share of the budget; ghosts beyond the budget are forgotten. If more is
    /// resident than the budget allows, call [`evict_excess`](Replacement::evict_excess) until it returns
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
    pub fn contains<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> bool {
        self.find(key).is_some()
    }

    /// Returns the slot of a resident key. It stays valid until an entry leaves.
    pub fn find<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<Slot> {
        self.order.find(key, self.order.fingerprint(key))
    }

    /// Returns the value of a resident entry.
    pub fn value_mut(&mut self, slot: Slot) -> &mut V {
        &mut self.order.resident_mut(slot).value
    }

    /// Returns the value of a resident entry.
    pub fn value(&self, slot: Slot) -> &V {
        &self.order.resident(slot).value
    }

    /// Takes a resident entry out, without a ghost. Returns its key, value and weight.
    pub fn take(&mut self, slot: Slot) -> Option<(K, V, u64)> {
        let removed = self.order.remove(slot)?;
        Some((removed.key, removed.value, removed.weight))
    }

    /// The resident entries in the slots below `end`, from the last slot to the first. A walk that stops at a slot and
    /// goes on below it misses no entry that is there all the time.
    pub fn below(&self, end: usize) -> impl Iterator<Item = (Slot, &K, &V)> {
        let residents = self.order.below(end);
        residents.map(|(slot, resident)| (slot, &resident.key, &resident.value))
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
        self.order.ghost_bytes(Ghost::Recent) + self.order.ghost_bytes(Ghost::Frequent)
    }

    /// The number of resident entries.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns whether nothing is resident.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The resident entries with their weights in bytes: first those read ahead, then those used once, then those used
    /// more often, each from cold to hot.
    pub fn residents(&self) -> impl Iterator<Item = (&K, u64)> {
        List::ALL
            .into_iter()
            .flat_map(|list| self.order.iter(list))
            .map(|(resident, weight)| (&resident.key, weight))
    }

    /// Returns the sizes and counters.
    pub fn stats(&self) -> ReplacementStats {
        let size = |list| ListSize {
            entries: self.order.list_len(list),
            bytes: self.order.bytes(list),
        };
        let ghosts = |list| ListSize {
            entries: self.order.ghosts(list),
            bytes: self.order.ghost_bytes(list),
        };
        ReplacementStats {
            budget: self.budget,
            p: self.p,
            recent: size(List::Recent),
            ahead: size(List::Ahead),
            frequent: size(List::Frequent),
            recent_ghosts: ghosts(Ghost::Recent),
            frequent_ghosts: ghosts(Ghost::Frequent),
            hits: self.hits,
            hit_bytes: self.hit_bytes,
            recent_ghost_hits: self.recent_ghost_hits,
            frequent_ghost_hits: self.frequent_ghost_hits,
        }
    }

    /// The size of T1, in bytes.
    fn recent_bytes(&self) -> u64 {
        self.order.bytes(List::Ahead) + self.order.bytes(List::Recent)
    }

    /// Notes a use of a resident entry.
    pub fn used(&mut self, slot: Slot) {
        let ghost_of = self.order.resident(slot).ghost_of;
        let weight = self.order.weight(slot);
        let to = match (self.order.list(slot), ghost_of) {
            (List::Ahead, None) => List::Recent,
            (List::Ahead, Some(ghost)) => {
                self.adapt(ghost, weight, weight);
                self.order.resident_mut(slot).ghost_of = None;
                List::Frequent
            }
            (List::Recent | List::Frequent, _) => {
                self.hits += 1;
                self.hit_bytes += weight;
                List::Frequent
            }
        };
        self.order.relink(slot, to, End::Hot);
    }

    /// Moves `p` for a hit in a ghost list: the paper's cases II and III. `taken` is the weight of the ghost if it has
    /// already left its list, else 0: the ratio counts the ghost as still in it.
    fn adapt(&mut self, ghost: Ghost, weight: u64, taken: u64) {
        let recent = self.order.ghost_bytes(Ghost::Recent);
        let frequent = self.order.ghost_bytes(Ghost::Frequent);
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
        mut in_use: impl FnMut(&K, &V) -> bool,
    ) -> Eviction<K, V> {
        if room > self.budget {
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
        lists
            .into_iter()
            .find_map(|list| self.coldest_free(list, &mut in_use))
            .and_then(|slot| self.make_ghost(slot))
            .unwrap_or(Eviction::NoneFree)
    }

    /// Returns the coldest entry of a list that is not in use. Colder entries that are in use go to the hot end.
    fn coldest_free(
        &mut self,
        list: List,
        in_use: &mut impl FnMut(&K, &V) -> bool,
    ) -> Option<Slot> {
        for _ in 0..self.order.list_len(list).min(LOOKED_AT) {
            let slot = self.order.coldest(list)?;
            let resident = self.order.resident(slot);
            if !in_use(&resident.key, &resident.value) {
                return Some(slot);
            }
            self.order.relink(slot, list, End::Hot);
        }
        None
    }

    /// Evicts a resident entry: it becomes a ghost, unless it was never used.
    fn make_ghost(&mut self, slot: Slot) -> Option<Eviction<K, V>> {
        let removed = self.order.remove(slot)?;
        let ghosts = match (removed.list, removed.ghost_of) {
            (List::Ahead, None) => None,
            (List::Ahead, Some(ghost)) => Some((ghost, End::Cold)),
            (List::Recent, _) => Some((Ghost::Recent, End::Hot)),
            (List::Frequent, _) => Some((Ghost::Frequent, End::Hot)),
        };
        if let Some((list, end)) = ghosts {
            self.order.add_ghost(&removed, list, end);
        }
        // L1 and the sum of all lists did not grow. There is something to trim only if a smaller budget left residents
        // beyond it.
        self.trim_ghost_bytes();
        Some(Eviction::Victim {
            key: removed.key,
            value: removed.value,
            weight: removed.weight,
        })
    }

    /// Makes the deletions of the paper's case IV. The paper makes them before REPLACE, which would be too early here:
    /// how much must be deleted depends on the weight of the newcomer. With unit weights the result is the same, since
    /// REPLACE does not look at ghost lists, and changes neither L1 nor the sum of all lists.
    fn trim_ghost_bytes(&mut self) {
        for _ in 0..TRIMMED {
            let recent = self.recent_bytes() + self.order.ghost_bytes(Ghost::Recent);
            let coldest = if recent > self.budget {
                self.order.coldest_ghost(Ghost::Recent)
            } else {
                None
            };
            // Then B2 first, as in the paper, where B1 alone cannot be too large.
            let all = self.resident_bytes() + self.ghost_bytes();
            let coldest = coldest.or_else(|| {
                let both = [Ghost::Frequent, Ghost::Recent].into_iter();
                let mut coldest = both.filter_map(|list| self.order.coldest_ghost(list));
                coldest.next().filter(|_| all > 2 * self.budget)
            });
            match coldest {
                Some(slot) => self.order.remove_ghost(slot),
                None => return,
            }
        }
    }

    /// Trims the number of ghosts. An eviction must not call this: until the newcomer is inserted, the number of
    /// residents is one too low.
    fn trim_ghost_entries(&mut self) {
        let most = self.len().max(GHOSTS_ALWAYS);
        for _ in 0..TRIMMED {
            let recent = self.order.ghosts(Ghost::Recent);
            let frequent = self.order.ghosts(Ghost::Frequent);
            let longer = match recent >= frequent {
                true => Ghost::Recent,
                false => Ghost::Frequent,
            };
            match self.order.coldest_ghost(longer) {
                Some(slot) if recent + frequent > most => self.order.remove_ghost(slot),
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

impl<K: Clone + Eq + Hash, V, S: BuildHasher> fmt::Debug for Replacement<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replacement").field(&self.stats()).finish()
    }
}
