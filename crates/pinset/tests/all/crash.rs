//! A process over one staging directory is killed at random, 200 times, under load. Each start serves only right bytes,
//! sweeps the leftovers, is warm for the blocks that were committed, and releases the pins of the process before.
//! (The unit tests of `block-staging` crash at every step of a commit, an eviction and a start.)

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::Path,
    process::Stdio,
    sync::Arc,
    thread,
    time::Duration,
};

use cid::Cid;
use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Holder, Names, Pin, PinDepth, Pinner,
    PinnerError, SourceId, Verdict, async_trait,
};
use pinner_car::Profile;
use pinner_mock::MockNode;
use pinset::CacheMode;
use test_support::{
    content::{MIB, add_file, stream},
    file_system::{child, on_own},
    staged::{Place, block, put},
    turns::turn,
    until,
};

use crate::pinsets::{ipfs, read, try_open};

const BUDGET: u64 = 4 << 20;
const ROUNDS: u64 = 200;
const BLOCKS: usize = 500;

/// The environment variable that holds the number of a child's round.
const ROUND: &str = "PINSET_TEST_ROUND";

fn size(number: usize) -> usize {
    1 + (number * 7919) % 24_000
}

/// The node's registry of pins, which outlives the processes that use it: a journal of all pins and unpins.
#[derive(Debug)]
struct Registry {
    node: MockNode,
    journal: fs::File,
}

impl Registry {
    async fn open(node: MockNode, path: &Path) -> Self {
        let journal = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        for line in fs::read_to_string(path).unwrap().lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            let (what, holder, root) = (word(), word(), word());
            let holder: Holder = holder.parse().unwrap();
            let root: Cid = root.parse().unwrap();
            match what {
                "pin" => node.pin(&holder, &root, PinDepth::Lazy).await.unwrap(),
                _ => node.unpin(&holder, &root).await.unwrap(),
            }
        }
        Self { node, journal }
    }

    fn say(&self, what: &str, holder: &Holder, root: &Cid) {
        let line = format!("{what} {holder} {root}\n");
        (&self.journal).write_all(line.as_bytes()).unwrap();
    }
}

#[deny(
    clippy::missing_trait_methods,
    reason = "a wrapper forwards every method"
)]
#[async_trait]
impl Pinner for Registry {
    fn capabilities(&self) -> Capabilities {
        self.node.capabilities()
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        self.node.block(request).await
    }

    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        self.node.verdict(request, source, verdict);
    }

    fn concurrency(&self) -> usize {
        self.node.concurrency()
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        self.say("pin", holder, root);
        self.node.pin(holder, root, depth).await
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.node.unpin(holder, root).await?;
        self.say("unpin", holder, root);
        Ok(())
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        self.node.pins()
    }

    fn names(&self) -> Option<&dyn Names> {
        self.node.names()
    }
}

/// The content of a node: blocks, and files of several blocks, which are pinned when they are opened.
struct Content {
    node: MockNode,
    blocks: Vec<Cid>,
    files: Vec<Cid>,
}

impl Content {
    fn new() -> Self {
        let node = MockNode::new();
        let blocks = (0..BLOCKS).map(|n| put(&node, n, size(n))).collect();
        let file = |n| add_file(&node, &stream(MIB + 1 + n), Profile::default());
        let files = (0..2).map(file).collect();
        Self {
            node,
            blocks,
            files,
        }
    }

    async fn check(&self, mode: &CacheMode, n: usize) {
        let bytes = read(mode, &self.blocks[n]).await.unwrap();
        assert!(bytes == block(n, size(n)), "block {n} is wrong");
    }
}

/// Prints that it has begun, and reads and pins until it is killed.
async fn load(dir: &Path, round: u64) {
    // A reader that gets wrong bytes aborts the process, which the parent can tell from its own kill.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    let place = Place(dir.to_owned());
    let content = Content::new();
    let registry = Registry::open(content.node.clone(), &dir.join("journal")).await;
    let mode = Arc::new(try_open(&place, Arc::new(registry), BUDGET).await.unwrap());
    println!("begun");
    mode.open(&ipfs(&format!(
        "/ipfs/{}",
        content.files[round as usize % 2]
    )))
    .await
    .unwrap();
    let content = Arc::new(content);
    for reader in 0..4 {
        let (mode, content) = (mode.clone(), content.clone());
        tokio::spawn(async move {
            let mut n = (round as usize * 131 + reader * 17) % BLOCKS;
            loop {
                content.check(&mode, n).await;
                n = (n + 37) % BLOCKS;
            }
        });
    }
    std::future::pending().await
}

#[test]
fn killed_at_random_under_load_two_hundred_times() {
    let _turn = turn("crash");
    const TEST: &str = "crash::killed_at_random_under_load_two_hundred_times";
    on_own(TEST, "tmpfs", "size=64m,mode=700", |dir| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        match env::var(ROUND) {
            Ok(round) => runtime.block_on(load(dir, round.parse().unwrap())),
            Err(_) => runtime.block_on(kill_and_check(dir)),
        }
    });

    async fn kill_and_check(dir: &Path) {
        let content = Content::new();
        let place = Place(dir.to_owned());
        let (mut left_pins, mut warm, mut round) = (0, 0, 0);
        // On a slow machine, a process stages less before it is killed, so there are more of them.
        while round < ROUNDS || (warm <= 20 * ROUNDS && round < 2 * ROUNDS) {
            let mut process = child(TEST, dir)
                .env(ROUND, round.to_string())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(process.stdout.take().unwrap()).lines();
            assert!(
                lines
                    .map_while(Result::ok)
                    .any(|line| line.contains("begun"))
            );
            // Chance decides where the process is killed. This delay only spreads the places, over a time in which a
            // slow machine stages something too.
            thread::sleep(Duration::from_micros(round * 7919 % 60_000));
            process.kill().unwrap();
            let status = process.wait().unwrap();
            assert_eq!(status.signal(), Some(9), "round {round}: {status}");

            let path = dir.join("journal");
            let registry = Registry::open(content.node.clone(), &path).await;
            left_pins += usize::from(!content.node.pinned().is_empty());
            let mode = try_open(&place, Arc::new(registry), BUDGET).await.unwrap();
            let stats = mode.stats();
            assert!(!stats.reads_along, "round {round}");
            assert_eq!(on_disk(&place), stats.bytes_staged, "round {round}");
            assert!(place.disk_usage() <= BUDGET, "round {round}");
            // Warm blocks need no fetch.
            for n in (0..BLOCKS).skip(round as usize % 10).step_by(10) {
                content.check(&mode, n).await;
            }
            let stats = mode.stats();
            assert_eq!(stats.blocks_rotten, 0, "round {round}");
            warm += stats.blocks_reverified;
            assert!(place.disk_usage() <= BUDGET, "round {round}");
            until("the release of the dead one's pins", || {
                content.node.pinned().is_empty()
            })
            .await;
            mode.close().await.unwrap();
            place.end(mode).await;
            round += 1;
        }
        assert!(content.node.pinned().is_empty());
        // All of this must happen, or the test shows nothing.
        assert!(left_pins > 10, "{left_pins} left pins");
        assert!(warm > 20 * ROUNDS, "{warm} blocks were warm");
    }
}

/// The bytes that the file system reports for the slot files and the index.
fn on_disk(place: &Place) -> u64 {
    let names = place.files().into_iter();
    names
        .filter(|name| name.starts_with("slots-") || name.starts_with("index-"))
        .map(|name| fs::metadata(place.staging().join(name)).unwrap().blocks() * 512)
        .sum()
}
