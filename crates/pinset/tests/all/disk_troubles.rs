//! A persistent staging directory on a disk that is full or read-only, or when no descriptor is left. Reads go on
//! without staging, or report the error. Once the trouble is over, blocks are staged again.

use std::{fs, path::Path, process::Command};

use cid::Cid;
use pinner_mock::MockNode;
use pinset::CacheMode;
use test_support::{
    file_system::{child, on_own, place},
    staged::{Place, block, put},
    turns::turn,
};

use crate::pinsets::{open, read, try_open};

const BUDGET: u64 = 8 << 20;
const SIZE: usize = 100_000;

fn content(node: &MockNode) -> Vec<Cid> {
    (0..240).map(|n| put(node, n, SIZE)).collect()
}

async fn all_is_right(mode: &CacheMode, cids: &[Cid], first: usize) {
    for (n, cid) in cids.iter().enumerate() {
        assert!(read(mode, cid).await.unwrap() == block(first + n, SIZE));
    }
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

#[test]
fn a_full_disk_is_read_past_and_recovered_from() {
    let _turn = turn("disk_troubles");
    const TEST: &str = "disk_troubles::a_full_disk_is_read_past_and_recovered_from";
    on_own(TEST, "tmpfs", "size=12m,mode=700", |dir| {
        run(async {
            let node = MockNode::new();
            let cids = content(&node);
            let place = Place(dir.to_owned());
            let hoard = dir.join("hoard");
            // 4 MiB are free; the budget allows 8.
            fs::write(&hoard, vec![1; 8 << 20]).unwrap();
            let mode = open(&place, &node, BUDGET).await;
            all_is_right(&mode, &cids, 0).await;
            let stats = mode.stats();
            assert!(stats.unstaged_blocks > 20, "{stats:?}");
            assert!(stats.blocks_staged > 20, "{stats:?}");
            fs::remove_file(&hoard).unwrap();
            all_is_right(&mode, &cids, 0).await;
            let before = mode.stats().unstaged_blocks;
            all_is_right(&mode, &cids, 0).await;
            let stats = mode.stats();
            assert_eq!(stats.unstaged_blocks, before, "{stats:?}");
            assert!(stats.bytes_staged > BUDGET * 3 / 4, "{stats:?}");
            place.end(mode).await;
            let warm = &cids[cids.len() - 20..];
            let mode = open(&place, &node, BUDGET).await;
            all_is_right(&mode, warm, cids.len() - 20).await;
            place.end(mode).await;
            // The disk is full to the last page at the start. Staged blocks are read, and once there is space the
            // directory is taken over.
            let fill = || {
                let mut file = fs::File::create(&hoard).unwrap();
                while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
            };
            fill();
            let mode = open(&place, &node, BUDGET).await;
            fs::remove_file(&hoard).unwrap();
            assert!(mode.stats().reads_along);
            all_is_right(&mode, warm, cids.len() - 20).await;
            let stats = mode.stats();
            assert_eq!(
                (stats.blocks_fetched, stats.reads_along),
                (0, false),
                "{stats:?}"
            );
            assert!(stats.blocks_staged > 20, "{stats:?}");
            place.end(mode).await;
            // The same if not even the directory's own files can be created.
            fs::remove_dir_all(place.staging()).unwrap();
            fill();
            let mode = open(&place, &node, BUDGET).await;
            all_is_right(&mode, warm, cids.len() - 20).await;
            let stats = mode.stats();
            assert_eq!(
                (stats.blocks_fetched, stats.blocks_staged),
                (20, 0),
                "{stats:?}"
            );
        });
    });
}

fn remount(dir: &Path, how: &str) {
    let status = Command::new("mount")
        .args(["-o", &format!("remount,{how}")])
        .arg(dir)
        .status();
    assert!(status.unwrap().success(), "NOT RUN: cannot remount {how}");
}

#[test]
fn a_read_only_disk_is_read_from_and_recovered_from() {
    let _turn = turn("disk_troubles");
    const TEST: &str = "disk_troubles::a_read_only_disk_is_read_from_and_recovered_from";
    let locks = tempfile::tempdir().unwrap();
    on_own(TEST, "tmpfs", "size=64m,mode=700", |dir| {
        run(async {
            let node = MockNode::new();
            let cids = content(&node);
            let place = Place(dir.to_owned());
            let (staged, others) = cids.split_at(30);
            let mode = open(&place, &node, BUDGET).await;
            all_is_right(&mode, staged, 0).await;
            // This is the state of a file system after a disk error: this process's directories and files stay open.
            // A tmpfs with files that are open for writing cannot be remounted read-only, but a bind mount of it can.
            let second = locks.path().join("second");
            fs::create_dir(&second).unwrap();
            let bound = Command::new("mount")
                .arg("--bind")
                .args([dir, &second])
                .status();
            assert!(bound.unwrap().success(), "NOT RUN: cannot bind");
            remount(&second, "bind,ro");
            let read_only = pinset::PinsetBuilder::new(std::sync::Arc::new(node.clone()), BUDGET)
                .lock_dir(locks.path().join("locks"))
                .staging(second.join("staging"));
            place.end(mode).await;
            node.clear_log();
            let mode = read_only.shared().await.unwrap();
            for _ in 0..2 {
                all_is_right(&mode, staged, 0).await;
            }
            let stats = mode.stats();
            assert_eq!(
                (stats.blocks_fetched, stats.reads_along),
                (0, true),
                "{stats:?}"
            );
            assert_eq!(stats.blocks_reverified, 30);
            all_is_right(&mode, others, 30).await;
            assert!(mode.stats().unstaged_blocks > 50, "{:?}", mode.stats());
            // The disk is writable again: the first miss takes the directory over.
            remount(&second, "bind,rw");
            all_is_right(&mode, others, 30).await;
            let cid = put(&node, 500, SIZE);
            read(&mode, &cid).await.unwrap();
            let stats = mode.stats();
            assert!(!stats.reads_along && stats.blocks_staged >= 30, "{stats:?}");
            drop(mode);
        });
    });
}

#[test]
fn without_descriptors_it_is_read_past_and_recovered_from() {
    let _turn = turn("disk_troubles");
    const TEST: &str = "disk_troubles::without_descriptors_it_is_read_past_and_recovered_from";
    let Some(dir) = place(TEST) else {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child(TEST, dir.path());
        assert!(child.status().unwrap().success());
        return;
    };
    run(async {
        let node = MockNode::new();
        let cids = content(&node);
        let place = Place(dir.clone());
        let mode = open(&place, &node, BUDGET).await;
        let mut hoard = Vec::new();
        while let Ok(file) = fs::File::open("/") {
            hoard.push(file);
        }
        // No slot file can be created.
        all_is_right(&mode, &cids[..10], 0).await;
        let stats = mode.stats();
        assert_eq!(
            (stats.blocks_staged, stats.unstaged_blocks),
            (0, 10),
            "{stats:?}"
        );
        let node = std::sync::Arc::new(node.clone());
        let error = try_open(&place, node.clone(), BUDGET).await.unwrap_err();
        let mut chain = format!("{error:?}");
        chain.make_ascii_lowercase();
        assert!(chain.contains("too many open files"), "{chain}");
        drop(hoard);
        all_is_right(&mode, &cids[10..30], 10).await;
        assert_eq!(mode.stats().blocks_staged, 20);
        place.end(mode).await;

        // A follower that has no descriptor left for the blocks that it finds.
        let first = open(&place, &node, BUDGET).await;
        let second = open(&place, &node, BUDGET).await;
        let mut hoard = Vec::new();
        while let Ok(file) = fs::File::open("/") {
            hoard.push(file);
        }
        all_is_right(&second, &cids[10..20], 10).await;
        assert_eq!(second.stats().blocks_reverified, 0);
        drop(hoard);
        all_is_right(&second, &cids[20..30], 20).await;
        let stats = second.stats();
        assert_eq!(
            (stats.blocks_reverified, stats.reads_along),
            (10, true),
            "{stats:?}"
        );
        drop((first, second));
    });
}
