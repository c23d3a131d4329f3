//! Repositories that a real Kubo made: their files are read with and without its daemon, and while it collects garbage.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kubo_daemon::{Daemon, Kubo, kubo_or_not_run};
use pinner_api::{BlockRequest, Cid, Pinner, PinnerError};
use pinner_conformance::Block;
use pinner_kubo::{GatewayChoice, KuboPinner, RepositoryError, RepositoryPinner};
use test_support::turns::turn;
use tokio::task::{block_in_place, spawn_blocking};

use crate::put;

fn start(kubo: &Kubo) -> Daemon {
    block_in_place(|| kubo.node().offline().start()).expect("a node")
}

async fn opened(daemon: &Daemon) -> RepositoryPinner {
    let repository = RepositoryPinner::open(daemon.repo_path()).await;
    repository.expect("a repository")
}

async fn reads(pinner: &dyn Pinner, block: &Block) {
    let answer = pinner.block(&BlockRequest::new(block.cid)).await;
    assert_eq!(
        answer.expect("it is there").bytes,
        block.bytes,
        "{}",
        block.cid
    );
}

async fn is_absent(pinner: &dyn Pinner, cid: &Cid) {
    let answer = pinner.block(&BlockRequest::new(*cid)).await;
    let error = answer.expect_err("it is nowhere");
    assert!(matches!(error, PinnerError::NotFound { .. }), "{error:?}");
}

/// Every file below `path`, with the time of its last change and its size.
fn files(path: &Path) -> BTreeMap<String, (i64, i64, u64)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("it is there");
        if metadata.is_dir() {
            files.extend(self::files(&entry.path()));
        }
        let changed = (metadata.ctime(), metadata.ctime_nsec(), metadata.len());
        files.insert(entry.path().display().to_string(), changed);
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_read_beside_the_daemon_and_without_it() {
    let _turn = turn("repository");
    let kubo = kubo_or_not_run!("the files of a repository");
    let mut daemon = start(&kubo);
    let mut blocks = vec![
        Block::unique(1000),
        Block::unique(1 << 20),
        Block::unique_dag_pb(1000),
        Block::new(0x55, ""),
    ];
    put(&daemon, &blocks);
    // Other hash functions have keys of other lengths.
    for hash in ["sha2-512", "blake3", "blake2b-256", "sha3-256"] {
        let mut block = Block::unique(1000);
        let cid = block_in_place(|| daemon.rpc().block_put("raw", hash, &block.bytes));
        block.cid = cid.expect("the node takes it");
        blocks.push(block);
    }
    let pinner = opened(&daemon).await;
    for block in &blocks {
        reads(&pinner, block).await;
        // As a node reads it: whatever the CID that it was put with.
        let cid = Cid::new_v1(0x70, *block.cid.hash());
        let bytes = block.bytes.clone();
        reads(&pinner, &Block { cid, bytes }).await;
    }
    let absent = Block::unique(1000);
    is_absent(&pinner, &absent.cid).await;
    // A block that arrives later is there at once.
    put(&daemon, std::slice::from_ref(&absent));
    reads(&pinner, &absent).await;

    block_in_place(|| daemon.stop());
    reads(&pinner, &absent).await;
    let before = files(daemon.repo_path());
    let pinner = opened(&daemon).await;
    for block in &blocks {
        reads(&pinner, block).await;
    }
    is_absent(&pinner, &Block::absent(0x55)).await;
    assert_eq!(files(daemon.repo_path()), before, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_another_datastore_is_refused_by_name() {
    let _turn = turn("repository");
    let kubo = kubo_or_not_run!("the files of a repository with Pebble");
    let node = kubo.node().offline().profile("pebbleds");
    let daemon = block_in_place(|| node.start()).expect("a node");
    let error = RepositoryPinner::open(daemon.repo_path()).await;
    let error = error.expect_err("it has no files of blocks");
    assert!(
        matches!(&error, RepositoryError::NotFlatfs { found, .. } if found == "pebbleds at /"),
        "{error:?}"
    );
}

/// A collection removes files while they are looked for, open and read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_takes_whole_blocks_or_none() {
    const BLOCKS: usize = 40;
    const ROUNDS: usize = 5;
    let _turn = turn("repository");
    let kubo = kubo_or_not_run!("the files of a repository under collection");
    let daemon = Arc::new(start(&kubo));
    let alone = opened(&daemon).await;
    let beside = KuboPinner::builder().repo(daemon.repo_path());
    let beside = beside
        .gateway(GatewayChoice::Off)
        .read_files(daemon.repo_path());
    let beside = beside.connect().await.expect("a node");
    let pinners: [Arc<dyn Pinner>; 2] = [Arc::new(alone), Arc::new(beside)];
    let (mut read, mut gone) = (0, 0);
    for _ in 0..ROUNDS {
        let blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::unique(200_000)).collect();
        put(&daemon, &blocks);
        let collected = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = pinners
            .iter()
            .map(|pinner| {
                let (pinner, blocks) = (pinner.clone(), blocks.clone());
                let collected = collected.clone();
                tokio::spawn(async move {
                    let (mut read, mut gone) = (0, 0);
                    // Once more when all is gone.
                    loop {
                        let last = collected.load(Ordering::Acquire);
                        for block in &blocks {
                            match pinner.block(&BlockRequest::new(block.cid)).await {
                                Ok(answer) => {
                                    assert!(!last, "{} is still there", block.cid);
                                    assert_eq!(answer.bytes, block.bytes);
                                    read += 1;
                                }
                                Err(PinnerError::NotFound { .. }) => gone += 1,
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                        if last {
                            return (read, gone);
                        }
                    }
                })
            })
            .collect();
        let node = daemon.clone();
        let done = spawn_blocking(move || node.gc()).await.expect("it ran");
        let removed = done.expect("a collection");
        assert!(removed.len() >= BLOCKS, "{}", removed.len());
        collected.store(true, Ordering::Release);
        for reader in readers {
            let (its_read, its_gone) = reader.await.expect("no wrong answer");
            read += its_read;
            gone += its_gone;
        }
    }
    println!("{read} reads of blocks, {gone} of blocks that were gone");
    assert!(read > 0 && gone >= 2 * ROUNDS * BLOCKS);
}
