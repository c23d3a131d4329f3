//! Blocks that staging had no room for, kept in memory for the next read.
//!
//! Bounded in bytes, with all that an entry takes: the oldest blocks go first (I9).

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::block::{Key, KeyHash};

/// The cost of an entry beyond its bytes: its key twice, its share of the tables, and the allocation.
const OVERHEAD: usize = 400;

#[derive(Default)]
pub(crate) struct Pool {
    blocks: HashMap<Key, Bytes, KeyHash>,
    /// The keys of the blocks, the oldest first.
    order: VecDeque<Key>,
    weight: usize,
}

impl Pool {
    pub(crate) fn get(&self, key: &Key) -> Option<Bytes> {
        self.blocks.get(key).cloned()
    }

    /// Keeps a block, and drops the oldest ones beyond `most` bytes. The block is copied: the backend's bytes may be a
    /// slice of a larger buffer.
    pub(crate) fn put(&mut self, key: Key, bytes: &Bytes, most: usize) {
        if self.blocks.contains_key(&key) {
            return;
        }
        self.blocks.insert(key, Bytes::copy_from_slice(bytes));
        self.order.push_back(key);
        self.weight += bytes.len() + OVERHEAD;
        while self.weight > most
            && self.order.len() > 1
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.blocks.remove(&oldest);
            self.weight -= gone.map_or(0, |gone| gone.len()) + OVERHEAD;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_le_bytes());
        Key::wrap(0x12, &digest).unwrap()
    }

    #[test]
    fn it_is_bounded_with_all_that_its_entries_take() {
        let mut pool = Pool::default();
        for n in 0..100_000 {
            pool.put(key(n), &Bytes::from_static(b"abc"), 1 << 20);
            pool.put(key(n), &Bytes::from_static(b"abc"), 1 << 20);
        }
        assert!(pool.blocks.len() <= (1 << 20) / OVERHEAD && pool.blocks.len() > 2000);
        assert_eq!(pool.blocks.len(), pool.order.len());
        assert!(pool.weight <= 1 << 20);
        assert!(pool.get(&key(99_999)).is_some() && pool.get(&key(0)).is_none());
        // The newest block stays, whatever its size.
        pool.put(key(0), &Bytes::from(vec![0; 2 << 20]), 1 << 20);
        assert!(pool.get(&key(0)).is_some() && pool.blocks.len() == 1);
    }

    #[test]
    fn it_keeps_no_buffer_of_the_backend() {
        let buffer = Bytes::from(vec![7; 1 << 20]);
        let mut pool = Pool::default();
        pool.put(key(0), &buffer.slice(5..105), 1 << 20);
        assert!(buffer.is_unique());
        assert_eq!(pool.get(&key(0)).unwrap().len(), 100);
    }
}
