//! A guest may open content that was made to harm the node: DAGs that its garbage collector cannot walk, and roots that
//! do not exist. Whatever a guest does with them, every collection succeeds, and none waits longer than the deadline of
//! the call that it has to wait for (I5).

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use kubo_daemon::{Daemon, Kubo, kubo_or_not_run};
use pinner_api::{Cid, Pinner};
use pinner_kubo::KuboPinner;
use pinset::{Access, PinsetBuilder};
use test_support::turns::turn;
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Guest, Outcome, Preview, Run, guests};

/// How long a block may take, and with it a lazy pin.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long a collection takes by itself, on a machine that does other things too.
const COLLECTION: Duration = Duration::from_secs(20);

/// The good leaf in each DAG.
const LEAF: &[u8] = b"a leaf, and nothing wrong with it";

/// Protobuf, written by hand, because no encoder produces such DAGs.
mod dag_pb {
    pub(super) struct Link<'a> {
        pub(super) name: &'a str,
        /// The bytes of a CID, or bytes that are not a CID.
        pub(super) cid: Vec<u8>,
        /// The size that the link claims for its target.
        pub(super) bytes: u64,
    }

    /// A node of type directory.
    pub(super) fn directory(links: &[Link<'_>]) -> Vec<u8> {
        node(links, &[0x08, 0x01])
    }

    /// A node of type file, over these links.
    pub(super) fn file(links: &[Link<'_>]) -> Vec<u8> {
        let mut data = vec![0x08, 0x02, 0x18];
        varint(&mut data, links.iter().map(|link| link.bytes).sum());
        for link in links {
            data.push(0x20);
            varint(&mut data, link.bytes);
        }
        node(links, &data)
    }

    fn node(links: &[Link<'_>], data: &[u8]) -> Vec<u8> {
        let mut node = Vec::new();
        for link in links {
            let mut message = Vec::new();
            field(&mut message, 0x0a, &link.cid);
            field(&mut message, 0x12, link.name.as_bytes());
            message.push(0x18);
            varint(&mut message, link.bytes);
            field(&mut node, 0x12, &message);
        }
        field(&mut node, 0x0a, data);
        node
    }

    fn field(into: &mut Vec<u8>, key: u8, bytes: &[u8]) {
        into.push(key);
        varint(into, bytes.len() as u64);
        into.extend_from_slice(bytes);
    }

    pub(super) fn varint(into: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            into.push(value as u8 | 0x80);
            value >>= 7;
        }
        into.push(value as u8);
    }
}

use dag_pb::{Link, varint};

/// A CIDv1 from its parts: any codec, any hash function, any digest.
fn cid_bytes(codec: u64, hash: u64, digest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    varint(&mut bytes, codec);
    varint(&mut bytes, hash);
    varint(&mut bytes, digest.len() as u64);
    bytes.extend_from_slice(digest);
    bytes
}

fn link<'a>(name: &'a str, cid: &Cid, bytes: u64) -> Link<'a> {
    let cid = cid.to_bytes();
    Link { name, cid, bytes }
}

/// A DAG that a guest is made to open, and that the node cannot fully walk.
struct Hostile {
    what: &'static str,
    root: Cid,
    /// A path below the root. The guest walks the whole DAG, and then reads this file.
    file: &'static str,
}

/// Makes all DAGs on `node`.
fn hostile_dags(node: &Daemon) -> Vec<Hostile> {
    let put = |codec, bytes: &[u8]| node.rpc().block_put(codec, "sha2-256", bytes).unwrap();
    let leaf = put("raw", LEAF);
    let length = LEAF.len() as u64;
    let mut dags = Vec::new();

    // A file whose second inner node cannot be decoded, in a directory and by itself.
    let undecodable = put("dag-pb", b"\xff\xff no node");
    let good = dag_pb::file(&[link("", &leaf, length)]);
    let good = put("dag-pb", &good);
    let file = dag_pb::file(&[link("", &good, length), link("", &undecodable, length)]);
    let file = put("dag-pb", &file);
    let directory = dag_pb::directory(&[link("file", &file, 2 * length)]);
    dags.push(Hostile {
        what: "an undecodable inner node",
        root: put("dag-pb", &directory),
        file: "file",
    });

    // A good file beside an entry with a CID that the node refuses, in a directory and in a file.
    let refused: [(&'static str, u64, usize); 4] = [
        ("md5", 0xd5, 16),
        ("murmur3", 0x22, 8),
        ("sha2-256, cut to 10 bytes", 0x12, 10),
        ("an identity of 200 bytes", 0x00, 200),
    ];
    for (what, hash, digest_bytes) in refused {
        let bad = || cid_bytes(0x55, hash, &vec![0xa5; digest_bytes]);
        let bad_link = |name| Link {
            name,
            cid: bad(),
            bytes: length,
        };
        let directory = dag_pb::directory(&[bad_link("bad"), link("file", &good, length)]);
        dags.push(Hostile {
            what,
            root: put("dag-pb", &directory),
            file: "file",
        });
        let file = dag_pb::file(&[link("", &leaf, length), bad_link("")]);
        let file = put("dag-pb", &file);
        let directory = dag_pb::directory(&[link("file", &file, 2 * length)]);
        dags.push(Hostile {
            what,
            root: put("dag-pb", &directory),
            file: "file",
        });
    }

    // A file whose second half does not exist, so that a fetch of it never ends.
    let nowhere = Cid::try_from(cid_bytes(0x70, 0x12, &[0x5a; 32])).unwrap();
    let file = dag_pb::file(&[link("", &good, length), link("", &nowhere, length)]);
    let file = put("dag-pb", &file);
    let directory = dag_pb::directory(&[link("file", &file, 2 * length)]);
    dags.push(Hostile {
        what: "half of a file is nowhere",
        root: put("dag-pb", &directory),
        file: "file",
    });
    dags.push(Hostile {
        what: "the root is nowhere",
        root: nowhere,
        file: "file",
    });
    dags
}

/// Runs collections one after another, each of which must succeed.
struct Collector {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<Result<Duration, String>>>,
}

impl Collector {
    fn start(node: &Arc<Daemon>) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (node, stopped, counted) = (node.clone(), stop.clone(), done.clone());
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                node.gc().map_err(|error| error.to_string())?;
                longest = longest.max(start.elapsed());
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(longest)
        });
        Self {
            stop,
            done,
            thread: Some(thread),
        }
    }

    fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(|it| it.is_finished())
    }

    /// Waits for this many more collections.
    async fn more(&self, collections: u64) {
        let until = self.done.load(Ordering::Relaxed) + collections;
        while self.done.load(Ordering::Relaxed) < until && !self.ended() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Returns how long the longest collection took, or why one failed.
    fn end(mut self) -> Result<Duration, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// A guest's own pinset over `node`, granted the DAG's root.
async fn ctx(node: &Daemon, dag: &Hostile, locks: &Path) -> (IpfsCtx, Arc<dyn Pinner>) {
    let pinner = KuboPinner::builder().repo(node.repo_path());
    let pinner = pinner.block_deadline(DEADLINE).connect().await.unwrap();
    let pinner: Arc<dyn Pinner> = Arc::new(pinner);
    let pinset = PinsetBuilder::new(pinner.clone(), 16 << 20)
        .block_deadline(DEADLINE)
        .lock_dir(locks.join("locks"));
    let cache = pinset.isolated().await.unwrap();
    let ctx = IpfsCtx::builder(cache, Access::roots([dag.root]));
    (ctx.build().await.unwrap(), pinner)
}

async fn guest(ctx: &IpfsCtx, guest: Guest, preview: Preview, words: &[&str]) -> Outcome {
    let words = [&[guest.name()], words].concat();
    let run = Run::new(words).ipfs(ctx.clone());
    run.program(&guest.program(preview)).await
}

/// Closes the guest's pinset. Fails if it left anything on the node.
async fn close(ctx: &IpfsCtx, pinner: &dyn Pinner) -> Result<(), String> {
    let closed = ctx.cache().close().await;
    closed.map_err(|error| format!("cannot close: {error}"))?;
    let left: Vec<_> = pinner.pins().try_collect().await.unwrap();
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("left behind: {left:?}")),
    }
}

/// A guest walks and reads the whole DAG while `node` collects. Returns an error if anything went wrong.
async fn read_all(node: &Arc<Daemon>, dag: &Hostile, preview: Preview) -> Result<(), String> {
    let locks = tempfile::tempdir().unwrap();
    let (ctx, pinner) = ctx(node, dag, locks.path()).await;
    let collector = Collector::start(node);
    let (root, start) = (format!("/ipfs/{}", dag.root), Instant::now());
    let walk = guest(&ctx, guests::WALK_HASH, preview, &[&root]).await;
    let path = format!("{root}/{}", dag.file);
    let read = guest(&ctx, guests::CAT, preview, &[&path]).await;
    let took = start.elapsed();
    // By then, queued work and its consequences are done.
    collector.more(10).await;
    let (seen, stats) = (walk.text().to_owned(), ctx.cache().stats());
    let collected = collector.end();
    let closed = close(&ctx, &*pinner).await;
    let done = format!("the guest saw:\n{seen}{read:?}\n{stats:?}");
    // The walk asks for a block once, the read once more, and a pin may wait beside each.
    if took > 4 * DEADLINE + COLLECTION {
        return Err(format!("the guest waited {took:?}; {done}"));
    }
    match collected {
        Err(error) => Err(format!("a collection failed: {error}; {done}")),
        Ok(longest) if longest > DEADLINE + COLLECTION => {
            Err(format!("a collection took {longest:?}; {done}"))
        }
        Ok(_) => closed.map_err(|why| format!("{why}; {done}")),
    }
}

/// A guest reads only the good part, all of which is on the node; collections come afterwards.
async fn read_a_part(node: &Arc<Daemon>, dag: &Hostile, preview: Preview) -> Result<(), String> {
    let locks = tempfile::tempdir().unwrap();
    let (ctx, pinner) = ctx(node, dag, locks.path()).await;
    let path = format!("/ipfs/{}/{}", dag.root, dag.file);
    let length = LEAF.len().to_string();
    let words = [&*path, "good", "0", &length];
    let read = guest(&ctx, guests::IO_ERROR, preview, &words).await;
    // A bad block that is collected before it is pinned is gone and does no harm. A refused root is never pinned.
    let start = Instant::now();
    while start.elapsed() < DEADLINE / 4 {
        let pins: Vec<_> = pinner.pins().try_collect().await.unwrap();
        if !pins.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let collector = Collector::start(node);
    collector.more(10).await;
    let (stats, collected) = (ctx.cache().stats(), collector.end());
    let closed = close(&ctx, &*pinner).await;
    let done = format!("{read:?}\n{stats:?}");
    let _ = collected.map_err(|error| format!("a collection failed: {error}; {done}"))?;
    closed.map_err(|why| format!("{why}; {done}"))
}

/// Two connected nodes, one of which the guest reads from.
fn two_nodes(kubo: &Kubo) -> (Arc<Daemon>, Daemon) {
    let node = Arc::new(kubo.node().start().unwrap());
    let other = kubo.node().start().unwrap();
    node.connect(&other).unwrap();
    (node, other)
}

#[track_caller]
fn check(node: &Daemon, wrong: &[String]) {
    let collected = node.gc();
    assert!(collected.is_ok(), "{collected:?}");
    node.ipfs(&["files", "mkdir", "/after"]).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_dag_that_is_fetched_and_read_harms_no_collection() {
    let _turn = turn("hostile");
    let kubo = kubo_or_not_run!("hostile DAGs that are read");
    let (node, other) = two_nodes(&kubo);
    let mut wrong = Vec::new();
    for preview in [Preview::One, Preview::Two] {
        for dag in hostile_dags(&other) {
            let read = read_all(&node, &dag, preview).await;
            wrong.extend(
                read.err()
                    .map(|why| format!("{preview:?}: {}: {why}", dag.what)),
            );
        }
    }
    check(&node, &wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_dag_that_is_there_and_opened_harms_no_collection() {
    let _turn = turn("hostile");
    let kubo = kubo_or_not_run!("hostile DAGs that are opened");
    let node = Arc::new(kubo.node().start().unwrap());
    let mut wrong = Vec::new();
    for at in 0..hostile_dags(&node).len() {
        for preview in [Preview::One, Preview::Two] {
            // Made anew each time, because the collections remove them.
            let dag = &hostile_dags(&node)[at];
            let read = read_a_part(&node, dag, preview).await;
            wrong.extend(
                read.err()
                    .map(|why| format!("{preview:?}: {}: {why}", dag.what)),
            );
        }
    }
    check(&node, &wrong);
}
