//! ARC as the paper writes it (FAST 2003, figure 4), in vectors: a page counts 1, and `p` is a real number. It is slow
//! and plain, and serves as a model to compare with.

use super::Key;

#[derive(Debug, Default)]
pub(super) struct Paper {
    c: usize,
    p: f64,
    // Each from LRU to MRU.
    t1: Vec<Key>,
    t2: Vec<Key>,
    b1: Vec<Key>,
    b2: Vec<Key>,
}

impl Paper {
    pub(super) fn new(c: usize) -> Self {
        Self {
            c,
            ..Self::default()
        }
    }

    pub(super) fn p(&self) -> f64 {
        self.p
    }

    pub(super) fn lists(&self) -> [Vec<Key>; 4] {
        [&self.t1, &self.t2, &self.b1, &self.b2].map(Clone::clone)
    }

    /// Returns whether it is a hit, and the page that leaves the cache.
    pub(super) fn request(&mut self, x: Key) -> (bool, Option<Key>) {
        let (b1, b2) = (self.b1.len() as f64, self.b2.len() as f64);
        // Case I.
        if take(&mut self.t1, x) || take(&mut self.t2, x) {
            self.t2.push(x);
            return (true, None);
        }
        // Case II.
        if self.b1.contains(&x) {
            let delta = if b1 >= b2 { 1.0 } else { b2 / b1 };
            self.p = (self.p + delta).min(self.c as f64);
            let victim = self.replace(x);
            take(&mut self.b1, x);
            self.t2.push(x);
            return (false, Some(victim));
        }
        // Case III.
        if self.b2.contains(&x) {
            let delta = if b2 >= b1 { 1.0 } else { b1 / b2 };
            self.p = (self.p - delta).max(0.0);
            let victim = self.replace(x);
            take(&mut self.b2, x);
            self.t2.push(x);
            return (false, Some(victim));
        }
        // Case IV.
        let l1 = self.t1.len() + self.b1.len();
        let all = l1 + self.t2.len() + self.b2.len();
        let mut victim = None;
        if l1 == self.c {
            if self.t1.len() < self.c {
                self.b1.remove(0);
                victim = Some(self.replace(x));
            } else {
                victim = Some(self.t1.remove(0));
            }
        } else if all >= self.c {
            if all == 2 * self.c {
                self.b2.remove(0);
            }
            victim = Some(self.replace(x));
        }
        self.t1.push(x);
        (false, victim)
    }

    fn replace(&mut self, x: Key) -> Key {
        let t1 = self.t1.len() as f64;
        if !self.t1.is_empty() && (t1 > self.p || (self.b2.contains(&x) && t1 == self.p)) {
            let victim = self.t1.remove(0);
            self.b1.push(victim);
            victim
        } else {
            let victim = self.t2.remove(0);
            self.b2.push(victim);
            victim
        }
    }
}

fn take(list: &mut Vec<Key>, x: Key) -> bool {
    let at = list.iter().position(|key| *key == x);
    at.map(|at| list.remove(at)).is_some()
}
