//! IPFS for wasmtime guests: `/ipfs/<CID>/path` through `wasi:filesystem`, verified and lazy.
//!
//! This crate adapts a [`pinset::CacheMode`] to wasmtime-wasi by delegation. A node of ours lives in the same
//! `ResourceTable` as wasmtime-wasi's, under a Rust type of our own, and is handed to the guest as an ordinary
//! `wasi:filesystem` descriptor. Each call looks its descriptor up by that type: ours are answered here, all the
//! others by wasmtime-wasi as if this crate were not there (I8). It knows no backend.
//!
//! ```no_run
//! use wasi_ipfs_fs::{IpfsCtx, IpfsView};
//! use wasmtime::component::{Linker, ResourceTable};
//! use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
//!
//! struct State {
//!     wasi: WasiCtx,
//!     table: ResourceTable,
//!     ipfs: Option<IpfsCtx>,
//! }
//!
//! impl WasiView for State {
//!     fn ctx(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
//!     }
//! }
//!
//! impl IpfsView for State {
//!     fn ipfs(&self) -> Option<&IpfsCtx> {
//!         self.ipfs.as_ref()
//!     }
//! }
//!
//! # fn linked(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
//! let mut linker = Linker::<State>::new(engine);
//! wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
//! wasi_ipfs_fs::add_to_linker_async(&mut linker)?; // shadows wasi:filesystem/{types,preopens}
//! # Ok(linker)
//! # }
//! ```
//!
//! # The way of one read
//!
//! 1. [`load`](mod@load): a preview 1 module becomes a component, so that both previews take one way.
//! 2. [`ctx`](IpfsCtx): what one guest gets: a session of the cache, the names, and the mounts.
//! 3. `view`: the linker functions, and which state the host calls see.
//! 4. `preopens`: `/ipfs`, `/ipns` and the mounts appear beside wasmtime-wasi's preopened directories.
//! 5. `table`: our nodes in wasmtime's `ResourceTable`, and how they are recognised.
//! 6. `descriptor`: every method of a descriptor, one by one: ours, or delegated. `stat` says what a node looks like.
//! 7. `stream`, `dirstream`: a file's bytes and a directory's entries as the guest pulls them.
//! 8. `errno`: the only place that makes a guest's error code.

mod ctx;
mod descriptor;
mod dirstream;
mod errno;
mod error;
pub mod load;
mod preopens;
mod stat;
mod stream;
mod table;
mod view;

pub use ctx::{IpfsCtx, IpfsCtxBuilder};
pub use error::Error;
pub use load::load;
pub use view::{
    IpfsFilesystem, IpfsFilesystemView, IpfsPreopens, IpfsPreopensView, IpfsView,
    add_to_linker_async,
};
