//! A stand-in for the crate `core2`, of which every release is yanked.
//!
//! `ipfs-api-backend-hyper` 0.6, the newest release, needs `multiaddr` 0.17, which needs `multihash` 0.17, which
//! needs `core2` 0.4. Cargo never chooses a yanked release that no lock file names. So without this crate, no project
//! that contains `pinner-ipfs-api` could be resolved afresh. `core2` was a copy of parts of `std::io` and
//! `std::error` for programs without `std`; with its feature `std` it re-exported the real ones. Nothing in this
//! workspace is built without `std`, so this crate re-exports the real ones and has nothing else.
//!
//! The root Cargo.toml puts this crate in place with `[patch.crates-io]`. A patch applies only in the workspace that
//! makes it: a project that uses `pinner-ipfs-api` elsewhere has to make the same patch.

pub use std::{error, io};
