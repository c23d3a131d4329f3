//! Four caches behind one trait: a key is used, and the cache tells whether it was there.
//!
//! Each is a set (a key has no value) with a maximum number of entries of weight 1. All have the same keys and the same
//! hash function, so they differ only in how they remember and replace.

use std::num::NonZeroUsize;

use foldhash::quality::FixedState;
use multihash::Multihash;
use pinset_policy::replacement::{Admission, Decision, Eviction, Insertion, Replacement};

/// The type of key under which staging keeps its blocks.
pub(crate) type Key = Multihash<64>;

/// Makes a key that looks like a SHA-256 digest, in a few nanoseconds.
#[inline]
pub(crate) fn key(number: u64) -> Key {
    let mut digest = [0; 32];
    for (part, bytes) in (0..).zip(digest.chunks_exact_mut(8)) {
        // The final mixing steps of SplitMix64.
        let mut mixed = (number * 4 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bytes.copy_from_slice(&(mixed ^ (mixed >> 27)).to_le_bytes());
    }
    Multihash::wrap(0x12, &digest).expect("32 bytes fit into 64")
}

fn hasher() -> FixedState {
    FixedState::with_seed(5)
}

/// A cache to compare.
pub(crate) trait Cache {
    const NAME: &'static str;

    /// Creates a cache with room for this number of entries.
    fn new(entries: u64) -> Self;

    /// Uses the key, and admits it if it was not there. Returns whether it was there.
    fn use_of(&mut self, key: &Key) -> bool;

    /// Does the work that the cache has postponed.
    fn settle(&mut self) {}
}

/// The policy of this crate.
pub(crate) struct Ours(Replacement<Key, (), FixedState>);

impl Cache for Ours {
    const NAME: &'static str = "ARC (pinset)";

    fn new(entries: u64) -> Self {
        Self(Replacement::with_hasher(entries, hasher()))
    }

    #[inline]
    fn use_of(&mut self, key: &Key) -> bool {
        let room = match self.0.request(key, 1, Admission::Use) {
            Decision::Resident => return true,
            Decision::Oversize => return false,
            Decision::Admit(room) => room,
        };
        while let Eviction::Victim { .. } = self.0.evict(&room, |_| false) {}
        assert!(matches!(self.0.insert(*key, room), Insertion::Admitted));
        false
    }
}

/// Plain LRU, by the crate `lru`.
pub(crate) struct Lru(lru::LruCache<Key, (), FixedState>);

impl Cache for Lru {
    const NAME: &'static str = "LRU (lru)";

    fn new(entries: u64) -> Self {
        let entries = NonZeroUsize::new(entries as usize).expect("some entries");
        Self(lru::LruCache::with_hasher(entries, hasher()))
    }

    #[inline]
    fn use_of(&mut self, key: &Key) -> bool {
        let hit = self.0.get(key).is_some();
        if !hit {
            self.0.put(*key, ());
        }
        hit
    }
}

/// A relative of S3-FIFO and Clock-PRO, by the crate `quick_cache`, in its form for one thread.
pub(crate) struct Quick(quick_cache::unsync::Cache<Key, (), quick_cache::UnitWeighter, FixedState>);

impl Cache for Quick {
    const NAME: &'static str = "quick_cache";

    fn new(entries: u64) -> Self {
        Self(quick_cache::unsync::Cache::with(
            entries as usize,
            entries,
            quick_cache::UnitWeighter,
            hasher(),
            quick_cache::unsync::DefaultLifecycle::default(),
        ))
    }

    #[inline]
    fn use_of(&mut self, key: &Key) -> bool {
        let hit = self.0.get(key).is_some();
        if !hit {
            self.0.insert(*key, ());
        }
        hit
    }
}

/// TinyLFU, by the crate `moka`, which only has a form for many threads. Uses and insertions are logged, and take
/// effect when its housekeeping runs, on its own schedule or in [`settle`](Cache::settle).
pub(crate) struct Moka(moka::sync::Cache<Key, (), FixedState>);

impl Cache for Moka {
    const NAME: &'static str = "TinyLFU (moka)";

    fn new(entries: u64) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(entries);
        Self(builder.build_with_hasher(hasher()))
    }

    #[inline]
    fn use_of(&mut self, key: &Key) -> bool {
        let hit = self.0.get(key).is_some();
        if !hit {
            self.0.insert(*key, ());
        }
        hit
    }

    fn settle(&mut self) {
        self.0.run_pending_tasks();
    }
}
