//! Hit rates on the published traces, at the sizes that the publishers used.

use serde_json::{Value, json};
use test_support::traces::Trace;

use crate::caches::{Cache, Key, Lru, Moka, Ours, Quick, key};

/// The traces, each with sizes of the cache in pages.
const TRACES: [(&str, &[u64]); 2] = [
    ("OLTP", &[1_000, 2_000, 5_000, 10_000, 15_000]),
    ("P3", &[32_768]),
];

/// Prints the table, and returns its rows.
pub(crate) fn measure() -> Vec<Value> {
    let mut rows = Vec::new();
    let names = [Lru::NAME, Ours::NAME, Quick::NAME, Moka::NAME];
    println!("hit rate by object, in per cent (moka's housekeeping runs after every request)\n");
    print!("{:<6} {:>8}", "trace", "pages");
    names.iter().for_each(|name| print!(" {name:>15}"));
    println!();
    for (name, sizes) in TRACES {
        let Some(trace) = Trace::read(name) else {
            continue;
        };
        let keys: Vec<Key> = (0..trace.distinct as u64).map(key).collect();
        for &pages in sizes {
            let rates = [
                rate::<Lru>(&trace, &keys, pages),
                rate::<Ours>(&trace, &keys, pages),
                rate::<Quick>(&trace, &keys, pages),
                rate::<Moka>(&trace, &keys, pages),
            ];
            print!("{name:<6} {pages:>8}");
            rates.iter().for_each(|rate| print!(" {rate:>15.2}"));
            println!();
            for (cache, rate) in names.iter().zip(rates) {
                rows.push(json!({ "trace": name, "pages": pages, "cache": cache, "rate": rate }));
            }
        }
    }
    println!();
    rows
}

fn rate<C: Cache>(trace: &Trace, keys: &[Key], pages: u64) -> f64 {
    let mut cache = C::new(pages);
    let mut hits = 0;
    for &page in &trace.pages {
        hits += usize::from(cache.use_of(&keys[page as usize]));
        // Otherwise an entry would stay longer than the capacity allows, and a use would be noticed too late.
        cache.settle();
    }
    trace.percent(hits)
}
