//! [`Remembered`]: the results of look-ups, for a while and up to a number.
//!
//! Pure: the caller has the clock.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// Values that are kept until a time, and of which the ones that would go the soonest go if there are too many.
#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    most: usize,
    kept: HashMap<K, (V, Instant)>,
}

impl<K: Eq + Hash + Clone, V: Clone> Remembered<K, V> {
    /// Keeps at most this many.
    pub(crate) fn at_most(most: usize) -> Self {
        Self {
            most: most.max(1),
            kept: HashMap::new(),
        }
    }

    /// Returns the value, if it is kept at `now`.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let (value, until) = self.kept.get(key)?;
        (*until > now).then(|| value.clone())
    }

    /// Keeps `value` from `now` on for `time`.
    pub(crate) fn put(&mut self, key: K, value: V, now: Instant, time: Duration) {
        if self.kept.len() >= self.most && !self.kept.contains_key(&key) {
            self.make_room(now);
        }
        self.kept.insert(key, (value, now + time));
    }

    /// The values that are kept, and perhaps some that have just gone.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.kept.values().map(|(value, _)| value)
    }

    /// Drops what has gone, and then the half that goes the soonest, so that room is made rarely.
    fn make_room(&mut self, now: Instant) {
        self.kept.retain(|_, (_, until)| *until > now);
        if self.kept.len() < self.most {
            return;
        }
        let mut order: Vec<_> = self
            .kept
            .iter()
            .map(|(key, it)| (it.1, key.clone()))
            .collect();
        order.sort_by_key(|(until, _)| *until);
        for (_, key) in &order[..order.len().div_ceil(2)] {
            self.kept.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn values_go_after_their_time() {
        let now = Instant::now();
        let mut kept = Remembered::at_most(4);
        kept.put("a", 1, now, SECOND);
        assert_eq!(kept.get(&"a", now), Some(1));
        assert_eq!(kept.get(&"b", now), None);
        assert_eq!(kept.get(&"a", now + SECOND), None);
    }

    #[test]
    fn there_are_never_too_many_and_the_newest_stay() {
        let now = Instant::now();
        let mut kept = Remembered::at_most(8);
        for number in 0..1000 {
            kept.put(number, number, now, SECOND * number);
            assert!(
                kept.kept.len() <= 8 && kept.get(&number, now) == (number > 0).then_some(number)
            );
        }
        assert_eq!(kept.get(&999, now), Some(999));
        assert_eq!(kept.get(&1, now), None);
    }
}
