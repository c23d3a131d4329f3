//! Weighted ARC according to the module's table of differences, in vectors. It is slow and plain, and serves as a model
//! to compare with where weights differ and the paper says nothing.

use super::*;

#[derive(Debug, Default)]
struct Model {
    budget: u64,
    p: f64,
    // Each from cold to hot.
    t1: Entries,
    t2: Entries,
    b1: Entries,
    b2: Entries,
}

type Entries = Vec<(Key, u64)>;

fn sum(entries: &Entries) -> u64 {
    entries.iter().map(|(_, weight)| weight).sum()
}

fn take(entries: &mut Entries, x: Key) -> Option<u64> {
    let at = entries.iter().position(|(key, _)| *key == x)?;
    Some(entries.remove(at).1)
}

impl Model {
    fn request(&mut self, x: Key, weight: u64) -> Outcome<Key> {
        let mut victims = Vec::new();
        if let Some(weight) = take(&mut self.t1, x).or_else(|| take(&mut self.t2, x)) {
            self.t2.push((x, weight));
            return Outcome { hit: true, victims };
        }
        let weight = weight.max(1);
        if weight > self.budget {
            return Outcome {
                hit: false,
                victims,
            };
        }
        let (b1, b2) = (sum(&self.b1) as f64, sum(&self.b2) as f64);
        let find = |ghosts: &Entries| {
            ghosts
                .iter()
                .find(|ghost| ghost.0 == x)
                .map(|ghost| ghost.1)
        };
        let (in_b1, in_b2) = (find(&self.b1), find(&self.b2));
        if let Some(was) = in_b1 {
            self.p = (self.p + (b2 / b1).max(1.0) * was as f64).min(self.budget as f64);
        }
        if let Some(was) = in_b2 {
            self.p = (self.p - (b1 / b2).max(1.0) * was as f64).max(0.0);
        }
        while sum(&self.t1) + sum(&self.t2) + weight > self.budget {
            let t1 = sum(&self.t1) as f64;
            let from_t1 = t1 > self.p || (in_b2.is_some() && t1 == self.p);
            let (list, ghosts) = match (from_t1 && !self.t1.is_empty()) || self.t2.is_empty() {
                true => (&mut self.t1, &mut self.b1),
                false => (&mut self.t2, &mut self.b2),
            };
            let victim = list.remove(0);
            ghosts.push(victim);
            victims.push(victim.0);
        }
        if in_b1.is_some() || in_b2.is_some() {
            // (The newcomer is never a victim, since it was not resident.)
            take(&mut self.b1, x);
            take(&mut self.b2, x);
            self.t2.push((x, weight));
        } else {
            self.t1.push((x, weight));
        }
        while sum(&self.t1) + sum(&self.b1) > self.budget && !self.b1.is_empty() {
            self.b1.remove(0);
        }
        let lists = |model: &Self| [&model.t1, &model.t2, &model.b1, &model.b2].map(sum);
        while lists(self).iter().sum::<u64>() > 2 * self.budget {
            match self.b2.is_empty() {
                true => self.b1.remove(0),
                false => self.b2.remove(0),
            };
        }
        Outcome {
            hit: false,
            victims,
        }
    }

    fn keys(&self) -> [Vec<Key>; 4] {
        let keys = |entries: &Entries| entries.iter().map(|entry| entry.0).collect();
        [&self.t1, &self.t2, &self.b1, &self.b2].map(keys)
    }
}

proptest! {
    /// Weights from 0 to more than the budget; a key's weight may change while it is not resident.
    #[test]
    fn with_any_weights_it_is_the_model(
        budget in 1_u64..60,
        trace in prop::collection::vec((0_u32..30, 0_u64..5), 1..400),
    ) {
        let mut arc = Replacement::new(budget);
        let mut model = Model { budget, ..Model::default() };
        for (key, more) in trace {
            let weight = weight_of(key) * more;
            let outcome = ask(&mut arc, key, weight, Admission::Use);
            prop_assert_eq!(outcome, model.request(key, weight));
            let [ahead, lists @ ..] = all_keys(&arc);
            prop_assert_eq!(lists, model.keys());
            prop_assert!(ahead.is_empty());
            prop_assert_eq!(arc.p(), model.p);
            check(&arc);
        }
    }
}
