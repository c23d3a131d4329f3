//! The cost of one event in nanoseconds, with a thousand to a million entries.
//!
//! There are three kinds of events: a hit; a key that was never seen, for which another is evicted; and a mixture of
//! both, in which keys come back as ghosts. The cost of the loop itself, which makes the keys, is measured and
//! subtracted. The clock is the thread's own processor time, so that other load on the machine matters less.

use std::hint::black_box;

use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Zipf};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::caches::{Cache, Lru, Moka, Ours, Quick, key};

/// The number of events in one round.
const EVENTS: usize = 1_000_000;

/// The exponent of the distribution of keys, about that of web traffic.
const EXPONENT: f64 = 0.9;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Hit,
    New,
    Mixed,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Hit, Self::New, Self::Mixed];

    fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::New => "new, one goes",
            Self::Mixed => "mixed",
        }
    }
}

/// Prints the table, and returns its rows.
pub(crate) fn measure(most: u64, rounds: u32, only: Option<&str>) -> Vec<Value> {
    println!(
        "nanoseconds per event, one thread's processor time, 32-byte keys; best of {rounds} rounds of {EVENTS} events\n\
         hit: Zipf({EXPONENT}) over as many keys as entries; mixed: Zipf({EXPONENT}) over four times as many\n\
         (moka is made for many threads, which has a cost; its housekeeping runs on its own schedule, and at the end)\n"
    );
    let names = [Ours::NAME, Lru::NAME, Quick::NAME, Moka::NAME];
    print!("{:<14} {:>9}", "event", "entries");
    names.iter().for_each(|name| print!(" {name:>15}"));
    println!("   hit rates of mixed");
    let mut rows = Vec::new();
    let sizes = std::iter::successors(Some(1000), |entries| Some(entries * 10));
    let sizes: Vec<u64> = sizes.take_while(|entries| *entries <= most).collect();
    for kind in Kind::ALL {
        for &entries in &sizes {
            let numbers = Numbers::new(kind, entries, rounds);
            let idle = best(rounds, |round| {
                numbers.each(round, |number| {
                    black_box(key(number));
                })
            });
            let wanted = |name| only.is_none_or(|only| only == name);
            let costs = [
                wanted(Ours::NAME).then(|| of::<Ours>(kind, entries, rounds, &numbers)),
                wanted(Lru::NAME).then(|| of::<Lru>(kind, entries, rounds, &numbers)),
                wanted(Quick::NAME).then(|| of::<Quick>(kind, entries, rounds, &numbers)),
                wanted(Moka::NAME).then(|| of::<Moka>(kind, entries, rounds, &numbers)),
            ];
            print!("{:<14} {entries:>9}", kind.name());
            let mut hit_rates = String::new();
            for (cache, cost) in names.iter().zip(costs) {
                let Some((cost, hits)) = cost else {
                    print!(" {:>15}", "-");
                    continue;
                };
                let (cost, hits) = (cost - idle, 100.0 * hits);
                print!(" {cost:>15.1}");
                if matches!(kind, Kind::Mixed) {
                    hit_rates += &format!(" {hits:.1}");
                }
                rows.push(json!({
                    "event": kind.name(), "entries": entries, "cache": cache,
                    "nanoseconds": cost, "hits_percent": hits,
                }));
            }
            println!("  {hit_rates}");
        }
    }
    rows
}

/// Returns the nanoseconds per event, including the loop, and the share of hits.
fn of<C: Cache>(kind: Kind, entries: u64, rounds: u32, numbers: &Numbers) -> (f64, f64) {
    // For hits there is room to spare, since not every cache fills its last place.
    let mut cache = C::new(match kind {
        Kind::Hit => entries * 2,
        Kind::New | Kind::Mixed => entries,
    });
    for number in 0..entries {
        cache.use_of(&key(number));
        cache.settle();
    }
    if let Kind::Mixed = kind {
        for number in &numbers.before {
            cache.use_of(&key((*number).into()));
        }
        cache.settle();
    }
    let (mut hits, mut events) = (0, 0);
    let best = best(rounds, |round| {
        numbers.each(round, |number| {
            hits += u64::from(cache.use_of(&key(number)));
            events += 1;
        });
        cache.settle();
    });
    let hits = hits as f64 / events as f64;
    match kind {
        Kind::Hit => assert_eq!(hits, 1.0, "{} of {entries} entries", C::NAME),
        Kind::New => assert_eq!(hits, 0.0, "{} of {entries} entries", C::NAME),
        Kind::Mixed => {}
    }
    (best, hits)
}

/// The keys of each round, by their numbers.
struct Numbers {
    entries: u64,
    /// For mixed events, the keys before the first round: enough for the cache to learn all that it can.
    before: Vec<u32>,
    /// The keys by round; none if every key is new.
    drawn: Vec<Vec<u32>>,
}

impl Numbers {
    fn new(kind: Kind, entries: u64, rounds: u32) -> Self {
        let among = match kind {
            Kind::Hit | Kind::New => entries,
            Kind::Mixed => entries * 4,
        };
        let zipf = Zipf::new(among as f64, EXPONENT).expect("a distribution");
        let mut random = StdRng::seed_from_u64(entries);
        let mut draw = |events| {
            let rank = std::iter::repeat_with(|| zipf.sample(&mut random) as u64);
            // A prime, so that keys that are used often do not lie side by side.
            let spread = rank.map(|rank| (rank * 7_368_787 % among) as u32);
            spread.take(events).collect()
        };
        let (before, rounds) = match kind {
            Kind::Hit => (0, rounds),
            Kind::New => (0, 0),
            Kind::Mixed => (EVENTS.max(4 * entries as usize), rounds),
        };
        Self {
            entries,
            before: draw(before),
            drawn: (0..rounds).map(|_| draw(EVENTS)).collect(),
        }
    }

    #[inline]
    fn each(&self, round: u32, mut each: impl FnMut(u64)) {
        match self.drawn.get(round as usize) {
            Some(drawn) => drawn.iter().for_each(|number| each((*number).into())),
            None => {
                let first = self.entries + u64::from(round) * EVENTS as u64;
                (first..first + EVENTS as u64).for_each(each);
            }
        }
    }
}

/// Returns the nanoseconds per event in the best round.
fn best(rounds: u32, mut round: impl FnMut(u32)) -> f64 {
    let costs = (0..rounds).map(|number| {
        let before = processor_nanoseconds();
        round(number);
        processor_nanoseconds() - before
    });
    costs.fold(f64::INFINITY, f64::min) / EVENTS as f64
}

/// The processor time that this thread has used.
fn processor_nanoseconds() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 * 1e9 + used.tv_nsec as f64
}
