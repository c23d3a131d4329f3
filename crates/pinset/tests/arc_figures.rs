//! The published figures: hit rates of ARC and of LRU on two of the paper's traces, in unit weights, and ARC's
//! again with everything multiplied, event by event.
//!
//! The traces are not part of the repository: they are taken from `traces/` in the folder that
//! `WASI_IPFS_FIXTURES` names.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    hash::{BuildHasherDefault, Hasher},
    io::Read,
    path::PathBuf,
};

use pinset::replacement::{Admission, Decision, Eviction, Insertion, Replacement};

/// Hit rates in per cent at a size of the cache in pages, to two digits.
struct Figure {
    pages: u64,
    lru: f64,
    arc: f64,
    /// What all is multiplied by in the second run. Each figure has one, not all: the test takes seconds.
    factor: u64,
}

const fn figure(pages: u64, lru: f64, arc: f64, factor: u64) -> Figure {
    Figure {
        pages,
        lru,
        arc,
        factor,
    }
}

/// How far a figure may be off, in points.
const TOLERANCE: f64 = 0.05;

const OLTP: [Figure; 5] = [
    figure(1_000, 32.83, 38.95, 4096),
    figure(2_000, 42.47, 46.08, 262_144),
    figure(5_000, 53.65, 55.25, 4096),
    figure(10_000, 60.70, 61.87, 262_144),
    figure(15_000, 64.63, 65.40, 4096),
];

const P3: [Figure; 1] = [figure(32_768, 3.57, 17.11, 4096)];

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
        println!("NOT RUN {name}: WASI_IPFS_FIXTURES does not say where the traces are");
        return;
    };
    let mut wrong = Vec::new();
    for &Figure {
        pages,
        lru,
        arc,
        factor,
    } in figures
    {
        for (policy, measured, published) in [
            ("LRU", trace.lru_hit_rate(pages), lru),
            ("ARC", trace.arc_hit_rate(pages, factor), arc),
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

/// The pages requested, numbered by their first appearance.
struct Trace {
    pages: Vec<u32>,
    distinct: usize,
}

impl Trace {
    /// `None` where nobody says where the fixtures are. What is there and cannot be read is a failure.
    fn read(name: &str) -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("WASI_IPFS_FIXTURES")?);
        let path = folder.join("traces").join(format!("{name}.lis.zst"));
        let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut text = String::new();
        ruzstd::decoding::StreamingDecoder::new(file)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .read_to_string(&mut text)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut numbers = HashMap::with_hasher(Numbers::default());
        let mut pages = Vec::new();
        // A line is `start count 0 n`.
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
            let (Some(Ok(start)), Some(Ok(count))) = (fields.next(), fields.next()) else {
                panic!("{}: the line {line:?}", path.display());
            };
            for page in start..start + count {
                let next = numbers.len() as u32;
                pages.push(*numbers.entry(page).or_insert(next));
            }
        }
        Some(Self {
            pages,
            distinct: numbers.len(),
        })
    }

    fn percent(&self, hits: usize) -> f64 {
        100.0 * hits as f64 / self.pages.len() as f64
    }

    /// That the trace is read as the publishers read it: LRU by times of last use.
    fn lru_hit_rate(&self, capacity: u64) -> f64 {
        const ABSENT: usize = usize::MAX;
        let mut last_use = vec![ABSENT; self.distinct];
        let mut queue = VecDeque::new();
        let (mut resident, mut hits) = (0, 0);
        for (now, &page) in self.pages.iter().enumerate() {
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
        self.percent(hits)
    }

    /// In unit weights, and beside it with all weights and the budget multiplied.
    fn arc_hit_rate(&self, capacity: u64, factor: u64) -> f64 {
        let mut unit = Replacement::with_hasher(capacity, Numbers::default());
        let mut scaled = Replacement::with_hasher(capacity * factor, Numbers::default());
        let mut hits = 0;
        for (event, &page) in self.pages.iter().enumerate() {
            let outcome = request(&mut unit, page, 1);
            let same = request(&mut scaled, page, factor);
            assert_eq!(outcome, same, "event {event}, {capacity} x {factor}");
            hits += usize::from(outcome == Outcome::Hit);
        }
        assert_eq!(unit.p() * factor as f64, scaled.p());
        self.percent(hits)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Hit,
    Miss { victim: Option<u32> },
}

fn request(arc: &mut Replacement<u32, Numbers>, page: u32, weight: u64) -> Outcome {
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

type Numbers = BuildHasherDefault<NumberHasher>;

/// Page numbers need no protection from whoever chose them, and a build for tests is slow enough.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
