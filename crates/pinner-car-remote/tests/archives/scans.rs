//! Archives without an index: what a scan costs, and where its result is kept.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use pinner_api::{BlockRequest, Pinner};
use pinner_car_remote::{RemoteCarPinner, RemoteError, ScanCost};
use tempfile::TempDir;

use crate::{
    content::{Block, car, many},
    server::Served,
};

/// Opens the archive with a directory for indexes. Returns what was told of scans.
async fn opened(served: &Served, folder: &Path) -> (RemoteCarPinner, Vec<ScanCost>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let builder = served.builder().index_dir(folder).before_scan(move |cost| {
        tells.lock().expect("not poisoned").push(cost.clone());
    });
    let pinner = builder.open().await.expect("opened");
    let told = told.lock().expect("not poisoned").clone();
    (pinner, told)
}

async fn all_are_right(pinner: &RemoteCarPinner, blocks: &[Block]) {
    for (cid, bytes) in blocks.iter().rev().step_by(7) {
        let answer = pinner
            .block(&BlockRequest::new(*cid))
            .await
            .expect("a block");
        assert_eq!(answer.bytes, bytes);
    }
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path()).expect("listed");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_read_once_and_that_is_told_before() {
    let folder = tempfile::tempdir().expect("a folder");
    // Three ranges, with sections across their ends.
    let blocks = many(700, 13_001);
    let bytes = car(&blocks);
    let served = Served::start(bytes.clone()).await;
    let (pinner, told) = opened(&served, folder.path()).await;
    let [cost] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (cost.bytes, cost.requests, cost.kept),
        (bytes.len() as u64, 3, true)
    );
    assert!(cost.archive.ends_with("/x.car"), "{cost:?}");
    assert_eq!((served.asked(), pinner.len()), (4, 700));
    all_are_right(&pinner, &blocks).await;

    // Again: only the head is read.
    let before = served.asked();
    let (pinner, told) = opened(&served, folder.path()).await;
    assert_eq!((told.len(), served.asked() - before), (0, 1));
    all_are_right(&pinner, &blocks).await;

    // Another version is read again, and replaces what was kept.
    let blocks = many(650, 13_002);
    served.state.put(car(&blocks), "\"2\"");
    let (pinner, told) = opened(&served, folder.path()).await;
    assert_eq!(told.len(), 1);
    all_are_right(&pinner, &blocks).await;
    assert_eq!(files(&folder).len(), 1);
    assert!(opened(&served, folder.path()).await.1.is_empty());

    // A file that is damaged is made anew.
    let kept = files(&folder).remove(0);
    let mut bytes = fs::read(&kept).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, &bytes).expect("written");
    let (pinner, told) = opened(&served, folder.path()).await;
    assert_eq!(told.len(), 1);
    all_are_right(&pinner, &blocks).await;
    assert!(opened(&served, folder.path()).await.1.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_has_a_limit() {
    let blocks = many(10, 50_000);
    let bytes = car(&blocks);
    let served = Served::start(bytes.clone()).await;
    let limit = bytes.len() as u64;
    let error = served.builder().scan_limit(limit - 1).open().await;
    let error = error.expect_err("it is larger");
    assert!(
        matches!(&error, RemoteError::ScanTooLarge { size, .. } if *size == limit),
        "{error}"
    );
    assert_eq!(served.asked(), 1, "only the head is read");
    served
        .builder()
        .scan_limit(limit)
        .open()
        .await
        .expect("opened");
    let error = served.builder().most_blocks(9).open().await;
    let error = error.expect_err("it has more");
    assert!(
        matches!(error, RemoteError::TooManyBlocks { .. }),
        "{error}"
    );
    served
        .builder()
        .most_blocks(10)
        .open()
        .await
        .expect("opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defects_of_an_archive_are_told_every_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = many(10, 50_000);
    let mut bytes = car(&blocks);
    bytes.truncate(bytes.len() - 10);
    let served = Served::start(bytes).await;
    for _ in 0..2 {
        let (pinner, _) = opened(&served, folder.path()).await;
        let (count, first) = pinner.defects();
        assert_eq!((count, first.len(), pinner.len()), (1, 1, 9));
        assert!(first[0].contains("cut short"), "{first:?}");
        assert!(!pinner.contains(&blocks[9].0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_made_costs_the_next_scan() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let blocks = many(10, 50_000);
    let served = Served::start(car(&blocks)).await;
    for _ in 0..2 {
        let (pinner, told) = opened(&served, &file.join("below")).await;
        assert_eq!(told.len(), 1);
        all_are_right(&pinner, &blocks).await;
    }
}

/// A range that does not come ends the scan.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_changes_during_a_scan_is_an_error() {
    let served = Served::start(car(&many(10, 50_000))).await;
    let state = served.state.clone();
    let builder = served.builder().before_scan(move |_| {
        state.put(car(&many(10, 50_000)), "\"2\"");
    });
    let error = builder.open().await.expect_err("it changes");
    let RemoteError::Read { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("changed"), "{source}");
}
