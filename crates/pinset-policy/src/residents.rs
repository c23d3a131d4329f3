//! A map whose entries are evicted as [`Replacement`] decides.
//!
//! Invariant: a key that the policy has evicted has no value here. The reverse does not hold: making a value takes
//! time, so a key can be resident before its value is here. Such a key counts as in use.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

use crate::replacement::{Admission, Decision, Eviction, Insertion, Replacement};

/// Values by key, of which the policy decides which stay.
pub struct Residents<K, V, S = RandomState> {
    policy: Replacement<K, (), S>,
    values: HashMap<K, V, S>,
}

impl<K, V, S> std::fmt::Debug for Residents<K, V, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.values.len();
        f.debug_struct("Residents")
            .field("values", &count)
            .finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash, V, S: BuildHasher + Default> Residents<K, V, S> {
    /// Makes an empty collection with this budget.
    pub fn new(budget_bytes: u64) -> Self {
        Self {
            policy: Replacement::with_hasher(budget_bytes, S::default()),
            values: HashMap::default(),
        }
    }

    /// Returns the value, without noting a use.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// Notes a use.
    pub fn touch(&mut self, key: &K) {
        self.policy.touch(key);
    }

    /// Makes `key` resident, if the policy admits it, and returns whether it did. The caller then
    /// [`put`](Self::put)s the value. Every entry that is evicted for it is passed to `gone`, even if the key is not
    /// admitted in the end.
    pub fn admit(
        &mut self,
        key: K,
        weight: u64,
        admission: Admission,
        mut in_use: impl FnMut(&V) -> bool,
        mut gone: impl FnMut(K, V),
    ) -> bool {
        let room = match self.policy.request(&key, weight, admission) {
            Decision::Admit(room) => room,
            Decision::Resident | Decision::Oversize => return false,
        };
        loop {
            let values = &self.values;
            let passed_over = |key: &K| values.get(key).is_none_or(&mut in_use);
            match self.policy.evict(&room, passed_over) {
                Eviction::Enough => break,
                Eviction::NoneFree => return false,
                Eviction::Victim { key, .. } => self.take(key, &mut gone),
            }
        }
        matches!(self.policy.insert(key, room), Insertion::Admitted)
    }

    /// Sets the value of a key that was admitted. (The value of a key that was not admitted is never evicted.)
    pub fn put(&mut self, key: K, value: V) {
        self.values.insert(key, value);
    }

    fn take(&mut self, key: K, gone: &mut impl FnMut(K, V)) {
        if let Some(value) = self.values.remove(&key) {
            gone(key, value);
        }
    }
}
