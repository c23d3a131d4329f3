//! The cost of an event in steps, which does not grow with the number of entries, and of an entry in bytes beyond its
//! key.

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, DefaultHasher, Hasher},
};

use super::*;

thread_local! {
    /// How often a key was hashed or compared. Every step except a change of links does one of these.
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

#[derive(Clone, Debug, Eq)]
struct Counted(u64);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        LOOKS.set(LOOKS.get() + 1);
        self.0 == other.0
    }
}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        LOOKS.set(LOOKS.get() + 1);
        self.0.hash(state);
    }
}

/// An event takes as many steps among a hundred entries as among thirty thousand, including growth, rehashing, trimming
/// and passing over entries in use.
#[test]
fn an_event_costs_the_same_however_many_entries_there_are() {
    let looks_an_event = |entries: u64| {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut arc = Replacement::with_hasher(entries * 8, hasher);
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 11
        };
        LOOKS.set(0);
        let events = entries * 40;
        for _ in 0..events {
            // The smaller of two numbers, so that some keys come often and most seldom.
            let key = Counted((random() % (entries * 3)).min(random() % (entries * 3)));
            let weight = 1 + random() % 15;
            let held = random() % 4;
            if let Decision::Admit(room) = arc.request(&key, weight, Admission::Use) {
                let in_use = |key: &Counted| {
                    LOOKS.set(LOOKS.get() + 1);
                    key.0 % 4 == held
                };
                let mut in_use = in_use;
                while let Eviction::Victim { .. } = arc.evict(&room, &mut in_use) {}
                let _ = arc.insert(key, room);
            }
        }
        LOOKS.get() as f64 / events as f64
    };
    let few = looks_an_event(128);
    assert!(few < 6.0, "{few} looks an event");
    // The small one first, so that a cost that grows fails the test before it takes hours.
    for entries in [2048, 32_768] {
        let many = looks_an_event(entries);
        assert!(
            (many / few - 1.0).abs() < 0.1,
            "{many} looks an event among {entries}, and {few} among 128"
        );
    }
}

/// The limit holds also right after the slab or the index has grown. Ghosts count as entries.
#[test]
fn an_entry_takes_at_most_100_bytes_beyond_its_key() {
    fn beyond_the_key<K: Clone + Eq + Hash + Debug>(key: impl Fn(u32) -> K) -> usize {
        let mut arc = Replacement::new(20_000);
        let mut most = 0;
        for i in 0..60_000 {
            // Each key twice in a row, so that as many ghosts as residents are kept.
            for _ in 0..2 {
                let key = key(i);
                if let Decision::Admit(room) = arc.request(&key, 1, Admission::Use) {
                    while let Eviction::Victim { .. } = arc.evict(&room, |_| false) {}
                    assert!(matches!(arc.insert(key, room), Insertion::Admitted));
                }
            }
            let stats = arc.stats();
            let ghosts = stats.recent_ghosts.entries + stats.frequent_ghosts.entries;
            let entries = arc.len() + ghosts;
            if entries >= 1000 {
                most = most.max(arc.order.allocated_bytes().div_ceil(entries));
            }
        }
        assert_eq!(arc.stats().frequent_ghosts.entries, 20_000);
        most - size_of::<K>()
    }
    // A multihash of 32 bytes, and one of 64 with its code and length.
    let short = beyond_the_key(|i| [i; 9]);
    let long = beyond_the_key(|i| [u64::from(i); 10]);
    println!("{short} and {long} bytes");
    assert!(short <= 100 && long <= 100, "{short} and {long} bytes");
}

/// However few bytes they stand for, there are at most as many ghosts as residents, or [`GHOSTS_ALWAYS`].
#[test]
fn ghosts_are_bounded_in_number_too() {
    let budget = 70_000;
    let mut arc = Replacement::new(budget as u64);
    uses(&mut arc, (0..budget).chain(0..budget));
    assert_eq!(arc.len(), budget as usize);
    let _ = ask(&mut arc, budget, u64::from(budget), Admission::Use);
    assert_eq!(arc.stats().frequent_ghosts.entries, GHOSTS_ALWAYS);
    assert_eq!(arc.len(), 1);

    let mut arc = Replacement::new(300_000);
    let small = 160_000;
    for key in 0..small {
        uses(&mut arc, [key, key]);
    }
    // A heavy entry takes the place of half of them, ...
    let _ = ask(&mut arc, small, 220_000, Admission::Use);
    assert!(arc.touch(&small));
    assert_eq!(
        (arc.len(), arc.stats().frequent_ghosts.entries),
        (80_001, 80_000)
    );
    // ... and newcomers take the places of more.
    for key in small + 1..small + 100 {
        uses(&mut arc, [key, key]);
    }
    assert_eq!(
        (arc.len(), arc.stats().frequent_ghosts.entries),
        (80_001, 80_001)
    );
}
