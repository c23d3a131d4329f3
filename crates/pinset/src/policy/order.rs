//! The lists of [`Replacement`](super::replacement::Replacement), in one slab: five doubly linked chains, each from
//! cold to hot, and an index from key to slot.
//!
//! It owns the links, the byte sums and the index; it knows nothing of budgets, of `p`, or of the purpose of the lists.
//! Invariant: a slot is in exactly one chain and in the index, or it is free and in neither; a chain's `bytes` and
//! `len` are the sum and the number of its slots.
//!
//! A key is stored once, in its slot: the index holds only slot numbers. Because of this, and because the slab grows by
//! a quarter, an entry takes at most 100 bytes beyond its key.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use super::decision::Ghost;

/// The lists, in the order of [`Order::chains`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Resident, read ahead and not used yet: the cold end of T1.
    Ahead,
    /// Resident, used once: the rest of T1.
    Recent,
    /// Resident, used more than once: T2.
    Frequent,
    /// Evicted after one use: B1.
    RecentGhosts,
    /// Evicted after several uses: B2.
    FrequentGhosts,
}

impl List {
    pub(super) const COUNT: usize = 5;

    pub(super) fn is_resident(self) -> bool {
        match self {
            Self::Ahead | Self::Recent | Self::Frequent => true,
            Self::RecentGhosts | Self::FrequentGhosts => false,
        }
    }
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The least recently used entry.
    Cold,
    /// The most recently used entry.
    Hot,
}

/// A slot that is in a chain. It stays valid until [`Order::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// The link that leads to no slot.
const NONE: u32 = u32::MAX;

#[derive(Clone)]
pub(super) struct Entry<K> {
    pub(super) key: K,
    pub(super) weight: u64,
    /// The neighbour towards the cold end; in a free slot, the next free slot.
    colder: u32,
    /// The neighbour towards the hot end.
    hotter: u32,
    pub(super) list: List,
    /// For an entry that was read ahead: the ghost list that it came from.
    pub(super) ghost_of: Option<Ghost>,
}

#[derive(Clone, Copy)]
struct Chain {
    cold: u32,
    hot: u32,
    len: u32,
    bytes: u64,
}

const EMPTY: Chain = Chain {
    cold: NONE,
    hot: NONE,
    len: 0,
    bytes: 0,
};

#[derive(Clone)]
pub(super) struct Order<K, S> {
    entries: Vec<Entry<K>>,
    chains: [Chain; List::COUNT],
    index: HashTable<u32>,
    hasher: S,
    /// The first free slot. A free slot keeps its stale key until it is reused.
    free: u32,
}

impl<K, S> Order<K, S> {
    pub(super) fn new(hasher: S) -> Self {
        Self {
            entries: Vec::new(),
            chains: [EMPTY; List::COUNT],
            index: HashTable::new(),
            hasher,
            free: NONE,
        }
    }

    pub(super) fn entry(&self, slot: Slot) -> &Entry<K> {
        &self.entries[slot.0 as usize]
    }

    pub(super) fn len(&self, list: List) -> usize {
        self.chains[list as usize].len as usize
    }

    pub(super) fn bytes(&self, list: List) -> u64 {
        self.chains[list as usize].bytes
    }

    pub(super) fn coldest(&self, list: List) -> Option<Slot> {
        slot(self.chains[list as usize].cold)
    }

    /// The list's entries, from cold to hot.
    pub(super) fn iter(&self, list: List) -> impl Iterator<Item = &Entry<K>> {
        let mut at = self.coldest(list);
        std::iter::from_fn(move || {
            let entry = self.entry(at?);
            at = slot(entry.hotter);
            Some(entry)
        })
    }

    /// Whether every slot number is taken. If so, no entry can be added until one is removed.
    pub(super) fn is_full(&self) -> bool {
        self.free == NONE && self.entries.len() >= NONE as usize
    }

    /// Moves an entry to an end of a list, which may be the list it is in.
    pub(super) fn relink(&mut self, slot: Slot, list: List, end: End) {
        self.unlink(slot);
        self.link(slot, list, end);
    }

    pub(super) fn set_ghost_of(&mut self, slot: Slot, ghost: Option<Ghost>) {
        self.entries[slot.0 as usize].ghost_of = ghost;
    }

    pub(super) fn set_weight(&mut self, slot: Slot, weight: u64) {
        let entry = &mut self.entries[slot.0 as usize];
        let chain = &mut self.chains[entry.list as usize];
        chain.bytes = chain.bytes - entry.weight + weight;
        entry.weight = weight;
    }

    fn unlink(&mut self, slot: Slot) {
        let Entry {
            colder,
            hotter,
            list,
            weight,
            ..
        } = *self.entry(slot);
        let chain = &mut self.chains[list as usize];
        chain.len -= 1;
        chain.bytes -= weight;
        match colder {
            NONE => chain.cold = hotter,
            at => self.entries[at as usize].hotter = hotter,
        }
        match hotter {
            NONE => chain.hot = colder,
            at => self.entries[at as usize].colder = colder,
        }
    }

    fn link(&mut self, Slot(at): Slot, list: List, end: End) {
        let chain = &mut self.chains[list as usize];
        let (colder, hotter) = match end {
            End::Cold => (NONE, std::mem::replace(&mut chain.cold, at)),
            End::Hot => (std::mem::replace(&mut chain.hot, at), NONE),
        };
        if colder == NONE {
            chain.cold = at;
        } else {
            self.entries[colder as usize].hotter = at;
        }
        if hotter == NONE {
            chain.hot = at;
        } else {
            self.entries[hotter as usize].colder = at;
        }
        let entry = &mut self.entries[at as usize];
        entry.colder = colder;
        entry.hotter = hotter;
        entry.list = list;
        chain.len += 1;
        chain.bytes += entry.weight;
    }
}

impl<K: Eq + Hash, S: BuildHasher> Order<K, S> {
    pub(super) fn find(&self, key: &K) -> Option<Slot> {
        let hash = self.hasher.hash_one(key);
        self.index
            .find(hash, |at| self.entries[*at as usize].key == *key)
            .map(|at| Slot(*at))
    }

    /// Adds an entry. Its key must be new, and the slab must not be [full](Self::is_full).
    pub(super) fn insert(&mut self, key: K, weight: u64, list: List, end: End) -> Slot {
        debug_assert!(self.find(&key).is_none() && !self.is_full());
        let hash = self.hasher.hash_one(&key);
        let entry = Entry {
            key,
            weight,
            colder: NONE,
            hotter: NONE,
            list,
            ghost_of: None,
        };
        let at = self.free;
        let at = if at == NONE {
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact(self.entries.len() / 4 + 16);
            }
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            self.free = self.entries[at as usize].colder;
            self.entries[at as usize] = entry;
            at
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, at, |other| {
            hasher.hash_one(&entries[*other as usize].key)
        });
        self.link(Slot(at), list, end);
        Slot(at)
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, slot: Slot) {
        self.unlink(slot);
        let hash = self.hasher.hash_one(&self.entry(slot).key);
        match self.index.find_entry(hash, |at| *at == slot.0) {
            Ok(entry) => drop(entry.remove()),
            // coverage: excluded by the invariant.
            Err(_) => debug_assert!(false, "a linked slot is in the index"),
        }
        self.entries[slot.0 as usize].colder = self.free;
        self.free = slot.0;
    }
}

fn slot(at: u32) -> Option<Slot> {
    (at != NONE).then_some(Slot(at))
}

#[cfg(test)]
impl<K, S> Order<K, S> {
    /// The memory that the slab and the index have allocated, in bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K>>() + self.index.allocation_size()
    }
}
