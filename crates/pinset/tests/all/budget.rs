//! The budget under load (I2): the bytes that the file system reports never exceed it, whoever opens, reads, cancels
//! and closes, and however many pinsets share it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cid::Cid;
use futures_util::{FutureExt, future::BoxFuture};
use pinner_car::Profile;
use pinner_mock::{Fault, MockNode, Recording, When};
use pinset::{Advice, Budget, CacheMode, Error, File, Node};
use test_support::{
    content::{MIB, add_file, stream},
    file_system::{on_own, used_bytes},
    turns::turn,
};
use tokio::runtime::Runtime;

use crate::pinsets::{ipfs, isolated};

const BUDGET: u64 = 16 << 20;
const THREADS: u64 = 32;

/// A minute, or a few seconds if `WASI_IPFS_QUICK` is set.
fn duration() -> Duration {
    match std::env::var_os("WASI_IPFS_QUICK") {
        Some(_) => Duration::from_secs(5),
        None => Duration::from_secs(60),
    }
}

/// A small generator, so that a thread does the same in each run, as far as the other threads allow.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A file on the node, and its expected bytes.
struct Content {
    cid: Cid,
    bytes: Vec<u8>,
}

/// Files from 1 byte to twice the budget, as both of Kubo's profiles cut them.
fn files(node: &MockNode) -> Vec<Content> {
    let mut random = Random(0x5eed);
    let mut sizes = vec![1, 4096, 4097, 256 << 10, MIB, 2 * BUDGET as usize];
    sizes.extend((0..26).map(|_| {
        let power = random.below(23);
        ((1 << power) + random.below(1 << power)) as usize
    }));
    let content = |(n, size)| {
        let profile = match n % 2 {
            0 => Profile::default(),
            _ => Profile::UnixfsV0_2015,
        };
        let bytes = stream(size);
        let cid = add_file(node, &bytes, profile);
        Content { cid, bytes }
    };
    sizes.into_iter().enumerate().map(content).collect()
}

/// Returns the bytes that the files below `dir` have allocated. This counts less than [`used_bytes`], and comes from
/// another source. Returns `None` if the files changed meanwhile, since bytes may have moved from one file to the next.
fn allocated(dir: &Path) -> Option<u64> {
    let mut sizes = Vec::new();
    walk(dir, &mut sizes);
    let mut again = Vec::new();
    walk(dir, &mut again);
    (sizes == again).then(|| sizes.iter().sum())
}

fn walk(dir: &Path, sizes: &mut Vec<u64>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if let Ok(metadata) = entry.metadata() {
            sizes.push(metadata.blocks() * 512);
            if metadata.is_dir() {
                walk(&entry.path(), sizes);
            }
        }
    }
}

/// The file system of the directory.
#[derive(Clone, Copy, PartialEq)]
enum Disk {
    /// The directory is the root of the file system, so the file system's usage counts everything.
    Own,
    /// Others use the file system too, so only the files can be counted.
    Others,
}

/// The maxima that were seen while `run` ran.
#[derive(Debug, Default)]
struct Seen {
    used: u64,
    allocated: u64,
    samples: u64,
    walks: u64,
}

/// Runs `run`, and samples the disk all the while.
fn watched(dir: &Path, disk: Disk, run: impl FnOnce()) -> Seen {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Seen::default();
            while !done.load(Ordering::Relaxed) {
                if disk == Disk::Own {
                    seen.used = seen.used.max(used_bytes(dir));
                }
                if disk == Disk::Others || seen.samples % 8 == 0 {
                    let allocated = allocated(dir);
                    seen.walks += u64::from(allocated.is_some());
                    seen.allocated = seen.allocated.max(allocated.unwrap_or(0));
                }
                seen.samples += 1;
            }
            seen
        });
        // The watcher is stopped before a failure is passed on; otherwise it would go on for ever.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        done.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        println!("{seen:?}");
        match ran {
            Ok(()) => seen,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Reads a file here and there, or in a row, and gives up some of the reads.
async fn use_file(file: &File, content: &Content, random: &mut Random) -> Result<u64, Error> {
    let len = content.bytes.len() as u64;
    let mut read = 0;
    if random.one_in(8) {
        file.advise(random.below(len), len, Advice::WillNeed);
    }
    let in_a_row = random.one_in(2);
    let mut next = random.below(len);
    for _ in 0..random.below(24) {
        let offset = match in_a_row {
            true => next,
            false => random.below(len),
        };
        let want = 1 + random.below(128 << 10);
        let reading = file.read_at(offset, want as usize);
        let bytes = if random.one_in(4) {
            let soon = Duration::from_micros(random.below(2000));
            match tokio::time::timeout(soon, reading).await {
                Ok(bytes) => bytes?,
                // The read was dropped, wherever it was.
                Err(_) => continue,
            }
        } else {
            reading.await?
        };
        let end = (offset + want).min(len);
        assert!(
            bytes == content.bytes[offset as usize..end as usize],
            "wrong bytes of {} at {offset}",
            content.cid
        );
        read += bytes.len() as u64;
        next = match end < len {
            true => end,
            false => 0,
        };
    }
    Ok(read)
}

/// Runs one thread. It opens and uses files, keeps some handles and closes others; now and then it ends a pinset and
/// starts the next.
async fn guest(
    pinsets: &[RwLock<Arc<CacheMode>>],
    files: &[Content],
    start: &(dyn Fn() -> BoxFuture<'static, CacheMode> + Sync),
    seed: u64,
    end: Instant,
) -> u64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut open: Vec<(File, usize)> = Vec::new();
    let mut read = 0;
    while Instant::now() < end {
        let place = &pinsets[random.below(pinsets.len() as u64) as usize];
        if pinsets.len() > 1 && random.one_in(512) {
            let next = Arc::new(start().await);
            let old = std::mem::replace(&mut *place.write().unwrap(), next);
            if random.one_in(2) {
                old.close().await.unwrap();
            }
            continue;
        }
        if random.one_in(2) || open.is_empty() {
            let which = random.below(files.len() as u64) as usize;
            let mode = place.read().unwrap().clone();
            match mode
                .open(&ipfs(&format!("/ipfs/{}", files[which].cid)))
                .await
            {
                Ok(Node::File(file)) => open.push((file, which)),
                Ok(other) => panic!("{other:?}"),
                Err(Error::Closed) => continue,
                Err(error) => panic!("{error}"),
            }
        }
        let at = random.below(open.len() as u64) as usize;
        let (file, which) = &open[at];
        match use_file(file, &files[*which], &mut random).await {
            Ok(bytes) => read += bytes,
            Err(Error::Closed) => drop(open.swap_remove(at)),
            Err(error) => panic!("{error}"),
        }
        if open.len() > 4 || (!open.is_empty() && random.one_in(3)) {
            open.swap_remove(random.below(open.len() as u64) as usize);
        }
    }
    read
}

/// Runs 32 threads on these pinsets.
fn load(
    pinsets: Vec<CacheMode>,
    files: &[Content],
    start: &(dyn Fn() -> BoxFuture<'static, CacheMode> + Sync),
    how_long: Duration,
) -> u64 {
    let places: Vec<_> = pinsets
        .into_iter()
        .map(|mode| RwLock::new(Arc::new(mode)))
        .collect();
    let read = AtomicU64::new(0);
    let end = Instant::now() + how_long;
    let handle = tokio::runtime::Handle::current();
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (places, read, handle) = (&places, &read, &handle);
            scope.spawn(move || {
                let bytes = handle.block_on(guest(places, files, start, seed, end));
                read.fetch_add(bytes, Ordering::Relaxed);
            });
        }
    });
    for place in places {
        let mode = place.into_inner().unwrap();
        handle.block_on(mode.close()).unwrap();
    }
    read.into_inner()
}

fn node() -> (MockNode, Vec<Content>) {
    let node = MockNode::builder().recording(Recording::Counters).build();
    let files = files(&node);
    // The delay makes sure that reads are under way when they are cancelled.
    let delay = Fault::Delay(Duration::from_micros(300));
    node.script(When::any_block(), delay);
    (node, files)
}

fn hold_the_budget(dir: &Path, disk: Disk, pinsets: usize, how_long: Duration) {
    let runtime = Runtime::new().unwrap();
    let entered = runtime.enter();
    let (node, files) = node();
    let budget = Budget::new(BUDGET);
    let start = || {
        let (node, budget, dir) = (node.clone(), budget.clone(), dir.to_owned());
        async move { isolated(&node, &budget, &dir).await }.boxed()
    };
    let seen = watched(dir, disk, || {
        let modes = (0..pinsets).map(|_| runtime.block_on(start())).collect();
        let read = load(modes, &files, &start, how_long);
        println!("{} MiB read", read >> 20);
        assert!(read > BUDGET, "{read} bytes were read");
    });
    assert!(seen.used <= BUDGET, "{seen:?}: over {BUDGET}");
    assert!(seen.allocated <= BUDGET, "{seen:?}: over {BUDGET}");
    // Shares are not lent, so several pinsets leave more of the budget unused.
    let eighths = if pinsets == 1 { 7 } else { 4 };
    let pressed = BUDGET / 8 * eighths;
    assert!(seen.allocated > pressed, "never under pressure: {seen:?}");
    assert!(seen.samples > 100 && seen.walks > 10, "{seen:?}");
    drop(entered);
    // The runtime's remaining tasks for closed pinsets end with it.
    drop(runtime);
    assert_eq!(budget.members(), 0);
    // Only the lock directory and its identity are left.
    let left = allocated(dir).unwrap_or(0);
    assert!(left <= 8192, "{left} left behind");
}

#[test]
fn thirty_two_threads_on_one_pinset_stay_in_its_budget() {
    let _turn = turn("budget");
    let name = "budget::thirty_two_threads_on_one_pinset_stay_in_its_budget";
    // The disk is four times as large as the budget, so the disk is not the limit.
    on_own(name, "tmpfs", "size=64m,mode=700", |dir| {
        hold_the_budget(dir, Disk::Own, 1, duration());
    });
}

#[test]
fn pinsets_that_come_and_go_stay_in_the_budget_that_they_share() {
    let _turn = turn("budget");
    let name = "budget::pinsets_that_come_and_go_stay_in_the_budget_that_they_share";
    on_own(name, "tmpfs", "size=64m,mode=700", |dir| {
        hold_the_budget(dir, Disk::Own, 6, duration());
    });
}

#[test]
fn and_on_the_file_system_for_temporary_files() {
    let _turn = turn("budget");
    let dir = tempfile::tempdir().unwrap();
    // On this file system, extent trees may count too.
    hold_the_budget(dir.path(), Disk::Others, 6, Duration::from_secs(5));
}
