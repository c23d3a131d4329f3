//! Laziness between real nodes: only the blocks that a guest opens and reads move from the node that has them to the
//! node that is asked. The nodes themselves count them, and Kubo's own reader of the DAG says which are needed. A lazy
//! pin moves nothing, and keeps what was moved.

use std::{
    collections::{HashMap, HashSet},
    env, fs, thread,
    time::{Duration, Instant},
};

use cid::Cid;
use kubo_daemon::{Daemon, Kubo, kubo_or_not_run};
use test_support::turns::turn;
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Preview, guests};

use crate::guest::{cache, ctx, node, run, runtime};

/// The larger file: 32 leaves of 256 KiB, Kubo's own size, under one root.
const LARGE: &str = "large.bin";
const LARGE_BYTES: usize = 8 << 20;
const LEAF_BYTES: usize = 256 << 10;

const DEADLINE: Duration = Duration::from_secs(30);

/// The number of small files: always enough for Kubo to shard the directory.
fn small_files() -> usize {
    match env::var_os("WASI_IPFS_QUICK") {
        Some(_) => 8_000,
        None => 20_000,
    }
}

/// Two nodes that are connected only to each other, and a directory on one of them.
struct Nodes {
    /// The node that is asked.
    near: Daemon,
    /// The node that has the content.
    _far: Daemon,
    root: Cid,
    dag: Dag,
}

impl Nodes {
    fn start(kubo: &Kubo) -> Self {
        let far = kubo.node().profile("pebbleds").without_gateway();
        let far = far.start().expect("a node");
        let near = kubo.node().start().expect("a node");
        near.connect(&far).expect("they reach each other");

        let dir = tempfile::tempdir().expect("a directory");
        for n in 0..small_files() {
            let path = dir.path().join(format!("{n:05}.txt"));
            fs::write(path, format!("{n}\n")).expect("written");
        }
        // No two blocks are equal.
        let large: Vec<u8> = (0..LARGE_BYTES as u64 / 8)
            .flat_map(u64::to_le_bytes)
            .collect();
        fs::write(dir.path().join(LARGE), large).expect("written");
        let root = far.add(dir.path(), &["--cid-version=1", "--pin=false"]);
        let root = root.expect("added");
        let dag = Dag::listed_by(&far, &root);
        Self {
            near,
            _far: far,
            root,
            dag,
        }
    }

    fn received(&self) -> u64 {
        let stat = self.near.bitswap_stat();
        stat.expect("the node counts").blocks_received
    }

    /// The blocks of the DAG that the near node holds.
    fn held(&self) -> HashSet<Cid> {
        let refs = self.near.ipfs(&["refs", "local"]).expect("a listing");
        let refs = String::from_utf8(refs).expect("CIDs");
        // Kubo keeps blocks by multihash, and lists them all as raw.
        let held = refs
            .lines()
            .map(|line| *line.parse::<Cid>().expect("a CID").hash());
        let held: HashSet<_> = held.collect();
        let all = self.dag.links.values().flatten().map(|link| link.cid);
        let all = all.chain([self.root]);
        all.filter(|cid| held.contains(cid.hash())).collect()
    }
}

/// A DAG's links as Kubo lists them, by its independent reader.
struct Dag {
    links: HashMap<Cid, Vec<Link>>,
}

struct Link {
    name: String,
    cid: Cid,
}

impl Dag {
    fn listed_by(node: &Daemon, root: &Cid) -> Self {
        let format = "--format=<src> <dst> <linkname>";
        let listed = node.ipfs(&["refs", "--recursive", format, &root.to_string()]);
        let listed = String::from_utf8(listed.expect("a listing")).expect("names of text");
        let mut links: HashMap<Cid, Vec<Link>> = HashMap::new();
        for line in listed.lines() {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            let from = word().parse().expect("a CID");
            let cid = word().parse().expect("a CID");
            let name = word().to_owned();
            links.entry(from).or_default().push(Link { name, cid });
        }
        Self { links }
    }

    /// The blocks from a sharded directory's root to an entry, both included, found by walking all shards, without
    /// hashing the name.
    fn way_to(&self, root: Cid, name: &str) -> Vec<Cid> {
        let mut todo = vec![vec![root]];
        while let Some(way) = todo.pop() {
            for link in self.links.get(&way[way.len() - 1]).into_iter().flatten() {
                let way = [&*way, &[link.cid]].concat();
                match link.name.get(2..) {
                    Some("") => todo.push(way),
                    Some(entry) if entry == name => return way,
                    _ => {}
                }
            }
        }
        panic!("no {name}");
    }
}

#[track_caller]
fn assert_same(found: HashSet<Cid>, wanted: &[Cid], what: &str) {
    let wanted: HashSet<_> = wanted.iter().copied().collect();
    let more: Vec<_> = found.difference(&wanted).collect();
    let less: Vec<_> = wanted.difference(&found).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "{what}: too many: {more:?}; missing: {less:?}"
    );
}

/// Waits until the guest's one pin is on the node.
fn wait_for_the_pin(ctx: &IpfsCtx) {
    let until = Instant::now() + Duration::from_secs(60);
    while ctx.cache().stats().pins_held == 0 {
        assert!(Instant::now() < until, "{:?}", ctx.cache().stats());
        thread::sleep(Duration::from_millis(10));
    }
    let stats = ctx.cache().stats();
    assert_eq!((stats.pins_held, stats.pin_failures), (1, 0), "{stats:?}");
}

#[test]
fn what_is_read_is_moved_and_nothing_else_and_its_pin_keeps_it() {
    let _turn = turn("lazy");
    let kubo = kubo_or_not_run!("lazy means lazy");
    let nodes = Nodes::start(&kubo);
    let runtime = runtime();
    for preview in [Preview::One, Preview::Two] {
        let cache = || {
            let node = node(&nodes.near.api_url(), nodes.near.gateway_url().as_deref());
            runtime.block_on(cache(node, DEADLINE))
        };
        small_file_of_a_directory(
            &nodes,
            preview,
            &runtime.block_on(ctx(&cache(), nodes.root)),
            &runtime,
        );
        middle_of_a_large_file(
            &nodes,
            preview,
            &runtime.block_on(ctx(&cache(), nodes.root)),
            &runtime,
        );
    }
}

/// A guest opens the directory itself, and then reads a file in it. A directory whose entries may be anything is not
/// pinned.
fn small_file_of_a_directory(
    nodes: &Nodes,
    preview: Preview,
    ctx: &IpfsCtx,
    runtime: &tokio::runtime::Runtime,
) {
    assert_same(nodes.held(), &[], "at the start");
    let before = nodes.received();
    let directory = format!("/ipfs/{}", nodes.root);
    let opened = runtime.block_on(run(ctx, preview, guests::STAT, &[&directory]));
    assert!(opened.success().starts_with("d "), "{}", opened.text());
    assert_eq!(
        nodes.received() - before,
        1,
        "{preview:?}: the directory's own block"
    );

    let number = small_files() / 3;
    let name = format!("{number:05}.txt");
    let way = nodes.dag.way_to(nodes.root, &name);
    assert!((3..=5).contains(&way.len()), "{way:?}");
    let path = format!("{directory}/{name}");
    let read = runtime.block_on(run(ctx, preview, guests::CAT, &[&path]));
    assert_eq!(read.success(), format!("{number}\n"));
    assert_eq!(
        nodes.received() - before,
        way.len() as u64,
        "{preview:?}: the file and its way"
    );
    assert_same(nodes.held(), &way, "the file and its way");

    let stats = ctx.cache().stats();
    assert_eq!((stats.pins_held, stats.pin_failures), (0, 0), "{stats:?}");
    runtime.block_on(ctx.cache().close()).expect("closed");
    nodes.near.gc().expect("a collection");
    assert_same(nodes.held(), &[], "after the end");
}

/// A guest reads 4 KiB in the middle of a file. This pins the file, and not the directory above it.
fn middle_of_a_large_file(
    nodes: &Nodes,
    preview: Preview,
    ctx: &IpfsCtx,
    runtime: &tokio::runtime::Runtime,
) {
    assert_same(nodes.held(), &[], "at the start");
    let before = nodes.received();
    let directories = nodes.dag.way_to(nodes.root, LARGE);
    let file = directories[directories.len() - 1];
    let leaves = &nodes.dag.links[&file];
    assert_eq!(leaves.len(), LARGE_BYTES / LEAF_BYTES);
    let offset = LARGE_BYTES / 2 + 12_345;
    let kept = [file, leaves[offset / LEAF_BYTES].cid];
    let way = [&*directories, &kept[1..]].concat();

    let (path, offset) = (format!("/ipfs/{}/{LARGE}", nodes.root), offset.to_string());
    let arguments = [&*path, "good", &offset, "4096"];
    let read = runtime.block_on(run(ctx, preview, guests::IO_ERROR, &arguments));
    read.success();
    wait_for_the_pin(ctx);
    assert_eq!(
        nodes.received() - before,
        way.len() as u64,
        "{preview:?}: the read's path"
    );
    assert_same(nodes.held(), &way, "the read's path");

    nodes.near.gc().expect("a collection");
    assert_same(nodes.held(), &kept, "after a collection");
    assert_eq!(
        nodes.received() - before,
        way.len() as u64,
        "{preview:?}: nor does a collection"
    );
    runtime.block_on(ctx.cache().close()).expect("closed");
    nodes.near.gc().expect("a collection");
    assert_same(nodes.held(), &[], "after the end");
}
