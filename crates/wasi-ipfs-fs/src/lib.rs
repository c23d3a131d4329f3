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
//! wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?; // shadows wasi:filesystem/{types,preopens}
//! # Ok(linker)
//! # }
//! ```
//!
//! # The way of one read
//!
//! 1. [`ctx`](IpfsCtx): what one guest gets: a session of the cache, the names, and the mounts.
//! 2. [`view`](IpfsView): what every preview asks of the embedder's state.
//! 3. [`p2`]: the linker function, and `wasi:filesystem` of preview 2.
//! 4. `errno`: the one table of a guest's error codes, for all previews.
//!
//! # Features
//!
//! * `p1` (off by default): `p1::load`, which makes a component of a preview 1 module. It brings `wit-component` and
//!   wasmtime's adapter with it; components need neither.
//!
//! No feature of wasmtime beyond `runtime`, `component-model`, `async` and `std` is asked for: whether guests are
//! compiled here or ahead of time, and whether compilations are cached, is the embedder's.

mod ctx;
mod errno;
mod error;
#[cfg(feature = "p1")]
pub mod p1;
pub mod p2;
mod view;

pub use ctx::{IpfsCtx, IpfsCtxBuilder};
pub use error::Error;
pub use view::IpfsView;
