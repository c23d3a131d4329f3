//! Measures speed: open and close, metadata, sequential and random reads, on warm content.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};

use pinner_car::{CarPinner, ImportOptions, import_to_car};
use pinset::{Access, IpfsPath, PinsetBuilder};
use serde_json::{Value, json};
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{NativeCalls, Preview, Run, guests};
use wasmtime_wasi::FsPerms;

use crate::{Figure, Target};

/// The guest's arguments for each measurement, with `{}` for the directory.
const WORK: [(&str, &[&str]); 6] = [
    ("open+close", &["open", "{}/small.bin", "20000"]),
    ("open+close, each of 20,000", &["touch", "{}/many", "20000"]),
    ("stat", &["stat", "{}/small.bin", "20000"]),
    ("sequential 64 KiB reads", &["seq", "{}/large.bin", "65536"]),
    ("random 4 KiB seek+read", &["rand", "{}/large.bin", "20000"]),
    ("random 4 KiB pread", &["randp", "{}/large.bin", "20000"]),
];

/// How the guest reaches the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Ipfs,
    Default,
    CurrentThread,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Ipfs, Self::Default, Self::CurrentThread];

    fn name(self) -> &'static str {
        match self {
            Self::Ipfs => "/ipfs",
            Self::Default => "preopen",
            Self::CurrentThread => "preopen, allow_blocking_current_thread",
        }
    }
}

type Key = (Preview, &'static str, Way);

/// The seconds of each measurement, in the order in which they were made.
type Samples = HashMap<Key, Vec<f64>>;

/// The measurements and their number.
pub(crate) struct Plan<'a> {
    /// Length of the large file, in MiB.
    pub(crate) large_mib: u64,
    /// How often the files are made anew. Their place in memory affects a random read by a tenth, and stays the same as
    /// long as the files exist.
    pub(crate) copies: u32,
    /// How often each measurement is made on a copy.
    pub(crate) rounds: u32,
    /// Only the work whose name contains this.
    pub(crate) wanted: &'a str,
    pub(crate) ways: &'a [Way],
}

/// Measures everything, in turn. Returns the seconds of each, and the ratios.
///
/// A ratio is the median of the ratios of single rounds, in which the ways are measured one right after the other. The
/// machine's other load comes and goes, and the best of many rounds would depend on one lucky round.
pub(crate) fn measure(plan: &Plan<'_>) -> (Value, Vec<Figure>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut samples = Samples::new();
    for _ in 0..plan.copies {
        let dir = tempfile::tempdir().expect("a temporary directory");
        runtime.block_on(on_a_copy(plan, dir.path(), &mut samples));
    }
    let mut figures = Vec::new();
    for (name, _) in plan.works().filter(|_| plan.ways.len() > 1) {
        for preview in [Preview::Two, Preview::One] {
            for way in [Way::Default, Way::CurrentThread] {
                let of = |way| samples[&(preview, name, way)].iter();
                let ratios = of(way).zip(of(Way::Ipfs)).map(|(other, ours)| other / ours);
                let ratio = median(ratios.collect());
                figures.push(Figure {
                    name: format!("{name}, p{}, times {}", preview as u8 + 1, way.name()),
                    value: ratio,
                    target: target(name, way),
                });
            }
        }
    }
    let seconds = samples
        .iter()
        .map(|((preview, name, way), all)| {
            json!({
                "preview": *preview as u8 + 1,
                "work": name,
                "way": way.name(),
                "seconds": median(all.clone()),
                "least": all.iter().copied().fold(f64::MAX, f64::min),
            })
        })
        .collect();
    (seconds, figures)
}

/// Returns the median, the upper one of two.
fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

impl Plan<'_> {
    fn works(&self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        WORK.into_iter()
            .filter(|(name, _)| name.contains(self.wanted))
    }
}

/// Makes the files in `dir`, and measures everything on them.
async fn on_a_copy(plan: &Plan<'_>, dir: &Path, samples: &mut Samples) {
    let tree = dir.join("tree");
    make(&tree, plan.large_mib);
    let car = dir.join("tree.car");
    let imported = import_to_car(&tree, &car, &ImportOptions::default(), |_| {
        ControlFlow::Continue(())
    })
    .expect("the import");
    let pinner = CarPinner::open([&car]).await.expect("the CAR");
    let budget = 2 * (plan.large_mib << 20) + (64 << 20);
    let pinset = PinsetBuilder::new(Arc::new(pinner), budget).lock_dir(dir.join("lock"));
    let cache = pinset.shared().await.expect("a pinset");
    let root = format!("/ipfs/{}", imported.root);
    let whole = IpfsPath::root(imported.root);
    cache.prefetch(&whole, &()).await.expect("all of it");
    let ctx = IpfsCtx::builder(cache, Access::roots([imported.root]));
    let ctx = ctx.build().await.expect("a context");
    for round in 0..=plan.rounds {
        for (name, work) in plan.works() {
            for preview in [Preview::One, Preview::Two] {
                let mut checksum = None;
                for &way in plan.ways {
                    let (seconds, sum) = run(way, preview, work, &ctx, &root, &tree).await;
                    assert_eq!(*checksum.get_or_insert(sum.clone()), sum, "{name}");
                    // The first round warms up and is not counted.
                    if round > 0 {
                        let all = samples.entry((preview, name, way)).or_default();
                        all.push(seconds);
                    }
                }
            }
        }
    }
}

fn target(name: &str, way: Way) -> Option<Target> {
    let least = match (name, way) {
        ("open+close", Way::Default) => 25.0,
        ("open+close", Way::CurrentThread) => 3.0,
        ("sequential 64 KiB reads", Way::Default) => 3.0,
        ("sequential 64 KiB reads", Way::CurrentThread) => 1.0,
        (random, Way::Default) if random.starts_with("random") => 8.0,
        (random, Way::CurrentThread) if random.starts_with("random") => 1.0,
        _ => return None,
    };
    Some(Target::AtLeast(least))
}

/// Makes a tree with a small file, a large one, and a directory of many. No two blocks are equal.
fn make(tree: &Path, large_mib: u64) {
    let many = tree.join("many");
    std::fs::create_dir_all(&many).expect("a directory");
    for number in 0..20_000 {
        let name = format!("{number:05}");
        std::fs::write(many.join(&name), &name).expect("a file");
    }
    std::fs::write(tree.join("small.bin"), [7; 4096]).expect("a file");
    let mut large = BufWriter::new(File::create(tree.join("large.bin")).expect("a file"));
    for number in 0..large_mib << 17 {
        large
            .write_all(&number.to_le_bytes())
            .expect("room on the disk");
    }
    large.flush().expect("room on the disk");
}

/// Measures once in one guest. Returns the guest's own seconds, and a checksum of the bytes read.
async fn run(
    way: Way,
    preview: Preview,
    work: &[&str],
    ctx: &IpfsCtx,
    root: &str,
    tree: &Path,
) -> (f64, String) {
    let place = if way == Way::Ipfs { root } else { "/native" };
    let work = work.iter().map(|word| word.replace("{}", place));
    let run = Run::new(["bench".to_owned()].into_iter().chain(work));
    let run = match way {
        Way::Ipfs => run.ipfs(ctx.clone()),
        Way::Default | Way::CurrentThread => {
            run.native().preopen(tree, "/native", FsPerms::ReadOnly)
        }
    };
    let calls = match way {
        Way::Ipfs | Way::Default => NativeCalls::BlockingThread,
        Way::CurrentThread => NativeCalls::CurrentThread,
    };
    let program = guests::BENCH.program(preview);
    let outcome = run.native_calls(calls).program(&program).await;
    let words: Vec<_> = outcome.success().split_whitespace().collect();
    let [_, _, _, seconds, checksum] = words[..] else {
        panic!("{words:?}");
    };
    (seconds.parse().expect("seconds"), checksum.to_owned())
}
