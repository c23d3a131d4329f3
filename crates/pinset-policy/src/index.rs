//! An index from hashes to the slots of a slab, in shards.
//!
//! A growing shard moves its own slots and no others, so no insertion takes long, however many slots there are. A shard
//! that has become mostly empty shrinks.

use hashbrown::HashTable;

use super::chains::Slot;

/// The number of shards, once there are more than [`UNDIVIDED`] slots.
const SHARDS: usize = 256;

/// The most slots of the single shard that a small index has.
const UNDIVIDED: usize = 4096;

#[derive(Clone)]
pub(super) struct Index {
    shards: Vec<HashTable<u32>>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            shards: vec![HashTable::new()],
        }
    }

    /// The shard of a hash. A shard uses the highest and the lowest bits of the hash itself.
    fn shard(&self, hash: u64) -> usize {
        (hash >> 40) as usize % self.shards.len()
    }

    /// Returns the slot with this hash for which `is` holds.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let shard = &self.shards[self.shard(hash)];
        shard.find(hash, |at| is(Slot(*at))).map(|at| Slot(*at))
    }

    /// Adds a slot. `hash_of` returns the hashes of the others.
    pub(super) fn insert(&mut self, hash: u64, Slot(at): Slot, hash_of: impl Fn(Slot) -> u64) {
        if self.shards.len() == 1 && self.shards[0].len() >= UNDIVIDED {
            self.divide(&hash_of);
        }
        let shard = self.shard(hash);
        self.shards[shard].insert_unique(hash, at, |at| hash_of(Slot(*at)));
    }

    fn divide(&mut self, hash_of: &impl Fn(Slot) -> u64) {
        let before = std::mem::replace(&mut self.shards, vec![HashTable::new(); SHARDS]);
        for at in before.into_iter().flatten() {
            let hash = hash_of(Slot(at));
            let shard = self.shard(hash);
            self.shards[shard].insert_unique(hash, at, |at| hash_of(Slot(*at)));
        }
    }

    /// Removes a slot. `hash_of` returns the hashes of the others.
    pub(super) fn remove(&mut self, hash: u64, Slot(at): Slot, hash_of: impl Fn(Slot) -> u64) {
        let shard = self.shard(hash);
        let shard = &mut self.shards[shard];
        match shard.find_entry(hash, |slot| *slot == at) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => debug_assert!(false, "a linked slot is in the index"),
        }
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
            shard.shrink_to(2 * shard.len(), |at| hash_of(Slot(*at)));
        }
    }

    /// Changes the place of a slot.
    pub(super) fn moved(&mut self, hash: u64, from: Slot, to: Slot) {
        let shard = self.shard(hash);
        match self.shards[shard].find_mut(hash, |at| *at == from.0) {
            Some(at) => *at = to.0,
            None => debug_assert!(false, "a linked slot is in the index"),
        }
    }
}

#[cfg(test)]
impl Index {
    /// The memory that the index has allocated, in bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + self.shards.capacity() * size_of::<HashTable<u32>>()
    }
}
