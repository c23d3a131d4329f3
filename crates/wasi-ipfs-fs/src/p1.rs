//! Preview 1 (`wasi_snapshot_preview1`), extended by IPFS: core modules run natively, as under [`wasmtime_wasi::p1`].
//!
//! ```no_run
//! use wasi_ipfs_fs::{IpfsCtx, p1::IpfsP1Ctx};
//! use wasmtime::{Engine, Linker, Module, Store};
//! use wasmtime_wasi::WasiCtx;
//!
//! # async fn run(engine: &Engine, module: &Module, ipfs: IpfsCtx) -> Result<(), Box<dyn std::error::Error>> {
//! let mut linker = Linker::<IpfsP1Ctx>::new(engine);
//! wasi_ipfs_fs::p1::add_to_linker_async(&mut linker, |ctx| ctx)?; // in the place of wasmtime_wasi::p1's
//! let wasi = WasiCtx::builder().inherit_stdio().build_p1();
//! let mut store = Store::new(engine, IpfsP1Ctx::new(wasi, Some(&ipfs))?);
//! let instance = linker.instantiate_async(&mut store, module).await?;
//! let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
//! start.call_async(&mut store, ()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! 1. `linker`: the linker functions, async and sync.
//! 2. `ctx`: [`IpfsP1Ctx`], the state of one guest, and its preopened directories.
//! 3. `table`: the guest's numbers. Behind each is a native descriptor or a node of ours.
//! 4. `calls`: every function of preview 1, answered here or passed on.
//! 5. `file`, `dir`: open nodes of ours. `listing` is `fd_readdir` on ours, `native_listing` on native directories.
//! 6. `poll`: `poll_oneoff` over both kinds.
//! 7. `stat`, `errno`: what a node looks like, and the crate's error codes, in this preview's types.
//!
//! # The table
//!
//! A native descriptor has a number of wasmtime-wasi's, and the guest knows it by another one: its slot in our table.
//! Each native number is behind exactly one slot. A call on it goes to wasmtime-wasi with its own number, so that it
//! behaves as without this crate (I8).
//!
//! # Differences from wasmtime-wasi's preview 1 on native descriptors
//!
//! * A guest with IPFS that lists a native directory gets a snapshot, taken when the listing begins. wasmtime-wasi lists
//!   the whole directory anew at each call, which is quadratic. A snapshot counts as a listing, and its bytes as kept
//!   memory, of the guest's session ([`Limits`](pinset::Limits)). Beyond the limits wasmtime-wasi's way is taken.
//! * Numbers are given out from the lowest that is free. wasmtime-wasi gives the highest that was closed.
//! * A guest that waits for a timer alone keeps no thread. Where wasmtime-wasi may block the current thread, it sleeps
//!   there, and nothing can end the call.
//! * Exit statuses from 126 on are kept. wasmtime-wasi refuses them.
//! * With [`IpfsP1Ctx::allow_blocking_current_thread`], the store's
//!   [`hostcall_fuel`](wasmtime::Store::set_hostcall_fuel) does not limit the length of a read or a write.
//!
//! Preview 0 (`wasi_unstable`) is not linked: a module that imports it fails to instantiate, by the name of the import.

mod calls;
mod ctx;
mod dir;
mod errno;
mod file;
mod linker;
mod listing;
mod native_listing;
mod poll;
mod stat;
mod table;

pub use ctx::IpfsP1Ctx;
pub use linker::{add_to_linker_async, add_to_linker_sync};

use wasmtime_wasi::p1::types::{Error, Fd};

/// The result of a call of preview 1.
type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests;
