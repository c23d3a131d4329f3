//! A thousand sessions on one pinset: how long all of them take, and how long the slowest one waits.
//!
//! `cargo bench -p pinset --bench sessions [-- SESSIONS]`, with a backend of 42 ms. Each session reads a file of its own
//! of 1 MiB in leaves of 256 KiB; the files are not cached. A first session wants 40 files at once; the others begin
//! after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pinner_mock::{Fault, MockNode, Recording, When};
use pinset::{Access, CacheMode, IpfsPath, Limits, Node, PinsetBuilder};
use test_support::balanced;

const MIB: usize = 1 << 20;
const LATENCY: Duration = Duration::from_millis(42);

fn main() {
    // `cargo bench` adds `--bench`, which is not a number.
    let sessions = std::env::args().find_map(|argument| argument.parse().ok());
    let sessions: usize = sessions.unwrap_or(1000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(run(sessions));
}

async fn run(sessions: usize) {
    let node = MockNode::builder().recording(Recording::Counters).build();
    // No two leaves are equal, within a file and among files.
    let all = balanced::file(&node, (sessions + 40) * MIB, MIB / 4);
    let files: Vec<_> = all
        .leaves
        .chunks(4)
        .map(|leaves| {
            let children: Vec<_> = leaves
                .iter()
                .map(|leaf| (*leaf, MIB as u64 / 4, MIB as u64 / 4))
                .collect();
            balanced::inner(&node, &children).0
        })
        .collect();
    node.script(When::any_block(), Fault::Delay(LATENCY));
    let dir = tempfile::tempdir().expect("a directory");
    let pinset = PinsetBuilder::new(Arc::new(node.clone()), 4 << 30);
    let pinset = pinset.lock_dir(dir.path().join("lock")).shared().await;
    let cache = pinset.expect("a pinset");
    let (greedy, modest) = files.split_at(40);
    let session = cache.session(Access::Any, Limits::default());
    let greedy: Vec<_> = greedy
        .iter()
        .map(|cid| {
            let (session, path) = (session.clone(), (*cid).into());
            tokio::spawn(async move { read(&session, &path).await })
        })
        .collect();
    tokio::time::sleep(LATENCY / 2).await;
    let begun = Instant::now();
    let modest: Vec<_> = modest
        .iter()
        .map(|cid| tokio::spawn(one(cache.clone(), (*cid).into())))
        .collect();
    let mut waits = Vec::new();
    for read in modest {
        waits.push(read.await.expect("a read"));
    }
    let took = begun.elapsed();
    for read in greedy {
        read.await.expect("a read");
    }
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    println!(
        "{sessions} sessions of 1 MiB: {took:.2?}, {:.0} MiB/s; a session takes {:.2?} (median), {:.2?} (slowest)",
        sessions as f64 / took.as_secs_f64(),
        at(50),
        at(100),
    );
}

async fn one(cache: CacheMode, path: IpfsPath) -> Duration {
    let begun = Instant::now();
    read(&cache.session(Access::Any, Limits::default()), &path).await;
    begun.elapsed()
}

async fn read(session: &pinset::Session, path: &IpfsPath) {
    let Node::File(file) = session.open(path).await.expect("a file") else {
        panic!("not a file");
    };
    let mut at = 0;
    while at < file.len() {
        at += file.read_at(at, 64 << 10).await.expect("bytes").len() as u64;
    }
}
