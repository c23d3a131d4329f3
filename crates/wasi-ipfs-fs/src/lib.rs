//! IPFS for wasmtime guests: `/ipfs/<CID>/path` through `wasi:filesystem`, verified and lazy.
//!
//! This crate adapts a [`pinset::CacheMode`] to wasmtime-wasi by delegation. A node of ours lives in the same
//! `ResourceTable` as wasmtime-wasi's, under a Rust type of our own, and is handed to the guest as an ordinary
//! `wasi:filesystem` descriptor. Each call looks its descriptor up by that type. This crate answers calls on its own
//! descriptors, and wasmtime-wasi answers all others as if this crate were not there (I8). The crate knows no backend.
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
//! 1. [`ctx`](IpfsCtx): one guest's IPFS: a session of the cache, the names, and the mounts.
//! 2. [`rules`](AccessRules): a host's own rules about roots, where a fixed set does not do.
//! 3. [`view`](IpfsView): the trait by which every preview reaches the embedder's state.
//! 4. [`p2`]: the linker functions, and `wasi:filesystem` of preview 2. `p1` is the same for core modules of preview 1:
//!    one table of the guest's numbers, with native descriptors and ours. `p3` is the same for WASI 0.3.
//! 5. `paths`: how a path of a guest is opened, for all previews; `listing`: an open listing.
//! 6. [`node`]: the traits of a read-only tree's nodes, on which all previews stand.
//! 7. `ipfs`: `pinset`'s nodes as such; `types`: how many types of entries could not be learnt. `counted`: a host's own
//!    tree within the limits of the guest.
//! 8. `errno`: the only table of a guest's error codes, for all previews.
//!
//! # Features
//!
//! * `p1` (off by default): core modules of preview 1. It adds `wiggle`, by which wasmtime-wasi's preview 1 is generated.
//! * `p3` (off by default): `p3::add_to_linker`, `wasi:filesystem` of WASI 0.3, for components that use it alone or
//!   beside 0.2. It enables wasmtime's `component-model-async`. wasmtime-wasi calls its own part experimental.
//!
//! Apart from `p3`, this crate only enables wasmtime's features `runtime`, `component-model`, `async` and `std`. The
//! embedder decides whether guests are compiled here or ahead of time, and whether compilations are cached.

#![allow(
    clippy::result_large_err,
    reason = "an error names its CID, of 96 bytes; the path of an error does not have to be fast"
)]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]

mod counted;
mod ctx;
mod errno;
mod error;
mod ipfs;
mod listing;
pub mod node;
#[cfg(feature = "p1")]
pub mod p1;
pub mod p2;
#[cfg(feature = "p3")]
pub mod p3;
mod paths;
mod rules;
#[cfg(feature = "p3")]
mod streams;
mod types;
mod view;

pub use ctx::{IpfsCtx, IpfsCtxBuilder};
pub use error::Error;
pub use rules::{AccessRules, Grant};
pub use view::IpfsView;
