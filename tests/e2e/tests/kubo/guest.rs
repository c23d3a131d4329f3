//! Runs a guest on a real node; shared by the tests with Kubo.

use std::{fs, path::Path, sync::Arc, time::Duration};

use cid::Cid;
use e2e::{Guest, Outcome, Preview, Run, Variant, guests};
use kubo_daemon::{Daemon, Kubo};
use pinner_api::Pinner;
use pinner_kubo::{GatewayChoice, KuboBuilder, KuboPinner};
use pinset::{Access, CacheMode, PinsetBuilder};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

/// The preview of tests that are not about previews.
pub(crate) const PREVIEW: Preview = Preview::Two;

/// A node, its tree, and the guest's output when it reads that tree natively.
pub(crate) struct Subject {
    pub(crate) daemon: Daemon,
    pub(crate) root: Cid,
    /// The directory, `a`, `big`, `c`, `link`; the file in `c`; six leaves.
    pub(crate) blocks: u32,
    pub(crate) right: String,
}

impl Subject {
    pub(crate) fn start(kubo: &Kubo, runtime: &Runtime) -> Self {
        let daemon = kubo.node().offline().start().expect("a node");
        let local = TempDir::new().expect("a directory");
        let at = |name: &str| local.path().join(name);
        fs::write(at("a"), "a small file, and the first\n").expect("written");
        fs::write(at("big"), series(6 * (256 << 10) - 10)).expect("written");
        fs::create_dir(at("c")).expect("a directory");
        fs::write(at("c/d"), "another small file\n").expect("written");
        std::os::unix::fs::symlink("a", at("link")).expect("a symlink");
        let root = daemon.add(local.path(), &["--cid-version=1"]);
        let root = root.expect("added");
        let right = natively(runtime, local.path(), guests::WALK_HASH, &["/native"]);
        Self {
            daemon,
            root,
            blocks: 12,
            right: right.success().to_owned(),
        }
    }
}

/// Returns `length` bytes, no two blocks of which are equal.
pub(crate) fn series(length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(8) as u64).flat_map(|n| (n * n).to_le_bytes());
    words.take(length).collect()
}

/// Runs a guest on a directory of the host, `/native`.
pub(crate) fn natively(
    runtime: &Runtime,
    tree: &Path,
    guest: Guest,
    arguments: &[&str],
) -> Outcome {
    let run = Run::new([&[guest.name()], arguments].concat());
    let run = run.preopen(tree, "/native", FsPerms::ReadOnly).native();
    runtime.block_on(run.program(&guest.program(PREVIEW)))
}

/// The runtime of guests and backends. The calls to nodes block, so tests make them outside of it.
pub(crate) fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    runtime.build().expect("a runtime")
}

/// A node by the URL of its RPC and, if it is to be used, the URL of its gateway.
pub(crate) fn node(rpc: &str, gateway: Option<&str>) -> KuboBuilder {
    let address = |url: &str| url.parse().expect("an address");
    let builder = KuboPinner::builder().address(address(rpc));
    builder.gateway(match gateway {
        Some(url) => GatewayChoice::At(address(url)),
        None => GatewayChoice::Off,
    })
}

/// An empty cache over `node`, with this deadline for a block.
pub(crate) async fn cache(node: KuboBuilder, deadline: Duration) -> CacheMode {
    let node = node.block_deadline(deadline).connect().await;
    let node = node.expect("the node answers");
    cache_over(Arc::new(node), deadline).await
}

/// An empty cache over any backend.
pub(crate) async fn cache_over(backend: Arc<dyn Pinner>, deadline: Duration) -> CacheMode {
    PinsetBuilder::new(backend, Variant::BUDGET_BYTES)
        .block_deadline(deadline)
        .lock_dir(std::env::temp_dir().join("e2e"))
        .shared()
        .await
        .expect("a cache")
}

/// A guest's context on `cache`, with access to this root.
pub(crate) async fn ctx(cache: &CacheMode, root: Cid) -> IpfsCtx {
    let builder = IpfsCtx::builder(cache.clone(), Access::roots([root]));
    builder.build().await.expect("a context")
}

/// Runs a guest with this context.
pub(crate) async fn run(
    ctx: &IpfsCtx,
    preview: Preview,
    guest: Guest,
    arguments: &[&str],
) -> Outcome {
    let run = Run::new([&[guest.name()], arguments].concat());
    run.ipfs(ctx.clone()).program(&guest.program(preview)).await
}
