//! Isolated pinsets: nothing of one can be seen through another, although all of them share one budget.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, sync::Arc};

use cid::Cid;
use pinner_api::PinDepth;
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{Budget, CacheMode, Error, File, Node, PinsetBuilder, Stats};
use test_support::{
    content::{MIB, add_file, stream},
    until,
};

use crate::pinsets::{self, ipfs, isolated};

async fn open(mode: &CacheMode, cid: &Cid) -> File {
    match mode.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap() {
        Node::File(file) => file,
        other => panic!("{other:?}"),
    }
}

async fn read(mode: &CacheMode, cid: &Cid) -> Vec<u8> {
    pinsets::read(mode, cid).await.unwrap()
}

/// The files below a pinset's staging directory, identified by device and inode.
fn inodes(mode: &CacheMode) -> HashSet<(u64, u64)> {
    let files = fs::read_dir(mode.staging_dir()).unwrap();
    let metadata = files.map(|file| file.unwrap().metadata().unwrap());
    metadata.map(|file| (file.dev(), file.ino())).collect()
}

#[tokio::test]
async fn no_state_no_file_no_fetch_and_no_pin_is_shared() {
    let node = MockNode::new();
    let bytes = stream(3 * MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::new(64 << 20);
    let (one, two) = (
        isolated(&node, &budget, dir.path()).await,
        isolated(&node, &budget, dir.path()).await,
    );
    let untouched = two.stats();

    // No fetch is shared: each pinset waits for its own.
    let gate = Gate::new();
    node.script(When::any_block(), Fault::HangUntil(gate.clone()));
    let both = async { tokio::join!(read(&one, &cid), read(&two, &cid)) };
    let opened = async {
        gate.reached(2).await;
        assert_eq!(node.blocks_asked(&cid), 2);
        gate.open();
    };
    let (read_by_both, ()) = tokio::join!(both, opened);
    assert_eq!(read_by_both, (bytes.clone(), bytes.clone()));
    for block in node.blocks() {
        assert_eq!(node.blocks_asked(&block), 2, "{block}");
    }

    // No file is shared.
    assert_ne!(one.staging_dir(), two.staging_dir());
    let (files, others) = (inodes(&one), inodes(&two));
    assert!(!files.is_empty() && files.is_disjoint(&others));

    // No pin is shared: each pinset holds its own, lazy and recursive.
    until("both pins", || node.pinned().len() == 2).await;
    node.clear_log();
    let (first, second) = tokio::join!(one.ensure(&cid), two.ensure(&cid));
    first.unwrap();
    second.unwrap();
    assert_eq!(node.stats().pins, 2);
    let holders = |depth| -> HashSet<_> {
        let pins = node.pinned().into_iter();
        pins.filter(|pin| pin.depth == depth)
            .map(|pin| pin.holder)
            .collect()
    };
    let expected = HashSet::from([one.holder(), two.holder()]);
    assert_eq!(expected.len(), 2);
    assert_eq!(holders(PinDepth::Recursive), expected);

    // No state is shared: activity in one pinset does not show in any figure of the other.
    let before = two.stats();
    let churn = add_file(&node, &stream(40 * MIB), Profile::default());
    assert_eq!(read(&one, &churn).await.len(), 40 * MIB);
    // Its lazy pin finds no room beside the ensured one.
    assert_eq!(one.stats().pins_dropped, 1);
    assert!(one.stats().evictions > 0 && one.stats() != before);
    assert_eq!(two.stats(), before);
    assert_ne!(before, untouched);
    let asked = node.stats().blocks;
    assert_eq!(read(&two, &cid).await, bytes);
    assert_eq!(node.stats().blocks, asked, "it was pushed out by another's");

    // When one pinset ends, the other goes on.
    one.close().await.unwrap();
    drop(one);
    assert_eq!(read(&two, &cid).await, bytes);
    assert_eq!(node.stats().blocks, asked);
    let holders: HashSet<_> = node.pinned().into_iter().map(|pin| pin.holder).collect();
    assert_eq!(holders, HashSet::from([two.holder()]));
    two.close().await.unwrap();
}

#[tokio::test]
async fn what_one_cannot_have_another_asks_for_itself() {
    let node = MockNode::new();
    let cid = add_file(
        &node,
        b"wrong for the first, right for the second",
        Profile::default(),
    );
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::new(64 << 20);
    let one = isolated(&node, &budget, dir.path()).await;
    let two = isolated(&node, &budget, dir.path()).await;
    node.script(When::any_block().first(1), Fault::WrongBytes);
    let error = one.open(&ipfs(&format!("/ipfs/{cid}"))).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(read(&two, &cid).await.len(), 41);
    assert_eq!(
        (one.stats().corrupt_blocks, two.stats().corrupt_blocks),
        (1, 0)
    );
}

#[tokio::test]
async fn a_share_is_the_total_by_the_number_of_pinsets_at_once_whoever_is_idle() {
    let node = MockNode::new();
    let large = add_file(&node, &stream(24 * MIB), Profile::default());
    let dir = tempfile::tempdir().unwrap();
    let total = 32 << 20;
    let budget = Budget::new(total);
    assert_eq!((budget.members(), budget.share_bytes()), (0, total));
    let one = isolated(&node, &budget, dir.path()).await;
    assert_eq!(one.stats().budget_bytes, total);
    read(&one, &large).await;
    let alone = one.stats().bytes_staged;
    assert!(alone > total / 2, "{alone}");

    // The first pinset is idle, and shrinks all the same.
    let two = isolated(&node, &budget, dir.path()).await;
    let half = total / 2;
    assert_eq!((budget.members(), budget.share_bytes()), (2, half));
    assert_eq!(two.stats().budget_bytes, half);
    assert!(one.stats().bytes_staged <= half, "{:?}", one.stats());
    read(&two, &large).await;
    for mode in [&one, &two] {
        let Stats {
            bytes_staged,
            budget_bytes,
            unstaged_blocks,
            ..
        } = mode.stats();
        assert!(
            bytes_staged <= half && bytes_staged > half / 2,
            "{bytes_staged}"
        );
        assert_eq!((budget_bytes, unstaged_blocks), (half, 0));
    }

    // Nobody borrows: the first pinset cannot use the part that the second leaves unused.
    two.close().await.unwrap();
    read(&one, &large).await;
    assert!(one.stats().bytes_staged <= half, "{:?}", one.stats());

    // A pinset that ends gives its share back.
    drop(two);
    assert_eq!((budget.members(), budget.share_bytes()), (1, total));
    read(&one, &large).await;
    assert!(one.stats().bytes_staged > half, "{:?}", one.stats());
    assert_eq!(one.stats().budget_bytes, total);
}

#[tokio::test]
async fn a_reader_that_stops_in_its_file_holds_up_no_newcomer() {
    let node = MockNode::new();
    let large = add_file(&node, &stream(64 * MIB), Profile::default());
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::new(32 << 20);
    let one = isolated(&node, &budget, dir.path()).await;
    // Enough handles read until read-ahead protects as much as it may, half the budget. Then they are left alone.
    let most = budget.total_bytes() / 2;
    let mut files = Vec::new();
    while one.stats().bytes_in_use + (MIB as u64) <= most {
        assert!(files.len() < 40, "not so much: {:?}", one.stats());
        let file = open(&one, &large).await;
        let start = (files.len() * 7 % 50) * MIB;
        for piece in 0..16 {
            file.read_at((start + piece * MIB / 4) as u64, MIB / 4)
                .await
                .unwrap();
        }
        files.push(file);
    }
    let mut others = Vec::new();
    for n in 2..=4 {
        others.push(isolated(&node, &budget, dir.path()).await);
        let share = budget.total_bytes() / n;
        assert!(one.stats().bytes_staged <= share, "{:?}", one.stats());
        for other in &others {
            assert_eq!(other.stats().budget_bytes, share);
        }
    }
    for file in &files {
        assert_eq!(file.read_at(0, 100).await.unwrap(), stream(64 * MIB)[..100]);
    }
}

#[tokio::test]
async fn more_than_the_total_can_be_divided_by_are_refused_and_leave_nothing() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget::new(PinsetBuilder::MIN_BUDGET);
    let most = PinsetBuilder::MIN_BUDGET / Budget::MIN_SHARE;
    let mut modes = Vec::new();
    for _ in 0..most {
        modes.push(isolated(&node, &budget, dir.path()).await);
    }
    let start = || {
        let pinset = PinsetBuilder::new(Arc::new(node.clone()), budget.clone());
        pinset.lock_dir(dir.path().join("lock"))
    };
    let error = start().isolated().await.unwrap_err();
    assert!(
        matches!(error, Error::BudgetTooSmall { budget_bytes, minimum_bytes }
            if budget_bytes == PinsetBuilder::MIN_BUDGET && minimum_bytes > budget_bytes),
        "{error}"
    );
    assert_eq!(budget.members() as u64, most);
    // A pinset with the smallest share also serves blocks that it cannot stage.
    let bytes = stream(MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    assert_eq!(read(&modes[0], &cid).await, bytes);
    modes.pop();
    let _one_more = start().isolated().await.unwrap();
}
