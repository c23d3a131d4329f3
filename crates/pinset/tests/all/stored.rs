//! A persistent staging directory from outside: its contents are listed, verified and cleared.

use std::{fs, os::unix::fs::FileExt};

use pinner_mock::MockNode;
use pinset::staging::{
    StagingError,
    stored::{Rotten, Writer, clear, contents, verify},
};
use test_support::staged::{Place, put};

use crate::pinsets::{open, read};

const BUDGET: u64 = 16 << 20;

#[tokio::test]
async fn what_is_there_is_told_verified_and_cleared() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    let staging = place.staging();
    assert!(matches!(
        contents(&staging),
        Err(StagingError::Unreachable { .. })
    ));
    let sizes = [10, 4096, 5000, 300_000, 1_048_576];
    let cids: Vec<_> = (0..5).map(|n| put(&node, n, sizes[n])).collect();
    let mode = open(&place, &node, BUDGET).await;
    for cid in &cids {
        read(&mode, cid).await.unwrap();
    }

    // While a pinset uses the directory.
    let found = contents(&staging).unwrap();
    assert_eq!(found.writer, Writer::Process(Some(std::process::id())));
    assert_eq!(
        (found.blocks, found.bytes),
        (5, sizes.iter().sum::<usize>() as u64)
    );
    assert_eq!(found.allocated_bytes, place.disk_usage());
    let classes: Vec<_> = found
        .classes
        .iter()
        .map(|class| (class.slot_bytes, class.blocks, class.bytes))
        .collect();
    let expected = [
        (4096, 2, 4106),
        (8192, 1, 5000),
        (524_288, 1, 300_000),
        (1_048_576, 1, 1_048_576),
    ];
    assert_eq!(classes, expected);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(staging.join("slots-8192"))
        .unwrap();
    file.write_all_at(&[0xff; 8], 100).unwrap();
    let mut steps = Vec::new();
    let verified = verify(&staging, Rotten::Report, |step| steps.push(step)).unwrap();
    assert_eq!(
        (verified.blocks, verified.bytes, verified.gone),
        (5, found.bytes, 0)
    );
    assert_eq!(verified.rotten, [*cids[2].hash()]);
    assert_eq!(steps.len(), 5);
    assert!(steps.iter().all(|step| step.of_blocks == 5));
    assert_eq!(steps.last().unwrap().bytes, found.bytes);
    let in_use = verify(&staging, Rotten::Clear, |_| ()).unwrap_err();
    assert!(matches!(in_use, StagingError::InUse { .. }), "{in_use}");
    let in_use = clear(&staging).unwrap_err();
    assert!(in_use.to_string().contains(staging.to_str().unwrap()));
    assert_eq!(contents(&staging).unwrap().blocks, 5);
    place.end(mode).await;

    // While nobody uses it.
    let verified = verify(&staging, Rotten::Clear, |_| ()).unwrap();
    assert_eq!(
        (verified.blocks, verified.rotten),
        (5, vec![*cids[2].hash()])
    );
    let found = contents(&staging).unwrap();
    assert_eq!((found.blocks, found.writer), (4, Writer::Nobody));
    let verified = verify(&staging, Rotten::Report, |_| ()).unwrap();
    assert_eq!((verified.blocks, verified.rotten), (4, vec![]));
    let cleared = clear(&staging).unwrap();
    assert_eq!((cleared.blocks, cleared.bytes), (4, found.bytes));
    let found = contents(&staging).unwrap();
    assert_eq!((found.blocks, found.classes), (0, vec![]));
    assert!(
        found.allocated_bytes < 64 << 10,
        "{}",
        found.allocated_bytes
    );
    let mode = open(&place, &node, BUDGET).await;
    for cid in &cids {
        read(&mode, cid).await.unwrap();
    }
    assert_eq!(mode.stats().blocks_staged, 5);
}
