//! Several processes on one staging directory: one is the writer, the others are followers with parts of their own, and
//! a follower takes over when the writer is killed. All of them together stay within the directory's budget (I2).

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Stdio},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use cid::Cid;
use pinner_mock::MockNode;
use rustix::process::{Pid, Signal, kill_process};
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
            "said {} {} {} {}",
            stats.reads_along, stats.blocks_reverified, stats.blocks_rotten, stats.bytes_staged
        );
    }
}

/// The output of a child.
struct Said {
    /// Whether it is a follower.
    along: bool,
    /// How many blocks it found and verified.
    found: u64,
    /// How many bytes it has staged.
    staged: u64,
}

/// A child, and its output.
struct Reader {
    process: Child,
    said: Receiver<Said>,
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
                let (along, numbers) = said.split_once(' ').unwrap();
                let numbers: Vec<u64> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
                let [found, rotten, staged] = numbers[..] else {
                    panic!("{line}");
                };
                assert_eq!(rotten, 0);
                let along = along == "true";
                let said = Said {
                    along,
                    found,
                    staged,
                };
                if send.send(said).is_err() {
                    return;
                }
            }
        });
        Self { process, said }
    }

    /// Returns the next output. Fails if the child has died.
    fn next(&self) -> Said {
        let said = self.said.recv_timeout(Duration::from_secs(60));
        said.expect("the reader died, or hangs, or read a rotten block")
    }

    /// Waits until the child says that something is so.
    fn until(&self, what: &str, so: impl Fn(&Said) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !so(&self.next()) {
            assert!(Instant::now() < end, "{what}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The bytes that `du` would report for a directory.
fn du(dir: &Path) -> u64 {
    // A file may be removed meanwhile.
    let Ok(metadata) = fs::symlink_metadata(dir) else {
        return 0;
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let below: u64 = entries.map(|entry| du(&entry.path())).sum();
    metadata.blocks() * 512 + below
}

/// The same, while all readers are stopped: files that are examined one after the other are of one moment.
fn du_at_once(readers: &[Reader], dir: &Path) -> u64 {
    readers
        .iter()
        .for_each(|reader| reader.signal(Signal::STOP));
    // They stop within a moment, but not at once.
    let mut before = du(dir);
    loop {
        thread::sleep(Duration::from_millis(20));
        let now = du(dir);
        if now == before {
            readers
                .iter()
                .for_each(|reader| reader.signal(Signal::CONT));
            return now;
        }
        before = now;
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
fn one_admits_three_read_along_and_one_takes_over() {
    let _turn = turn("several");
    const TEST: &str = "several::one_admits_three_read_along_and_one_takes_over";
    on_own(TEST, "tmpfs", "size=64m,mode=700", |dir| {
        if let Ok(number) = env::var(NUMBER) {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            return runtime.block_on(reader(dir, number.parse().unwrap()));
        }
        let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let staging = Place(dir.to_owned()).staging();
        let mut readers = vec![Reader::start(TEST, dir, 0)];
        assert!(!readers[0].next().along, "the first one is the writer");
        let mut parts = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // This counts the staging directory and the lock directory's page.
                    most.fetch_max(used_bytes(dir), Ordering::Relaxed);
                }
            });
            // The sampler also ends if this fails.
            let _ends = Ends(&done);
            for number in 1..4 {
                readers.push(Reader::start(TEST, dir, number));
            }
            // Each writer is killed in its turn, and a follower takes its place. So is a follower.
            for turn in 0..4 {
                for reader in &readers {
                    for _ in 0..3 {
                        reader.next();
                    }
                }
                let along = |reader: &Reader| reader.next().along;
                let admits: Vec<_> = (0..4).filter(|n| !along(&readers[*n])).collect();
                assert_eq!(admits.len(), 1, "turn {turn}: {admits:?} are writers");
                for reader in &readers {
                    let said = reader.next();
                    assert!(
                        !said.along || said.found > 0,
                        "turn {turn}: it finds nothing"
                    );
                    // The writer has come down, and each has its own part.
                    reader.until("it stages nothing", |said| said.staged > BUDGET / 10);
                }
                let now = du_at_once(&readers, &staging);
                assert!(now <= BUDGET, "turn {turn}: {now} of {BUDGET}");
                parts += fs::read_dir(&staging)
                    .unwrap()
                    .filter(|entry| entry.as_ref().unwrap().path().is_dir())
                    .count();
                let admits = admits[0];
                let follows = usize::from(admits == 0);
                readers.remove(admits.max(follows));
                readers.remove(admits.min(follows));
                loop {
                    let taken = readers.iter().filter(|reader| !reader.next().along).count();
                    assert!(taken <= 1, "turn {turn}");
                    if taken == 1 {
                        break;
                    }
                }
                readers.push(Reader::start(TEST, dir, 2 * turn + 4));
                readers.push(Reader::start(TEST, dir, 2 * turn + 5));
            }
            // The shares of those that are killed return.
            readers.drain(..3);
            let last = &readers[0];
            last.until("the shares do not return", |said| {
                !said.along && said.staged > BUDGET * 3 / 4
            });
            let now = du_at_once(&readers, &staging);
            assert!(now > BUDGET * 3 / 4 && now <= BUDGET, "{now} of {BUDGET}");
        });
        let most = most.into_inner();
        assert!(most <= BUDGET, "{most} of {BUDGET}");
        assert!(
            most > BUDGET / 2,
            "the budget was never under pressure: {most}"
        );
        assert_eq!(parts, 4 * 3, "each follower has a part");
    });
}
