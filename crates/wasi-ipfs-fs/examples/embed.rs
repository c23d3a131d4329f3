//! A host that runs one component, which finds content at `/ipfs/<CID>`.
//!
//! `embed COMPONENT CAR [ARGUMENT…]`: the component may read what lies below the CAR's roots, and nothing else.

use std::{env, sync::Arc};

use pinner_car::CarPinner;
use pinset::{Access, PinsetBuilder};
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
        wasmtime::bail!("usage: embed COMPONENT CAR [ARGUMENT…]");
    };

    // One cache for all guests of the host: 256 MiB of disk, blocks out of a CAR file.
    let pinner = Arc::new(CarPinner::open([car]).await?);
    let roots = pinner.roots().to_vec();
    let cache = PinsetBuilder::new(pinner, 256 << 20).shared().await?;

    // One context a guest: what it may read, within which limits.
    let ipfs = IpfsCtx::builder(cache.clone(), Access::roots(roots))
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
