//! Stands in for the crate `core2`, of which every release is yanked.
//!
//! `ipfs-api-backend-hyper` 0.6, the newest, needs `multiaddr` 0.17, that `multihash` 0.17, and that `core2` 0.4. Cargo
//! never chooses a yanked release where no lock file names it, so without this crate nothing that contains
//! `pinner-ipfs-api` could be resolved afresh. `core2` was a copy of parts of `std::io` and `std::error` for programs
//! without `std`, and with its feature `std` it re-exported the real ones; nothing in this workspace is without
//! `std`, and so that is all there is here.
//!
//! The root Cargo.toml puts it in place, with `[patch.crates-io]`. A patch counts only in the workspace that makes it:
//! whoever uses `pinner-ipfs-api` elsewhere has to make the same one.

pub use std::{error, io};
