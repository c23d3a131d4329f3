//! Guests over the files of a node's repository: without the node, and in front of it where files are bad. The guest
//! gets correct bytes or an I/O error (I1, I7), and in the end all of the content.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use e2e::{End, guests};
use kubo_daemon::kubo_or_not_run;
use kubo_protocol::Sharding;
use pinner_kubo::RepositoryPinner;
use tempfile::TempDir;
use test_support::turns::turn;

use crate::guest::{PREVIEW, Subject, cache, cache_over, ctx, node, run, runtime};

/// A block's deadline.
const DEADLINE: Duration = Duration::from_secs(5);

#[test]
fn a_guest_reads_a_repository_without_its_node() {
    let _turn = turn("repository");
    let kubo = kubo_or_not_run!("a repository without its node");
    let runtime = runtime();
    let mut subject = Subject::start(&kubo, &runtime);
    subject.daemon.stop();
    runtime.block_on(async {
        let repository = RepositoryPinner::open(subject.daemon.repo_path()).await;
        let repository = Arc::new(repository.expect("a repository"));
        let ctx = ctx(&cache_over(repository, DEADLINE).await, subject.root).await;
        let path = format!("/ipfs/{}", subject.root);
        let seen = run(&ctx, PREVIEW, guests::WALK_HASH, &[&path]).await;
        assert_eq!(seen.success(), subject.right);
        let stats = ctx.cache().stats();
        assert!(
            stats.blocks_fetched >= u64::from(subject.blocks),
            "{stats:?}"
        );
    });
}

#[test]
fn a_guest_gets_right_bytes_or_an_error_of_files_that_are_bad() {
    let _turn = turn("repository");
    let kubo = kubo_or_not_run!("a repository with bad files");
    let runtime = runtime();
    let subject = Subject::start(&kubo, &runtime);
    let copy = TempDir::new().expect("a directory");
    let blocks = copied_blocks(&subject, copy.path());
    let kinds = [
        Damage::Wrong,
        Damage::Link,
        Damage::Pipe,
        Damage::Large,
        Damage::Gone,
    ];
    // Each block is damaged in each way, in one of the runs.
    for first in 0..kinds.len() {
        let mut wrong = 0;
        for (number, file) in blocks.iter().enumerate() {
            let damage = kinds[(first + number) % kinds.len()];
            damage.apply(file);
            wrong += u64::from(damage == Damage::Wrong);
        }
        runtime.block_on(async {
            let gateway = subject.daemon.gateway_url();
            let node = node(&subject.daemon.api_url(), gateway.as_deref());
            let cache = cache(node.read_files(copy.path()), DEADLINE).await;
            let ctx = ctx(&cache, subject.root).await;
            let path = format!("/ipfs/{}", subject.root);
            // A walk meets a wrong block at least, unless it sees everything.
            for _ in 0..=wrong {
                let seen = run(&ctx, PREVIEW, guests::WALK_HASH, &[&path]).await;
                assert_eq!(seen.end, End::Exit(0), "{}", seen.stderr);
                if seen.text() == subject.right {
                    return;
                }
                for line in seen
                    .text()
                    .lines()
                    .filter(|line| !line.starts_with("e EIO "))
                {
                    let known = subject.right.lines().any(|right| right == line);
                    assert!(known, "{first}: {line}");
                }
                let stats = ctx.cache().stats();
                assert!(
                    0 < stats.corrupt_blocks && stats.corrupt_blocks <= wrong,
                    "{stats:?}"
                );
            }
            panic!("{first}: something is still missing");
        });
    }
}

/// Something wrong with the file of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Wrong,
    Link,
    Pipe,
    Large,
    Gone,
}

impl Damage {
    fn apply(self, file: &Path) {
        let _ = fs::remove_file(file);
        match self {
            Self::Wrong => fs::write(file, "not what was asked for").expect("written"),
            Self::Link => symlink("/etc/hostname", file).expect("a link"),
            Self::Pipe => {
                let made = std::process::Command::new("mkfifo").arg(file).status();
                assert!(made.expect("mkfifo").success());
            }
            Self::Large => {
                let made = File::create(file).expect("a file");
                made.set_len(1 << 40).expect("a sparse file");
            }
            Self::Gone => {}
        }
    }
}

/// Makes a repository in `to` with the subject's blocks. Returns the files of the blocks.
fn copied_blocks(subject: &Subject, to: &Path) -> Vec<PathBuf> {
    let from = subject.daemon.repo_path();
    fs::create_dir(to.join("blocks")).expect("a directory");
    for name in ["version", "datastore_spec", "blocks/SHARDING"] {
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
    let sharding = fs::read_to_string(from.join("blocks/SHARDING")).expect("text");
    let sharding: Sharding = sharding.parse().expect("a function");
    let root = subject.root.to_string();
    let below = subject.daemon.ipfs(&["refs", "-r", "--unique", &root]);
    let below = String::from_utf8(below.expect("links")).expect("text");
    let cids = below.lines().chain([root.as_str()]);
    let files: Vec<PathBuf> = cids
        .map(|cid| {
            let file = sharding.file_of(&cid.parse().expect("a CID"));
            let shard = to.join("blocks").join(&file.shard);
            fs::create_dir_all(&shard).expect("a directory");
            assert!(
                from.join("blocks")
                    .join(&file.shard)
                    .join(&file.name)
                    .is_file()
            );
            shard.join(file.name)
        })
        .collect();
    assert_eq!(files.len(), subject.blocks as usize);
    files
}
