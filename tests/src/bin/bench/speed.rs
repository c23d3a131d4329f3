//! How fast: open and close, metadata, sequential and random reads, on warm content.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};

use pinner_car::{CarPinner, ImportOptions, import_to_car};
use pinset::{Access, CacheMode, Pinset};
use serde_json::{Value, json};
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{NativeCalls, Preview, Run, guests};
use wasmtime_wasi::FsPerms;

use crate::{Figure, Target};

/// What the guest is told to do, with `{}` for the directory: each is one measurement.
const WORK: [(&str, &[&str]); 5] = [
    ("open+close", &["open", "{}/small.bin", "20000"]),
    ("stat", &["stat", "{}/small.bin", "20000"]),
    ("sequential 64 KiB reads", &["seq", "{}/large.bin", "65536"]),
    ("random 4 KiB seek+read", &["rand", "{}/large.bin", "20000"]),
    ("random 4 KiB pread", &["randp", "{}/large.bin", "20000"]),
];

/// How the guest gets at the files.
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

/// Measures all, `rounds` times in turn; gives the best of each, and the ratios.
pub(crate) fn measure(
    large_mib: u64,
    rounds: u32,
    wanted: &str,
    ways: &[Way],
) -> (Value, Vec<Figure>) {
    let works = WORK.iter().filter(|(name, _)| name.contains(wanted));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tree = dir.path().join("tree");
    make(&tree, large_mib);
    let car = dir.path().join("tree.car");
    let imported = import_to_car(&tree, &car, &ImportOptions::default(), |_| {
        ControlFlow::Continue(())
    })
    .expect("the import");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let best = runtime.block_on(async {
        let pinner = CarPinner::open([&car]).await.expect("the CAR");
        let budget = 2 * (large_mib << 20) + (64 << 20);
        let pinset = Pinset::new(Arc::new(pinner), budget).lock_dir(dir.path().join("lock"));
        let cache = pinset.shared().expect("a pinset");
        let root = format!("/ipfs/{}", imported.root);
        let mode = CacheMode::from(cache.clone());
        mode.prefetch(&root, &()).await.expect("all of it");
        let ctx = IpfsCtx::builder(cache, Access::roots([imported.root]));
        let ctx = ctx.build().await.expect("a context");
        let mut best = HashMap::<Key, f64>::new();
        for round in 0..=rounds {
            for &(name, work) in works.clone() {
                for preview in [Preview::One, Preview::Two] {
                    let mut checksum = None;
                    for &way in ways {
                        let (seconds, sum) = run(way, preview, work, &ctx, &root, &tree).await;
                        assert_eq!(*checksum.get_or_insert(sum.clone()), sum, "{name}");
                        // The first round warms up.
                        if round > 0 {
                            let best = best.entry((preview, name, way)).or_insert(f64::MAX);
                            *best = best.min(seconds);
                        }
                    }
                }
            }
        }
        best
    });
    let mut figures = Vec::new();
    for &(name, _) in works.filter(|_| ways.len() > 1) {
        for preview in [Preview::Two, Preview::One] {
            for way in [Way::Default, Way::CurrentThread] {
                let ratio = best[&(preview, name, way)] / best[&(preview, name, Way::Ipfs)];
                figures.push(Figure {
                    name: format!("{name}, p{}, times {}", preview as u8 + 1, way.name()),
                    value: ratio,
                    target: target(name, way),
                });
            }
        }
    }
    let seconds = best
        .iter()
        .map(|((preview, name, way), seconds)| {
            json!({
                "preview": *preview as u8 + 1,
                "work": name,
                "way": way.name(),
                "seconds": seconds,
            })
        })
        .collect();
    (seconds, figures)
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

/// A tree with a small file and a large one, no two blocks of which are equal.
fn make(tree: &Path, large_mib: u64) {
    std::fs::create_dir(tree).expect("a directory");
    std::fs::write(tree.join("small.bin"), [7; 4096]).expect("a file");
    let mut large = BufWriter::new(File::create(tree.join("large.bin")).expect("a file"));
    for number in 0..large_mib << 17 {
        large
            .write_all(&number.to_le_bytes())
            .expect("room on the disk");
    }
    large.flush().expect("room on the disk");
}

/// One measurement in one guest: its own seconds, and a checksum of what it read.
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
