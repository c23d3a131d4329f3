//! A guest on a real node: what the tests with Kubo share.

use std::{sync::Arc, time::Duration};

use cid::Cid;
use pinner_kubo::{GatewayChoice, KuboBuilder, KuboPinner};
use pinset::{Access, CacheMode, PinsetBuilder};
use tokio::runtime::Runtime;
use wasi_ipfs_fs::IpfsCtx;
use wasi_ipfs_tests::{Guest, Outcome, Preview, Run, Variant};

/// What guests and backends run in. The nodes' own calls block: they are made outside of it.
pub(crate) fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    runtime.build().expect("a runtime")
}

/// The node whose RPC is at one URL and whose gateway, where it is to be used, at the other.
pub(crate) fn node(rpc: &str, gateway: Option<&str>) -> KuboBuilder {
    let address = |url: &str| url.parse().expect("an address");
    let builder = KuboPinner::builder().address(address(rpc));
    builder.gateway(match gateway {
        Some(url) => GatewayChoice::At(address(url)),
        None => GatewayChoice::Off,
    })
}

/// An empty cache over `node`, in which a block has this deadline as well.
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

/// What one guest gets of `cache`: this root.
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
