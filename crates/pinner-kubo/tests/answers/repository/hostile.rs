//! A repository in which something else lies where a block should be. Nothing is followed, waited for, or read beyond
//! the size of a block, and none of it is taken for an absence.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use pinner_api::{Cid, MAX_BLOCK, Pinner, PinnerError};
use pinner_conformance::Block;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{DEFAULT, Repository, read, reads};

/// Asserts that the block is corrupt, at once and for this reason.
async fn is_corrupt(pinner: &dyn Pinner, cid: &Cid, why: &str) {
    let begun = Instant::now();
    let error = read(pinner, cid).await.expect_err(why);
    assert!(begun.elapsed() < Duration::from_secs(5), "{error:?}");
    assert!(
        matches!(&error, PinnerError::Corrupt { reason, .. } if reason.contains(why)),
        "{error:?}"
    );
}

fn special(path: &Path, kind: FileType) {
    mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, 0).expect("a special file");
}

#[tokio::test]
async fn only_regular_files_of_a_blocks_size_are_read() {
    let repository = Repository::new(DEFAULT);
    let pinner = repository.open().await;
    let good = repository.with_block();
    let outside = tempfile::tempdir().expect("a directory");

    // The bytes would even be right.
    let block = Block::unique(1000);
    fs::write(outside.path().join("block"), &block.bytes).expect("written");
    symlink(outside.path().join("block"), repository.file(&block.cid)).expect("a link");
    is_corrupt(&pinner, &block.cid, "symbolic link").await;

    // A link to another block of the repository.
    let block = Block::unique(1000);
    let target = repository.file(&good.cid);
    symlink(target, repository.file(&block.cid)).expect("a link");
    is_corrupt(&pinner, &block.cid, "symbolic link").await;

    for kind in [FileType::Fifo, FileType::Socket] {
        let cid = Block::unique(1000).cid;
        special(&repository.file(&cid), kind);
        is_corrupt(&pinner, &cid, "not a regular file").await;
    }
    let cid = Block::unique(1000).cid;
    fs::create_dir(repository.file(&cid)).expect("a directory");
    is_corrupt(&pinner, &cid, "not a regular file").await;

    for bytes in [MAX_BLOCK as u64 + 1, 1 << 40] {
        let cid = Block::unique(1000).cid;
        let file = File::create(repository.file(&cid)).expect("a file");
        file.set_len(bytes).expect("a sparse file");
        is_corrupt(&pinner, &cid, &bytes.to_string()).await;
    }

    // A power loss leaves empty files.
    let cid = Block::unique(1000).cid;
    fs::write(repository.file(&cid), "").expect("written");
    is_corrupt(&pinner, &cid, "cut short").await;

    reads(&pinner, &good).await;
}

#[tokio::test]
async fn a_shard_is_a_directory_and_no_link() {
    // The first is a link to a directory with the right bytes, the second a file.
    let repository = Repository::new("next-to-last/1");
    let pinner = repository.open().await;
    let outside = tempfile::tempdir().expect("a directory");
    let mut shards = Vec::new();
    while shards.len() < 2 {
        let block = Block::unique(1000);
        let file = repository.sharding.file_of(&block.cid);
        if shards.iter().any(|(_, shard)| *shard == file.shard) {
            continue;
        }
        let shard = repository.path().join("blocks").join(&file.shard);
        match shards.is_empty() {
            true => {
                fs::write(outside.path().join(&file.name), &block.bytes).expect("written");
                symlink(outside.path(), shard).expect("a link");
            }
            false => fs::write(shard, "no directory").expect("written"),
        }
        is_corrupt(&pinner, &block.cid, "its directory is a symbolic link").await;
        shards.push((block, file.shard));
    }
}

#[tokio::test]
async fn wrong_bytes_come_with_their_source() {
    let repository = Repository::new(DEFAULT);
    let pinner = repository.open().await;
    let block = Block::unique(1000);
    fs::write(repository.file(&block.cid), "wrong").expect("written");
    let request = pinner_api::BlockRequest::new(block.cid);
    let answer = pinner.block(&request).await.expect("bytes");
    assert_eq!(&answer.bytes[..], b"wrong");
    let source = answer.source.expect("it is named");
    let path = pinner.path().display().to_string();
    assert_eq!(pinner.path(), repository.path());
    assert!(source.as_str().contains(&path), "{source}");
}

#[tokio::test]
async fn an_absence_is_proven_by_a_whole_repository_alone() {
    let repository = Repository::new(DEFAULT);
    let pinner = repository.open().await;
    let absent = Block::absent(0x55);
    let error = read(&pinner, &absent).await.expect_err("it is nowhere");
    assert!(matches!(error, PinnerError::NotFound { .. }), "{error:?}");
    // The directory is removed under an open repository.
    let blocks = repository.path().join("blocks");
    fs::remove_dir_all(&blocks).expect("removed");
    let error = read(&pinner, &absent).await.expect_err("it is gone");
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );

    // Another datastore may have it.
    let repository = Repository::new(DEFAULT);
    let spec = fs::read_to_string(repository.path().join("datastore_spec")).expect("text");
    let second = r#"{"mountpoint":"/blocks","path":"x","type":"levelds"},{"mountpoint":"/","#;
    repository.write(
        "datastore_spec",
        &spec.replace(r#"{"mountpoint":"/","#, second),
    );
    let pinner = repository.open().await;
    reads(&pinner, &repository.with_block()).await;
    let error = read(&pinner, &absent).await.expect_err("it is not here");
    assert!(
        matches!(error, PinnerError::Unavailable { .. }),
        "{error:?}"
    );
}
