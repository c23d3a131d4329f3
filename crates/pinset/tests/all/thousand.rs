//! A thousand isolated pinsets share one budget, whoever comes and goes. The test runs in its own process, raises that
//! process's limit on descriptors, and counts its descriptors and memory.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use pinner_car::Profile;
use pinner_mock::MockNode;
use pinset::{Budget, CacheMode};
use test_support::{
    content::{add_file, stream},
    file_system::{on_own, used_bytes},
    memory::resident_bytes,
    turns::turn,
};

use crate::pinsets::{isolated, read};

/// Raises this process's limit on descriptors as far as possible, and returns the new limit.
fn most_descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

fn memory() -> u64 {
    resident_bytes().unwrap()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_thousand_share_one_total() {
    let _turn = turn("thousand");
    const PINSETS: usize = 1000;
    let name = "thousand::a_thousand_share_one_total";
    on_own(name, "tmpfs", "size=512m,mode=700", |dir| {
        let most = most_descriptors();
        // Each pinset has three descriptors, and one more for each size class of its blocks.
        assert!(most > 8000, "NOT RUN: {most} descriptors are too few");
        let budget = Budget::new(160 << 20);
        let done = AtomicBool::new(false);
        let highest = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    highest.fetch_max(used_bytes(dir), Ordering::Relaxed);
                }
            });
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                tokio::runtime::Runtime::new()
                    .unwrap()
                    .block_on(thousand(PINSETS, &budget, dir));
            }));
            done.store(true, Ordering::Relaxed);
            if let Err(panic) = ran {
                std::panic::resume_unwind(panic);
            }
        });
        let highest = highest.into_inner();
        assert!(highest <= budget.total_bytes(), "{highest} used");
        assert!(highest > budget.total_bytes() / 2, "{highest} used");
        assert!(used_bytes(dir) <= 4096, "{} left behind", used_bytes(dir));
    });
}

fn staged(modes: &[CacheMode]) -> u64 {
    modes.iter().map(|mode| mode.stats().bytes_staged).sum()
}

async fn thousand(pinsets: usize, budget: &Budget, dir: &Path) {
    let node = MockNode::new();
    let contents: Vec<_> = (0..16).map(|n| stream(100_000 + 25_000 * n)).collect();
    let cids: Vec<_> = contents
        .iter()
        .map(|bytes| add_file(&node, bytes, Profile::UnixfsV0_2015))
        .collect();
    let (before, memory_before) = (descriptors(), memory());
    let began = std::time::Instant::now();
    let mut idle = Vec::new();
    for _ in 0..pinsets {
        idle.push(isolated(&node, budget, dir).await);
    }
    println!(
        "{pinsets} started in {:?}: {} descriptors and {} bytes of memory each",
        began.elapsed(),
        (descriptors() - before) as f64 / pinsets as f64,
        memory().saturating_sub(memory_before) / pinsets as u64,
    );
    drop(idle);
    assert_eq!((budget.members(), descriptors()), (0, before));
    let began = std::time::Instant::now();
    // The first pinset has the whole budget for itself, and fills it as far as there are blocks to stage.
    let mut modes: Vec<CacheMode> = Vec::new();
    for n in 0..pinsets {
        modes.push(isolated(&node, budget, dir).await);
        assert!(
            read(&modes[n], &cids[n % 8]).await.unwrap() == contents[n % 8],
            "{n}"
        );
    }
    let modes = Arc::new(modes);
    println!(
        "{pinsets} started and read once in {:?}, {} descriptors each",
        began.elapsed(),
        (descriptors() - before) as f64 / pinsets as f64
    );
    assert_eq!(budget.members(), pinsets);
    let holders: HashSet<_> = modes.iter().map(CacheMode::holder).collect();
    assert_eq!(holders.len(), pinsets);
    assert!(staged(&modes) <= budget.total_bytes());
    // All pinsets read at once.
    let readers: Vec<_> = (0..pinsets)
        .map(|n| {
            let (modes, cids) = (modes.clone(), cids.clone());
            tokio::spawn(async move {
                let mut lens = Vec::new();
                for cid in &cids[..8] {
                    lens.push(read(&modes[n], cid).await.unwrap().len());
                }
                lens
            })
        })
        .collect();
    let lens: Vec<_> = contents[..8].iter().map(Vec::len).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), lens);
    }
    let share = budget.share_bytes();
    for mode in modes.iter() {
        let stats = mode.stats();
        assert!(
            stats.bytes_staged <= share && stats.budget_bytes == share,
            "{stats:?}"
        );
    }
    println!(
        "all read: {} of {} bytes staged, {} bytes of memory each",
        staged(&modes),
        budget.total_bytes(),
        memory().saturating_sub(memory_before) / pinsets as u64,
    );
    // Most of the pinsets end, so the others have room for more.
    let Ok(mut modes) = Arc::try_unwrap(modes) else {
        panic!("readers are done");
    };
    let ending: Vec<_> = modes.drain(100..).collect();
    for mode in &ending {
        mode.close().await.unwrap();
    }
    drop(ending);
    assert_eq!(budget.members(), 100);
    for mode in &modes {
        for (cid, bytes) in cids.iter().zip(&contents) {
            assert!(read(mode, cid).await.unwrap() == *bytes);
        }
    }
    assert!(
        staged(&modes) > budget.total_bytes() / 2,
        "{}",
        staged(&modes)
    );
    for mode in modes {
        mode.close().await.unwrap();
    }
}
