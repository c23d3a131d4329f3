//! Measures a cold, verified read from a real Kubo, against the alternatives that a user has: `ipfs cat`, `ipfs get`
//! followed by a read of the copy, and Kubo's FUSE mount. The content is on this node, or on another one behind it. The
//! floor is the least that any verified copy takes: the blocks' files are read, hashed and written, one after the other.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cid::Cid;
use e2e::{Preview, Run, guests};
use kubo_daemon::{Daemon, Kubo};
use kubo_protocol::Sharding;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::Pinner;
use pinner_kubo::{GatewayChoice, KuboPinner, RepositoryPinner};
use pinset::{Access, PinsetBuilder, Stats};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

use crate::{Figure, Target};

const MIB: u64 = 1 << 20;
const LARGE_MIB: u64 = 256;
const HUGE_MIB: u64 = 1024;
const RANDOM_READS: u64 = 1000;
const PIECE: u64 = 4096;
/// CIDv1, raw leaves of 1 MiB.
const PROFILE: &str = "unixfs-v1-2025";

/// Pinned content on a node: a directory with `file` in it, so that a guest can be given the directory either way.
struct Content {
    root: Cid,
    mib: u64,
}

impl Content {
    fn add(node: &Daemon, mib: u64, salt: u64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let folder = dir.path().join("content");
        std::fs::create_dir(&folder).expect("a directory");
        write(&folder.join("file"), mib, salt);
        let root = node.add(&folder, &[]).expect("ipfs add");
        Self { root, mib }
    }

    fn path(&self) -> String {
        format!("/ipfs/{}/file", self.root)
    }
}

/// Writes a file in which no two leaves are equal.
fn write(path: &Path, mib: u64, salt: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for number in 0..mib << 17 {
        let word = (number ^ salt << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        file.write_all(&word.to_le_bytes())
            .expect("room on the disk");
    }
    file.flush().expect("room on the disk");
}

/// How often a way is measured in a row, in each round. The system may first have to reclaim memory that it lent out
/// while another way was measured. The first measurement that needs it pays for that, as much as for the read itself.
const IN_A_ROW: u32 = 3;

/// The seconds of the best round of each way to read the bytes.
#[derive(Default)]
struct Best(Vec<(&'static str, f64)>);

impl Best {
    fn measure(&mut self, name: &'static str, mut seconds: impl FnMut() -> f64) {
        for _ in 0..IN_A_ROW {
            self.take(name, seconds());
        }
    }

    fn take(&mut self, name: &'static str, seconds: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, best)) => *best = best.min(seconds),
            None => self.0.push((name, seconds)),
        }
    }

    fn of(&self, name: &str) -> Option<f64> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, seconds)| *seconds)
    }

    fn ratio(&self, slow: &str, fast: &str) -> Option<f64> {
        Some(self.of(slow)? / self.of(fast)?)
    }
}

/// How a guest's blocks come from the node.
#[derive(Clone, Copy)]
enum Way {
    /// From the files of its repository, without the daemon.
    Files,
    Gateway,
    Rpc,
}

const FLOOR: &str = "read, hash and write the blocks' files";
const FILES: &str = "guest, by the repository";
const GATEWAY: &str = "guest, by the gateway";
const RPC: &str = "guest, by the RPC alone";
const CAT: &str = "ipfs cat";
const GET: &str = "ipfs get, and the guest on the copy";
const FUSE: &str = "guest on the FUSE mount";
const FAR: &str = "guest, content on another node";
const FAR_CAT: &str = "ipfs cat, content on another node";
const FIRST: &str = "guest, first byte of 1 GiB";
const FIRST_GET: &str = "ipfs get of 1 GiB, and its first byte";

/// Measures all ways, `rounds` times in turn. Returns the best of each, and the ratios.
pub(crate) fn measure(rounds: u32) -> (Value, Vec<Figure>) {
    let kubo = Kubo::find().expect("`cargo xtask bench --kubo` says which Kubo");
    let node = kubo.node().profile(PROFILE).start().expect("a node");
    let near = Content::add(&node, LARGE_MIB, 1);
    let huge = Content::add(&node, HUGE_MIB, 2);
    let other = kubo.node().profile(PROFILE).start().expect("a node");
    let far = Content::add(&other, LARGE_MIB, 3);
    node.connect(&other).expect("two nodes of one swarm");

    let runtime = Runtime::new().expect("a runtime");
    // Compiled before anything is measured.
    guests::BENCH.program(Preview::Two);
    let files = files(&node, &near);
    let mut best = Best::default();
    let mut figures = Vec::new();
    let mut first_blocks = 0;
    for _ in 0..rounds {
        let read = |content: &Content, way| {
            let path = content.path();
            let read = guest(&node, way, &path, sequential());
            runtime.block_on(read).0
        };
        best.measure(FLOOR, || floor(&files));
        best.measure(FILES, || read(&near, Way::Files));
        best.measure(GATEWAY, || read(&near, Way::Gateway));
        best.measure(RPC, || read(&near, Way::Rpc));
        best.measure(CAT, || cat(&node, &near));
        best.measure(GET, || get(&node, &near, sequential(), &runtime));
        for _ in 0..IN_A_ROW {
            let Some(mount) = node.mount().expect("a mount") else {
                break;
            };
            // A new mount each time, because the kernel caches what it read through the last one.
            let dir = mount.ipfs().join(near.root.to_string());
            best.take(FUSE, runtime.block_on(native(&dir, sequential())));
        }
        // The content is cold on the first node each time.
        best.measure(FAR, || {
            forget(&node, &far);
            read(&far, Way::Gateway)
        });
        best.measure(FAR_CAT, || {
            forget(&node, &far);
            cat(&node, &far)
        });
        let path = huge.path();
        let first = guest(&node, Way::Gateway, &path, first_byte());
        let (seconds, stats) = runtime.block_on(first);
        best.take(FIRST, seconds);
        first_blocks = stats.blocks_fetched.max(first_blocks);
    }
    // Measured once: it takes long, and chance matters little.
    best.take(FIRST_GET, get(&node, &huge, first_byte(), &runtime));

    let mut ratio =
        |slow: &'static str, fast: &'static str, target: Target| match best.ratio(slow, fast) {
            Some(value) => figures.push(Figure {
                name: format!("{fast}, times {slow}"),
                value,
                target: Some(target),
            }),
            None => println!("NOT RUN: kubo: {slow}: this machine has no FUSE"),
        };
    ratio(FLOOR, FILES, Target::AtLeast(0.7));
    ratio(CAT, FILES, Target::AtLeast(2.0));
    ratio(GET, FILES, Target::AtLeast(3.0));
    ratio(FUSE, FILES, Target::AtLeast(4.0));
    ratio(CAT, GATEWAY, Target::AtLeast(1.5));
    ratio(CAT, RPC, Target::AtLeast(0.8));
    ratio(GET, GATEWAY, Target::AtLeast(2.5));
    ratio(FUSE, GATEWAY, Target::AtLeast(4.0));
    ratio(FAR_CAT, FAR, Target::AtLeast(1.0));
    ratio(FIRST_GET, FIRST, Target::AtLeast(1.0));
    figures.push(Figure {
        name: "blocks until the first byte of 1 GiB".to_owned(),
        value: first_blocks as f64,
        target: Some(Target::Below(4.0)),
    });
    let (moved, touched) = random(&node, &huge, &runtime);
    figures.push(Figure {
        name: format!("{RANDOM_READS} random reads of 1 GiB: blocks moved, of those needed"),
        value: moved as f64 / touched as f64,
        // Exactly as many blocks as needed.
        target: Some(Target::Below(1.0 + 0.5 / touched as f64)),
    });
    let seconds = best.0.iter().map(|(name, seconds)| {
        let mib = match *name {
            FIRST | FIRST_GET => None,
            _ => Some(near.mib as f64 / seconds),
        };
        json!({ "way": name, "seconds": seconds, "mib_per_second": mib })
    });
    (seconds.collect(), figures)
}

/// Measures the guest through the gateway alone, `rounds` times. Returns the seconds of each.
pub(crate) fn profile(rounds: u32) -> Value {
    let kubo = Kubo::find().expect("`cargo xtask bench --kubo` says which Kubo");
    let node = kubo.node().profile(PROFILE).start().expect("a node");
    let content = Content::add(&node, LARGE_MIB, 1);
    let runtime = Runtime::new().expect("a runtime");
    guests::BENCH.program(Preview::Two);
    let path = content.path();
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        let read = guest(&node, Way::Gateway, &path, sequential());
        seconds.push(runtime.block_on(read).0);
    }
    seconds.into()
}

fn sequential() -> &'static [&'static str] {
    &["seq", "{}", "65536"]
}

fn first_byte() -> &'static [&'static str] {
    &["first", "{}", "1"]
}

/// A guest's cold read: everything that a host does except compiling it. Returns the seconds and the cache's counters.
async fn guest(node: &Daemon, way: Way, path: &str, work: &[&str]) -> (f64, Stats) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    let pinset = PinsetBuilder::new(backend(node, way).await, 4 << 30)
        .lock_dir(dir.path().join("lock"))
        .block_deadline(Duration::from_secs(30));
    let cache = pinset.shared().await.expect("a pinset");
    let root = path.split('/').nth(2).expect("a CID");
    let access = Access::roots([root.parse::<Cid>().expect("a CID")]);
    let ctx = IpfsCtx::builder(cache.clone(), access).build().await;
    let ctx = ctx.expect("a context");
    let work = work.iter().map(|word| word.replace("{}", path));
    let run = Run::new(["bench".to_owned()].into_iter().chain(work));
    let program = guests::BENCH.program(Preview::Two);
    run.ipfs(ctx).program(&program).await.success();
    let seconds = started.elapsed().as_secs_f64();
    let stats = cache.stats();
    cache.close().await.expect("pins are released");
    (seconds, stats)
}

async fn backend(node: &Daemon, way: Way) -> Arc<dyn Pinner> {
    let gateway = match way {
        Way::Files => {
            let repository = RepositoryPinner::open(node.repo_path()).await;
            return Arc::new(repository.expect("a repository"));
        }
        Way::Gateway => {
            let url = node.gateway_url().expect("a gateway");
            GatewayChoice::At(url.parse().expect("an address"))
        }
        Way::Rpc => GatewayChoice::Off,
    };
    let address = node.api().parse().expect("an address");
    let node = KuboPinner::builder().address(address).gateway(gateway);
    Arc::new(node.connect().await.expect("a node"))
}

/// The files in which a node keeps the blocks of some content, with their CIDs.
fn files(node: &Daemon, content: &Content) -> Vec<(Cid, PathBuf)> {
    let blocks = node.repo_path().join("blocks");
    let sharding = std::fs::read_to_string(blocks.join("SHARDING")).expect("flatfs");
    let sharding: Sharding = sharding.parse().expect("a function");
    let below = node.ipfs(&["refs", "-r", "--unique", &content.root.to_string()]);
    let below = String::from_utf8(below.expect("links")).expect("text");
    let below = below.lines().map(|cid| cid.parse().expect("a CID"));
    [content.root]
        .into_iter()
        .chain(below)
        .map(|cid| {
            let file = sharding.file_of(&cid);
            (cid, blocks.join(file.shard).join(file.name))
        })
        .collect()
}

/// Reads, verifies and writes the files.
fn floor(files: &[(Cid, PathBuf)]) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    let mut copy = File::create(dir.path().join("copy")).expect("a file");
    for (cid, file) in files {
        let block = std::fs::read(file).expect("a block");
        let code = Code::try_from(cid.hash().code()).expect("a hash function");
        assert!(code.digest(&block) == *cid.hash(), "{cid}");
        copy.write_all(&block).expect("room on the disk");
    }
    started.elapsed().as_secs_f64()
}

/// Runs the same guest on a directory of the host.
async fn native(dir: &Path, work: &[&str]) -> f64 {
    let work = work.iter().map(|word| word.replace("{}", "/native/file"));
    let run = Run::new(["bench".to_owned()].into_iter().chain(work)).native();
    let run = run.preopen(dir, "/native", FsPerms::ReadOnly);
    let started = Instant::now();
    let program = guests::BENCH.program(Preview::Two);
    run.program(&program).await.success();
    started.elapsed().as_secs_f64()
}

fn cat(node: &Daemon, content: &Content) -> f64 {
    let started = Instant::now();
    ipfs(node, &["cat", &content.path()]);
    started.elapsed().as_secs_f64()
}

fn get(node: &Daemon, content: &Content, work: &[&str], runtime: &Runtime) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).expect("a directory");
    let to = copy.join("file").display().to_string();
    let started = Instant::now();
    ipfs(node, &["get", "-o", &to, &content.path()]);
    let copied = started.elapsed().as_secs_f64();
    copied + runtime.block_on(native(&copy, work))
}

/// Runs Kubo's own program and ignores its output.
fn ipfs(node: &Daemon, arguments: &[&str]) {
    let kubo = Kubo::find().expect("`cargo xtask bench --kubo` says which Kubo");
    let mut command = Command::new(kubo.program());
    command.env("IPFS_PATH", node.repo_path()).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Collects the node's garbage, and asserts that the content is gone from it.
fn forget(node: &Daemon, content: &Content) {
    // The guest's own pin was released when its cache was closed.
    node.gc().expect("a collection");
    assert!(
        !node.holds(&content.root).expect("an answer"),
        "still there"
    );
}

/// Returns how many blocks random reads move, and how many they need: those with the bytes, and those that lead there.
fn random(node: &Daemon, content: &Content, runtime: &Runtime) -> (u64, u64) {
    let reads = RANDOM_READS.to_string();
    let work = ["rand", "{}", &reads];
    let path = content.path();
    let read = guest(node, Way::Gateway, &path, &work);
    let (_, stats) = runtime.block_on(read);
    // The same series of places as in the guest.
    let places = content.mib * MIB - PIECE + 1;
    let mut state = 88_172_645_463_325_252_u64;
    let leaves: HashSet<u64> = (0..RANDOM_READS)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = state % places;
            [at / MIB, (at + PIECE - 1) / MIB]
        })
        .collect();
    // The directory, and the file's root over all leaves.
    (stats.blocks_fetched, leaves.len() as u64 + 2)
}
