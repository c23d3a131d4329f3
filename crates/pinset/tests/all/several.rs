//! Several processes on one staging directory: one is the writer, the others are followers, and a follower takes over
//! when the writer is killed.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use cid::Cid;
use pinner_mock::MockNode;
use test_support::{
    file_system::{child, on_own, used_bytes},
    staged::{Place, block, put},
    turns::turn,
};

use crate::pinsets::{open, read};

const BUDGET: u64 = 6 << 20;
const BLOCKS: usize = 1600;
/// The environment variable that holds a child's number.
const NUMBER: &str = "PINSET_TEST_NUMBER";

/// A block's size. All blocks together have 32 MB: more than the budget, and more than a follower keeps in memory.
fn size(number: usize) -> usize {
    1 + (number * 7919) % 40_000
}

fn content(node: &MockNode) -> Vec<Cid> {
    (0..BLOCKS).map(|n| put(node, n, size(n))).collect()
}

/// Reads and checks blocks for ever. After every hundred reads it prints its role and its counts.
async fn reader(dir: &Path, number: usize) {
    let node = MockNode::new();
    let cids = content(&node);
    let mode = open(&Place(dir.to_owned()), &node, BUDGET).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    loop {
        for _ in 0..100 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Mostly the same blocks, so that others have them.
            let of = if state.is_multiple_of(3) { BLOCKS } else { 200 };
            let n = (state >> 8) as usize % of;
            let bytes = read(&mode, &cids[n]).await.unwrap();
            assert!(bytes == block(n, size(n)), "block {n} is wrong");
        }
        let stats = mode.stats();
        println!(
            "said {} {} {}",
            stats.reads_along, stats.blocks_reverified, stats.blocks_rotten
        );
    }
}

/// A child, and its output: whether it is a follower, how many blocks it found and verified, and how many were rotten.
struct Reader {
    process: Child,
    said: Receiver<(bool, u64, u64)>,
}

impl Reader {
    fn start(test: &str, dir: &Path, number: usize) -> Self {
        let mut process = child(test, dir)
            .env(NUMBER, number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (send, said) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some((_, said)) = line.split_once("said ") else {
                    continue;
                };
                let mut words = said.split(' ');
                let mut word = || words.next().unwrap();
                let (along, found) = (word() == "true", word().parse().unwrap());
                if send.send((along, found, word().parse().unwrap())).is_err() {
                    return;
                }
            }
        });
        Self { process, said }
    }

    /// Returns the next output. Fails if the child has died.
    fn next(&self) -> (bool, u64, u64) {
        let said = self.said.recv_timeout(Duration::from_secs(60));
        let (along, found, rotten) = said.expect("the reader died, or hangs");
        assert_eq!(rotten, 0);
        (along, found, rotten)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sets the flag when it is dropped, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn one_admits_two_read_along_and_one_takes_over() {
    let _turn = turn("several");
    const TEST: &str = "several::one_admits_two_read_along_and_one_takes_over";
    on_own(TEST, "tmpfs", "size=64m,mode=700", |dir| {
        if let Ok(number) = env::var(NUMBER) {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            return runtime.block_on(reader(dir, number.parse().unwrap()));
        }
        let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut readers = vec![Reader::start(TEST, dir, 0)];
        assert!(!readers[0].next().0, "the first one is the writer");
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // This counts the staging directory and the lock directory's page.
                    most.fetch_max(used_bytes(dir), Ordering::Relaxed);
                }
            });
            // The sampler also ends if this fails.
            let _ends = Ends(&done);
            for number in 1..3 {
                readers.push(Reader::start(TEST, dir, number));
            }
            // Each writer is killed in its turn, and a follower takes its place.
            for turn in 0..4 {
                for reader in &readers {
                    for _ in 0..3 {
                        reader.next();
                    }
                }
                let along = |reader: &Reader| reader.next().0;
                let admits: Vec<_> = (0..3).filter(|n| !along(&readers[*n])).collect();
                assert_eq!(admits.len(), 1, "turn {turn}: {admits:?} are writers");
                for reader in &readers {
                    let (along, found, _) = reader.next();
                    assert!(!along || found > 0, "turn {turn}: it finds nothing");
                }
                let admits = admits[0];
                readers.remove(admits);
                loop {
                    let taken = readers.iter().filter(|reader| !reader.next().0).count();
                    assert!(taken <= 1, "turn {turn}");
                    if taken == 1 {
                        break;
                    }
                }
                readers.push(Reader::start(TEST, dir, turn + 3));
            }
        });
        let most = most.into_inner();
        assert!(most <= BUDGET, "{most} of {BUDGET}");
        assert!(
            most > BUDGET / 2,
            "the budget was never under pressure: {most}"
        );
    });
}
