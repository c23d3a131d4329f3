//! A host that runs a preview 1 program, such as Rust's `wasm32-wasip1` or Go's `wasip1` makes.
//!
//! `preview1 MODULE CAR [ARGUMENT…]`: like the example `embed`, with `wasi_ipfs_fs::p1` in the place of
//! `wasmtime_wasi::p1`.

use std::{env, sync::Arc};

use pinner_car::CarPinner;
use pinset::{Access, PinsetBuilder};
use wasi_ipfs_fs::{IpfsCtx, p1::IpfsP1Ctx};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::{I32Exit, WasiCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(guest), Some(car)) = (arguments.next(), arguments.next()) else {
        wasmtime::bail!("usage: preview1 MODULE CAR [ARGUMENT…]");
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
        .build_p1();

    let engine = Engine::default();
    let module = Module::from_file(&engine, guest)?;
    // The state that the host keeps for a guest can be any type that has an `IpfsP1Ctx`.
    let mut linker = Linker::<IpfsP1Ctx>::new(&engine);
    wasi_ipfs_fs::p1::add_to_linker_async(&mut linker, |ctx| ctx)?;

    let mut store = Store::new(&engine, IpfsP1Ctx::new(wasi, Some(&ipfs))?);
    let instance = linker.instantiate_async(&mut store, &module).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    let ended = start.call_async(&mut store, ()).await;
    cache.close().await?;
    match ended {
        Err(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => Ok(()),
        ended => ended,
    }
}
