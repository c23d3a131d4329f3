//! Measures memory: a gigabyte read through a small budget, and many open handles. Each is measured in a process of its
//! own, so that the peak belongs to it alone.

use std::{
    process::{Command, ExitCode},
    sync::Arc,
};

use ipld_dagpb::{PbLink, PbNode};
use pinner_mock::{MockNode, Recording};
use pinset::{Access, PinsetBuilder};
use test_support::memory::peak_bytes;
use tokio::runtime::Runtime;
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Large, Preview, Run, guests};

use crate::{Figure, Target};

const MIB: f64 = 1024.0 * 1024.0;
const HANDLES: usize = 10_000;

/// The measurements: the name for the process that runs it, a description, and the upper bound.
const ALL: [(&str, &str, Option<f64>); 3] = [
    (
        "gigabyte",
        "MiB more at the peak for reading 1 GiB",
        Some(32.0),
    ),
    (
        "handles",
        "MiB more at the peak for 10,000 open handles",
        Some(16.0),
    ),
    (
        "cold-handles",
        "MiB more with all that the cache learns of their files",
        None,
    ),
];

/// Runs each measurement in a process of its own.
pub(crate) fn measure() -> Vec<Figure> {
    ALL.into_iter()
        .map(|(only, name, most)| {
            let own = std::env::current_exe().expect("this program");
            let out = Command::new(own).args(["--only", only]).output();
            let out = out.expect("a process of its own");
            let text = String::from_utf8_lossy(&out.stdout);
            let value = text.trim().parse::<f64>();
            let errors = String::from_utf8_lossy(&out.stderr);
            Figure {
                name: name.to_owned(),
                value: value.unwrap_or_else(|_| panic!("{only}: {text}{errors}")) / MIB,
                target: most.map(Target::Below),
            }
        })
        .collect()
}

/// Returns how far the second run raises the peak above that of the first, in bytes.
fn added(node: MockNode, root: cid::Cid, budget: u64, first: &[&str], then: &[&str]) -> ExitCode {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = Runtime::new().expect("a runtime");
    let bytes = runtime.block_on(async {
        let pinset = PinsetBuilder::new(Arc::new(node), budget).lock_dir(dir.path().join("lock"));
        let cache = pinset.shared().await.expect("a pinset");
        let ctx = IpfsCtx::builder(cache, Access::roots([root]));
        let ctx = ctx.build().await.expect("a context");
        let run = async |work: &[&str]| {
            let path = format!("/ipfs/{root}");
            let work = work.iter().map(|word| word.replace("{}", &path));
            let run = Run::new(["bench".to_owned()].into_iter().chain(work));
            let program = guests::BENCH.program(Preview::Two);
            run.ipfs(ctx.clone())
                .program(&program)
                .await
                .success()
                .to_owned()
        };
        run(first).await;
        let before = peak_bytes().expect("Linux");
        run(then).await;
        peak_bytes().expect("Linux") - before
    });
    println!("{bytes}");
    ExitCode::SUCCESS
}

/// Reads a gigabyte through a budget of 32 MiB, after its beginning was read.
pub(crate) fn gigabyte() -> ExitCode {
    let node = MockNode::builder().recording(Recording::Counters).build();
    let file = Large::make(&node, 1024);
    let first = ["rand", "{}", "1"];
    added(node, file.root, 32 << 20, &first, &["seq", "{}", "65536"])
}

/// Opens 10,000 handles on distinct files of four blocks each, after each file was opened and closed once. The
/// difference is due to the handles.
pub(crate) fn handles() -> ExitCode {
    many(&["touch", "{}", &HANDLES.to_string()])
}

/// Does the same after only one file was opened. The difference includes what the cache keeps of 10,000 files. That has
/// bounds of its own: one for decoded nodes, and the number of staged blocks for their index.
pub(crate) fn cold_handles() -> ExitCode {
    many(&["touch", "{}", "1"])
}

fn many(first: &[&str]) -> ExitCode {
    let node = MockNode::builder().recording(Recording::Counters).build();
    let mut entries = Vec::new();
    for n in 0..HANDLES as u64 {
        let leaves = (0..3).map(|k| PbLink {
            cid: node.put(0x55, (n * 3 + k).to_le_bytes().to_vec()),
            name: Some(String::new()),
            size: Some(8),
        });
        let file = PbNode {
            links: leaves.collect(),
            // A file of 24 bytes in three chunks of 8.
            data: Some(vec![8, 2, 0x18, 24, 0x20, 8, 0x20, 8, 0x20, 8].into()),
        };
        entries.push(PbLink {
            cid: node.put(0x70, file.into_bytes()),
            name: Some(format!("{n:05}")),
            size: Some(100),
        });
    }
    let root = PbNode {
        links: entries,
        data: Some(vec![8, 1].into()),
    };
    let root = node.put(0x70, root.into_bytes());
    let all = HANDLES.to_string();
    added(node, root, 256 << 20, first, &["handles", "{}", &all])
}
