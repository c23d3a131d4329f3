//! The lists of [`Replacement`](super::replacement::Replacement): three of residents and two of ghosts, and an index
//! from key to slot for each kind.
//!
//! It owns the byte sums and the indices; it knows nothing of budgets, of `p`, or of the purpose of the lists.
//! Invariant: a key that is resident is in exactly one list, with its value, and can be found.
//!
//! A ghost is only a fingerprint of its key: 64 bits of the key's hash, under a hasher with a random state. Two keys with
//! the same fingerprint would cost one decision of replacement, and nothing else.

use std::hash::{BuildHasher, Hash};

use hashbrown::Equivalent;

use super::{
    chains::{Chains, End, Node, Slot},
    decision::Ghost,
    index::Index,
};

/// The lists of residents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Read ahead and not used yet: the cold end of T1.
    Ahead,
    /// Used once: the rest of T1.
    Recent,
    /// Used more than once: T2.
    Frequent,
}

impl List {
    pub(super) const ALL: [Self; 3] = [Self::Ahead, Self::Recent, Self::Frequent];

    fn of<T>(node: &Node<T>) -> Self {
        Self::ALL[usize::from(node.chain)]
    }
}

/// A resident entry.
#[derive(Clone)]
pub(super) struct Resident<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    /// A part of the key's hash, so that the index grows without hashing keys.
    hash: u32,
    /// For an entry that was read ahead: the ghost list that it came from.
    pub(super) ghost_of: Option<Ghost>,
}

/// A resident that was removed, with the list that it was in.
pub(super) struct Removed<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) weight: u64,
    pub(super) list: List,
    pub(super) ghost_of: Option<Ghost>,
    fingerprint: Fingerprint,
}

/// The hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    fn short(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The hash by which a resident is indexed.
fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[derive(Clone)]
pub(super) struct Order<K, V, S> {
    residents: Chains<Resident<K, V>, 3>,
    resident_index: Index,
    ghosts: Chains<Fingerprint, 2>,
    ghost_index: Index,
    hasher: S,
}

impl<K, V, S> Order<K, V, S> {
    pub(super) fn new(hasher: S) -> Self {
        Self {
            residents: Chains::new(),
            resident_index: Index::new(),
            ghosts: Chains::new(),
            ghost_index: Index::new(),
            hasher,
        }
    }

    pub(super) fn resident(&self, slot: Slot) -> &Resident<K, V> {
        &self.residents.node(slot).item
    }

    pub(super) fn resident_mut(&mut self, slot: Slot) -> &mut Resident<K, V> {
        &mut self.residents.node_mut(slot).item
    }

    pub(super) fn weight(&self, slot: Slot) -> u64 {
        self.residents.node(slot).weight
    }

    pub(super) fn list(&self, slot: Slot) -> List {
        List::of(self.residents.node(slot))
    }

    /// The number of residents.
    pub(super) fn len(&self) -> usize {
        self.residents.len()
    }

    pub(super) fn list_len(&self, list: List) -> usize {
        self.residents.chain_len(list as usize)
    }

    pub(super) fn bytes(&self, list: List) -> u64 {
        self.residents.chain_bytes(list as usize)
    }

    pub(super) fn ghosts(&self, list: Ghost) -> usize {
        self.ghosts.chain_len(list as usize)
    }

    pub(super) fn ghost_bytes(&self, list: Ghost) -> u64 {
        self.ghosts.chain_bytes(list as usize)
    }

    pub(super) fn ghost_weight(&self, slot: Slot) -> u64 {
        self.ghosts.node(slot).weight
    }

    pub(super) fn coldest(&self, list: List) -> Option<Slot> {
        self.residents.coldest(list as usize)
    }

    pub(super) fn coldest_ghost(&self, list: Ghost) -> Option<Slot> {
        self.ghosts.coldest(list as usize)
    }

    /// The residents of a list, with their weights, from cold to hot.
    pub(super) fn iter(&self, list: List) -> impl Iterator<Item = (&Resident<K, V>, u64)> {
        let nodes = self.residents.iter(list as usize);
        nodes.map(|node| (&node.item, node.weight))
    }

    /// The residents in slots below `end`, from the last to the first. While entries come and go, one that stays is not
    /// missed by whoever goes on from where a walk has stopped.
    pub(super) fn below(&self, end: usize) -> impl Iterator<Item = (Slot, &Resident<K, V>)> {
        let slots = (0..end.min(self.residents.len())).rev();
        slots.map(|at| {
            let slot = Slot(at as u32);
            (slot, self.resident(slot))
        })
    }

    /// Whether no entry can be added until one is removed.
    pub(super) fn is_full(&self) -> bool {
        self.residents.is_full() || self.ghosts.is_full()
    }

    /// Moves a resident to an end of a list, which may be the list it is in.
    pub(super) fn relink(&mut self, slot: Slot, list: List, end: End) {
        self.residents.relink(slot, list as usize, end);
    }

    /// Returns the ghost with this fingerprint, and its list.
    pub(super) fn find_ghost(&self, fingerprint: Fingerprint) -> Option<(Slot, Ghost)> {
        let is = |slot| self.ghosts.node(slot).item == fingerprint;
        let slot = self.ghost_index.find(fingerprint.0, is)?;
        let list = match self.ghosts.node(slot).chain {
            0 => Ghost::Recent,
            _ => Ghost::Frequent,
        };
        Some((slot, list))
    }

    /// Adds a ghost of a resident that was removed.
    pub(super) fn add_ghost(&mut self, of: &Removed<K, V>, list: Ghost, end: End) {
        let fingerprint = of.fingerprint;
        let slot = self.ghosts.add(fingerprint, of.weight, list as usize, end);
        let ghosts = &self.ghosts;
        let hash_of = |slot| ghosts.node(slot).item.0;
        self.ghost_index.insert(fingerprint.0, slot, hash_of);
    }

    /// Forgets a ghost.
    pub(super) fn remove_ghost(&mut self, slot: Slot) {
        let ghosts = &self.ghosts;
        let hash_of = |slot| ghosts.node(slot).item.0;
        self.ghost_index.remove(hash_of(slot), slot, hash_of);
        if let Some((_, Some(from))) = self.ghosts.remove(slot) {
            self.ghost_index
                .moved(self.ghosts.node(slot).item.0, from, slot);
        }
    }

    /// Adds a resident. Its key must be new, and the lists must not be [full](Self::is_full).
    pub(super) fn insert(
        &mut self,
        entry: (K, V),
        fingerprint: Fingerprint,
        weight: u64,
        list: List,
    ) -> Slot {
        let (key, value) = entry;
        let resident = Resident {
            key,
            value,
            hash: fingerprint.short(),
            ghost_of: None,
        };
        let slot = self
            .residents
            .add(resident, weight, list as usize, End::Hot);
        let residents = &self.residents;
        let hash_of = |slot| spread(residents.node(slot).item.hash);
        self.resident_index.insert(hash_of(slot), slot, hash_of);
        slot
    }
}

impl<K: Hash, V, S: BuildHasher> Order<K, V, S> {
    pub(super) fn fingerprint<Q: Hash + ?Sized>(&self, key: &Q) -> Fingerprint {
        Fingerprint(self.hasher.hash_one(key))
    }

    pub(super) fn find<Q: Equivalent<K> + ?Sized>(
        &self,
        key: &Q,
        fingerprint: Fingerprint,
    ) -> Option<Slot> {
        let short = fingerprint.short();
        self.resident_index.find(spread(short), |slot| {
            let resident = self.resident(slot);
            resident.hash == short && key.equivalent(&resident.key)
        })
    }

    /// Removes a resident.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Removed<K, V>> {
        let residents = &self.residents;
        let hash_of = |slot| spread(residents.node(slot).item.hash);
        self.resident_index.remove(hash_of(slot), slot, hash_of);
        let (node, moved) = self.residents.remove(slot)?;
        if let Some(from) = moved {
            let hash = spread(self.resident(slot).hash);
            self.resident_index.moved(hash, from, slot);
        }
        let list = List::of(&node);
        let Resident {
            key,
            value,
            ghost_of,
            ..
        } = node.item;
        Some(Removed {
            fingerprint: self.fingerprint(&key),
            key,
            value,
            weight: node.weight,
            list,
            ghost_of,
        })
    }
}

#[cfg(test)]
impl<K, V, S> Order<K, V, S> {
    /// The memory that the slabs and the indices have allocated, in bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.residents.allocated_bytes()
            + self.resident_index.allocated_bytes()
            + self.ghosts.allocated_bytes()
            + self.ghost_index.allocated_bytes()
    }

    /// The fingerprints of the ghosts in a list, with their weights, from cold to hot.
    pub(super) fn ghosts_of(&self, list: Ghost) -> impl Iterator<Item = (Fingerprint, u64)> {
        let nodes = self.ghosts.iter(list as usize);
        nodes.map(|node| (node.item, node.weight))
    }
}
