//! A persistent staging directory: which blocks are there at the next start, which directories are refused, and how
//! files of the wrong type and foreign files are treated.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use cid::Cid;
use pinner_car::Profile;
use pinner_mock::MockNode;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use test_support::{
    content::{MIB, add_file, stream},
    staged::Place,
};

use crate::pinsets::{open, read, try_open};

const BUDGET: u64 = 64 << 20;

fn site() -> (MockNode, tempfile::TempDir, Place) {
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    (MockNode::new(), dir, place)
}

fn add(node: &MockNode, len: usize) -> (Cid, Vec<u8>) {
    let bytes = stream(len);
    (add_file(node, &bytes, Profile::default()), bytes)
}

#[tokio::test]
async fn a_restart_is_warm_and_verifies_each_block_once() {
    let (node, _dir, place) = site();
    let (large, large_bytes) = add(&node, 5 * MIB + 17);
    let (small, small_bytes) = add(&node, 100);
    for close in [true, false] {
        let mode = open(&place, &node, BUDGET).await;
        assert_eq!(read(&mode, &large).await.unwrap(), large_bytes);
        assert_eq!(read(&mode, &small).await.unwrap(), small_bytes);
        let before = mode.stats();
        if close {
            mode.close().await.unwrap();
        }
        place.end(mode).await;
        node.clear_log();

        let mode = open(&place, &node, BUDGET).await;
        let stats = mode.stats();
        assert_eq!(stats.blocks_staged, before.blocks_staged, "close: {close}");
        assert_eq!(stats.bytes_staged, before.bytes_staged);
        assert_eq!(stats.blocks_reverified, 0);
        for _ in 0..2 {
            assert_eq!(read(&mode, &large).await.unwrap(), large_bytes);
            assert_eq!(read(&mode, &small).await.unwrap(), small_bytes);
        }
        let stats = mode.stats();
        assert_eq!(stats.blocks_fetched, 0, "close: {close}");
        assert_eq!(stats.blocks_reverified, before.blocks_staged);
        assert_eq!((stats.blocks_rotten, stats.reads_along), (0, false));
        place.end(mode).await;
    }
    for block in node.blocks() {
        assert!(node.blocks_asked(&block) <= 1, "{block}");
    }
}

#[tokio::test]
async fn a_smaller_budget_shrinks_to_the_youngest_first() {
    let (node, _dir, place) = site();
    let files: Vec<_> = (0..12).map(|n| add(&node, 2 * MIB + n)).collect();
    let mode = open(&place, &node, BUDGET).await;
    for (cid, bytes) in &files {
        assert_eq!(read(&mode, cid).await.unwrap(), *bytes);
    }
    mode.close().await.unwrap();
    place.end(mode).await;
    assert!(place.disk_usage() > 24 << 20);

    let budget = 9 << 20;
    let mode = open(&place, &node, budget).await;
    assert!(place.disk_usage() <= budget, "{}", place.disk_usage());
    let staged = mode.stats().bytes_staged;
    assert!(staged > 6 << 20 && staged <= budget, "{staged}");
    let (youngest, bytes) = files.last().unwrap();
    assert_eq!(read(&mode, youngest).await.unwrap(), *bytes);
    assert_eq!(mode.stats().blocks_fetched, 0);
    for (cid, bytes) in &files {
        assert_eq!(read(&mode, cid).await.unwrap(), *bytes);
        assert!(place.disk_usage() <= budget, "{}", place.disk_usage());
    }
    assert!(mode.stats().evictions > 0);
}

#[tokio::test]
async fn what_is_not_for_this_user_alone_is_refused() {
    let (node, _dir, place) = site();
    let refused = async |what: &str| {
        let error = try_open(&place, std::sync::Arc::new(node.clone()), BUDGET)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(what), "{error}");
        assert!(
            error.contains(&place.staging().display().to_string()),
            "{error}"
        );
    };
    fs::write(place.staging(), b"").unwrap();
    refused("not a directory").await;
    fs::remove_file(place.staging()).unwrap();
    fs::create_dir(place.staging()).unwrap();
    fs::set_permissions(place.staging(), fs::Permissions::from_mode(0o755)).unwrap();
    refused("open to others").await;
    fs::set_permissions(place.staging(), fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(place.staging(), Some(4711), None).unwrap();
        refused("belongs to the user 4711").await;
        std::os::unix::fs::chown(place.staging(), Some(0), None).unwrap();
    }
    let moved = place.0.join("moved");
    fs::rename(place.staging(), &moved).unwrap();
    symlink(&moved, place.staging()).unwrap();
    refused("symbolic link").await;
    fs::remove_file(place.staging()).unwrap();
    fs::create_dir(place.staging()).unwrap();
    fs::set_permissions(place.staging(), fs::Permissions::from_mode(0o700)).unwrap();
    for foreign in ["pinset staging layout 3\n", "\0\0\0\0notes", "notes"] {
        fs::write(place.staging().join("layout"), foreign).unwrap();
        refused("unknown layout").await;
        assert_eq!(
            fs::read(place.staging().join("layout")).unwrap(),
            foreign.as_bytes()
        );
    }
    // An empty file remains after a crash between creating the file and writing it.
    fs::write(place.staging().join("layout"), b"").unwrap();
    let owners = fs::Permissions::from_mode(0o600);
    fs::set_permissions(place.staging().join("layout"), owners).unwrap();
    open(&place, &node, BUDGET).await;
    assert_eq!(fs::metadata(place.staging()).unwrap().mode() & 0o777, 0o700);
    for file in fs::read_dir(place.staging()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn what_is_not_a_file_is_refused_and_what_is_not_ours_left_alone() {
    let (node, _dir, place) = site();
    let (cid, bytes) = add(&node, MIB);
    let mode = open(&place, &node, BUDGET).await;
    read(&mode, &cid).await.unwrap();
    place.end(mode).await;
    for name in ["slots-1048576", "index-1048576", "changes", "layout"] {
        let path = place.staging().join(name);
        let aside = place.0.join("aside");
        fs::rename(&path, &aside).unwrap();
        let make: [&dyn Fn(); 3] = [
            &|| fs::create_dir(&path).unwrap(),
            &|| symlink(&aside, &path).unwrap(),
            &|| {
                let (fifo, mode) = (FileType::Fifo, Mode::RUSR | Mode::WUSR);
                mknodat(CWD, &path, fifo, mode, 0).unwrap();
            },
        ];
        for make in make {
            make();
            let error = try_open(&place, std::sync::Arc::new(node.clone()), BUDGET)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(name) && error.contains("not a file"),
                "{error}"
            );
            let _ = fs::remove_dir(&path);
            let _ = fs::remove_file(&path);
        }
        fs::rename(&aside, &path).unwrap();
    }
    let note = place.staging().join("note.txt");
    fs::write(&note, b"mine").unwrap();
    fs::write(place.staging().join("probe"), b"left by a crash").unwrap();
    let mode = open(&place, &node, BUDGET).await;
    assert_eq!(read(&mode, &cid).await.unwrap(), bytes);
    assert_eq!(mode.stats().blocks_fetched, 0);
    assert_eq!(fs::read(&note).unwrap(), b"mine");
    assert!(!place.staging().join("probe").exists());
}

#[tokio::test]
async fn one_that_cannot_take_over_reads_along() {
    let (node, _dir, place) = site();
    let (cid, bytes) = add(&node, MIB);
    let first = open(&place, &node, BUDGET).await;
    read(&first, &cid).await.unwrap();
    let second = open(&place, &node, BUDGET).await;
    place.end(first).await;
    fs::write(place.staging().join("layout"), b"of another kind").unwrap();
    assert_eq!(read(&second, &cid).await.unwrap(), bytes);
    let (other, other_bytes) = add(&node, MIB + 1);
    assert_eq!(read(&second, &other).await.unwrap(), other_bytes);
    let stats = second.stats();
    assert!(stats.reads_along, "{stats:?}");
    assert_eq!(stats.blocks_reverified, 1);
    let error = try_open(&place, std::sync::Arc::new(node.clone()), BUDGET).await;
    assert!(error.unwrap_err().to_string().contains("of another kind"));
}

#[tokio::test]
async fn of_two_in_one_process_the_second_takes_over() {
    let (node, _dir, place) = site();
    let files: Vec<_> = (0..6).map(|n| add(&node, MIB + n)).collect();
    let first = open(&place, &node, BUDGET).await;
    let second = open(&place, &node, BUDGET).await;
    for (cid, bytes) in &files[..4] {
        assert_eq!(read(&first, cid).await.unwrap(), *bytes);
        assert_eq!(read(&second, cid).await.unwrap(), *bytes);
    }
    let stats = second.stats();
    assert!(stats.reads_along && stats.bytes_staged == 0, "{stats:?}");
    assert_eq!(stats.blocks_fetched, 0, "{stats:?}");
    assert!(stats.blocks_reverified >= 4, "{stats:?}");
    place.end(first).await;
    for (cid, bytes) in &files {
        assert_eq!(read(&second, cid).await.unwrap(), *bytes);
    }
    let stats = second.stats();
    assert!(!stats.reads_along && stats.blocks_staged >= 6, "{stats:?}");
    // The root and two leaves of each file that the first pinset had not read.
    assert_eq!((stats.blocks_rotten, stats.blocks_fetched), (0, 6));
    second.close().await.unwrap();
    assert_eq!(second.stats().blocks_staged, 0);
    assert!(read(&second, &files[0].0).await.is_err());
}
