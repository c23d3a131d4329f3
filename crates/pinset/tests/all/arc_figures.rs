//! The published figures: hit rates of ARC and of LRU on two of the paper's traces, in unit weights. Beside them runs
//! ARC with all weights and the budget multiplied, which must make the same decision at every single request.

use std::collections::VecDeque;

use pinset_policy::replacement::{Admission, Decision, Eviction, Insertion, Replacement};
use test_support::traces::{Numbers, Trace};

/// Hit rates in per cent for a cache size in pages, to two digits.
struct Figure {
    pages: u64,
    lru: f64,
    arc: f64,
}

const fn figure(pages: u64, lru: f64, arc: f64) -> Figure {
    Figure { pages, lru, arc }
}

/// How far a figure may be off, in percentage points.
const TOLERANCE: f64 = 0.05;

const OLTP: [Figure; 5] = [
    figure(1_000, 32.83, 38.95),
    figure(2_000, 42.47, 46.08),
    figure(5_000, 53.65, 55.25),
    figure(10_000, 60.70, 61.87),
    figure(15_000, 64.63, 65.40),
];

const P3: [Figure; 1] = [figure(32_768, 3.57, 17.11)];

/// The factors for all weights and the budget: a page, and a leaf of Kubo's default import.
const FACTORS: [u64; 2] = [4096, 262_144];

#[test]
fn oltp() {
    compare("OLTP", &OLTP);
}

#[test]
fn p3() {
    compare("P3", &P3);
}

fn compare(name: &str, figures: &[Figure]) {
    let Some(trace) = Trace::read(name) else {
        return;
    };
    let mut wrong = Vec::new();
    for &Figure { pages, lru, arc } in figures {
        for (policy, measured, published) in [
            ("LRU", lru_hit_rate(&trace, pages), lru),
            ("ARC", arc_hit_rate(&trace, pages), arc),
        ] {
            println!("{name} c = {pages}: {policy} {measured:.2} (published: {published})");
            if (measured - published).abs() > TOLERANCE {
                wrong.push(format!(
                    "{policy} at {pages}: {measured:.2}, not {published}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
}

/// Returns the hit rate of LRU, by times of last use. It shows that the trace is read as the publishers read it.
fn lru_hit_rate(trace: &Trace, capacity: u64) -> f64 {
    const ABSENT: usize = usize::MAX;
    let mut last_use = vec![ABSENT; trace.distinct];
    let mut queue = VecDeque::new();
    let (mut resident, mut hits) = (0, 0);
    for (now, &page) in trace.pages.iter().enumerate() {
        let last = std::mem::replace(&mut last_use[page as usize], now);
        queue.push_back((now, page));
        if last != ABSENT {
            hits += 1;
            continue;
        }
        resident += 1;
        while resident > capacity {
            let (used, page) = queue.pop_front().expect("a resident page is in the queue");
            if last_use[page as usize] == used {
                last_use[page as usize] = ABSENT;
                resident -= 1;
            }
        }
    }
    trace.percent(hits)
}

/// Returns the hit rate of ARC in unit weights, and compares its decisions with those in multiplied weights.
fn arc_hit_rate(trace: &Trace, capacity: u64) -> f64 {
    let policy = |factor| Replacement::with_hasher(capacity * factor, Numbers::default());
    let mut unit = policy(1);
    let mut multiplied = FACTORS.map(|factor| (factor, policy(factor)));
    let mut hits = 0;
    for (event, &page) in trace.pages.iter().enumerate() {
        let outcome = request(&mut unit, page, 1);
        for (factor, policy) in &mut multiplied {
            let same = request(policy, page, *factor);
            assert_eq!(outcome, same, "request {event}, {capacity} x {factor}");
        }
        hits += usize::from(outcome == Outcome::Hit);
    }
    for (factor, policy) in multiplied {
        assert_eq!(unit.p() * factor as f64, policy.p());
    }
    trace.percent(hits)
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Hit,
    Miss { victim: Option<u32> },
}

fn request(arc: &mut Replacement<u32, (), Numbers>, page: u32, weight: u64) -> Outcome {
    let room = match arc.request(&page, weight, Admission::Use) {
        Decision::Resident => return Outcome::Hit,
        Decision::Admit(room) => room,
        Decision::Oversize => panic!("a page fits"),
    };
    let victim = match arc.evict(&room, |_| false) {
        Eviction::Enough => None,
        Eviction::Victim { key, .. } => Some(key),
        Eviction::NoneFree => panic!("no page is in use"),
    };
    match arc.insert(page, room) {
        Insertion::Admitted => Outcome::Miss { victim },
        other => panic!("one page takes the place of one: {other:?}"),
    }
}
