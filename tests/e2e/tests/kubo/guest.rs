//! Runs a guest on a real node; shared by the tests with Kubo.

use std::{sync::Arc, time::Duration};

use cid::Cid;
use pinner_kubo::{GatewayChoice, KuboBuilder, KuboPinner};
use pinset::{Access, CacheMode, PinsetBuilder};
use tokio::runtime::Runtime;
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Guest, Outcome, Preview, Run, Variant};

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
    PinsetBuilder::new(Arc::new(node), Variant::BUDGET_BYTES)
        .block_deadline(deadline)
        .lock_dir(std::env::temp_dir().join("wasi-ipfs-tests"))
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
