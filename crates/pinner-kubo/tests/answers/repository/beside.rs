//! A repository in front of a node: its files come first, and the node has whatever they lack.

use std::{collections::HashMap, fs, os::unix::fs::symlink};

use pinner_api::{BlockRequest, Bytes, Cid, MAX_BLOCK, Pinner, Verdict};
use pinner_conformance::Block;
use pinner_kubo::{KuboError, KuboPinner, RepositoryError};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use toy_http::{Asked, Reply, ToyServer};

use super::{DEFAULT, Repository, read, reads};
use crate::{builder, failure, version};

/// A node that holds these blocks.
async fn node(blocks: &[Block]) -> ToyServer {
    let blocks: HashMap<Cid, Bytes> = blocks
        .iter()
        .map(|block| (block.cid, block.bytes.clone()))
        .collect();
    let server = ToyServer::start(move |asked| match asked.path() {
        "/api/v0/version" => version("0.43.0"),
        "/api/v0/block/get" => match wanted(asked).and_then(|cid| blocks.get(&cid)) {
            Some(block) => Reply::ok("application/octet-stream", block),
            None => failure("block was not found locally (offline)"),
        },
        // Asks whether this is IPFS Cluster's proxy.
        _ => failure("path 'bafkqaaa' is not pinned"),
    });
    server.await.expect("a server")
}

fn wanted(asked: &Asked) -> Option<Cid> {
    let (_, arguments) = asked.target.split_once("arg=")?;
    arguments.split('&').next()?.parse().ok()
}

async fn connected(server: &ToyServer, repository: &Repository) -> Result<KuboPinner, KuboError> {
    let builder = builder(server).read_files(repository.path());
    builder.connect().await
}

/// How often the node was asked for a block.
fn asked(server: &ToyServer) -> usize {
    let requests = server.requests();
    let blocks = requests.iter().filter(|asked| wanted(asked).is_some());
    blocks
        .filter(|asked| asked.path().ends_with("block/get"))
        .count()
}

#[tokio::test]
async fn the_node_is_asked_for_what_the_files_lack() {
    let repository = Repository::new(DEFAULT);
    let here = repository.with_block();
    let others: [Block; 5] = std::array::from_fn(|_| Block::unique(1000));
    let [_, linked, pipe, large, empty] = &others;
    symlink(repository.file(&here.cid), repository.file(&linked.cid)).expect("a link");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, repository.file(&pipe.cid), FileType::Fifo, mode, 0).expect("a pipe");
    fs::write(repository.file(&large.cid), vec![0; MAX_BLOCK + 1]).expect("written");
    fs::write(repository.file(&empty.cid), "").expect("written");

    let server = node(&others).await;
    let pinner = connected(&server, &repository).await.expect("a node");
    assert_eq!(pinner.repository(), Some(repository.path()));
    reads(&pinner, &here).await;
    assert_eq!(asked(&server), 0, "the block lies in a file");
    for (before, block) in others.iter().enumerate() {
        reads(&pinner, block).await;
        assert_eq!(asked(&server), before + 1);
    }
    // The node has the last word on an absence.
    let absent = Block::absent(0x55);
    read(&pinner, &absent).await.expect_err("it is nowhere");
    assert!(asked(&server) > others.len());
}

#[tokio::test]
async fn a_wrong_file_is_not_read_again() {
    let repository = Repository::new(DEFAULT);
    let good = repository.with_block();
    let blocks: [Block; 2] = std::array::from_fn(|_| Block::unique(1000));
    for block in &blocks {
        fs::write(repository.file(&block.cid), "wrong").expect("written");
    }
    let server = node(&blocks).await;
    let pinner = connected(&server, &repository).await.expect("a node");
    let [told, avoided] = &blocks;

    let request = BlockRequest::new(told.cid);
    let answer = pinner.block(&request).await.expect("bytes");
    assert_eq!(&answer.bytes[..], b"wrong");
    let source = answer.source;
    pinner.verdict(&request, source.as_ref(), Verdict::Right);
    assert_eq!(
        &read(&pinner, &told.cid).await.expect("bytes")[..],
        b"wrong"
    );
    pinner.verdict(&request, source.as_ref(), Verdict::Wrong);
    reads(&pinner, told).await;

    let request = BlockRequest::new(avoided.cid).avoiding(source);
    let answer = pinner.block(&request).await.expect("bytes");
    assert_eq!(answer.bytes, avoided.bytes);
    // Others are read as before.
    let before = asked(&server);
    reads(&pinner, &good).await;
    assert_eq!(asked(&server), before);
}

#[tokio::test]
async fn a_repository_that_is_wrong_throughout_is_left_alone() {
    let repository = Repository::new(DEFAULT);
    let block = repository.with_block();
    let server = node(std::slice::from_ref(&block)).await;
    let pinner = connected(&server, &repository).await.expect("a node");
    let answer = pinner.block(&BlockRequest::new(block.cid)).await;
    let source = answer.expect("bytes").source;
    for _ in 0..1023 {
        let wrong = BlockRequest::new(Block::absent(0x55));
        pinner.verdict(&wrong, source.as_ref(), Verdict::Wrong);
    }
    reads(&pinner, &block).await;
    assert_eq!(asked(&server), 0);
    let wrong = BlockRequest::new(Block::absent(0x55));
    pinner.verdict(&wrong, source.as_ref(), Verdict::Wrong);
    reads(&pinner, &block).await;
    assert_eq!(asked(&server), 1);
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_an_error_by_name() {
    let repository = Repository::new(DEFAULT);
    repository.write("datastore_spec", r#"{"type":"badgerds"}"#);
    let server = node(&[]).await;
    let error = connected(&server, &repository).await;
    let error = error.expect_err("it was asked for");
    assert!(
        matches!(
            error,
            KuboError::Repository(RepositoryError::NotFlatfs { .. })
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("badgerds"), "{error}");
}
