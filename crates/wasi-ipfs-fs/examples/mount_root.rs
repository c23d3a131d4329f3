//! A guest whose root directory is content: `/` is the tree at a CID, read-only and the same on every host.
//!
//! `mount_root COMPONENT CAR [ARGUMENT…]`: the CAR's first root is the guest's `/`. The guest knows nothing of IPFS,
//! and is granted no root beside its mount.

use std::{env, sync::Arc};

use pinner_car::CarPinner;
use pinset::{Access, IpfsPath, PinsetBuilder};
use wasi_ipfs_fs::{IpfsCtx, IpfsView};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2::bindings::Command};

/// The state of one guest.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    ipfs: IpfsCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl IpfsView for State {
    fn ipfs(&self) -> Option<&IpfsCtx> {
        Some(&self.ipfs)
    }
}

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(guest), Some(car)) = (arguments.next(), arguments.next()) else {
        wasmtime::bail!("usage: mount_root COMPONENT CAR [ARGUMENT…]");
    };

    // One cache for all guests of the host: 256 MiB of disk, blocks out of a CAR file.
    let pinner = Arc::new(CarPinner::open([car]).await?);
    let Some(root) = pinner.roots().first().copied() else {
        wasmtime::bail!("the CAR file names no root");
    };
    let cache = PinsetBuilder::new(pinner, 256 << 20).shared().await?;

    let ipfs = IpfsCtx::builder(cache.clone(), Access::none())
        .mount("/", IpfsPath::root(root))
        .build()
        .await?;
    let wasi = WasiCtx::builder()
        .inherit_stdio()
        .arg("guest")
        .args(&arguments.collect::<Vec<_>>())
        .build();

    let engine = Engine::default();
    let component = Component::from_file(&engine, guest)?;
    let mut linker = Linker::<State>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?;

    let state = State {
        wasi,
        table: ResourceTable::new(),
        ipfs,
    };
    let mut store = Store::new(&engine, state);
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    let outcome = command.wasi_cli_run().call_run(&mut store).await?;
    cache.close().await?;
    outcome.map_err(|()| wasmtime::format_err!("the guest failed"))
}
