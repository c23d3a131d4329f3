//! `wasi:filesystem` of preview 3 (WASI 0.3), extended by IPFS. A component may use it beside preview 2: both find the
//! same nodes in the same table, and the host calls of both see the same state, [`IpfsFilesystemView`].
//!
//! 1. `linker`: the linker function.
//! 2. `preopens`: shows `/ipfs`, `/ipns` and the mounts beside wasmtime-wasi's preopened directories.
//! 3. `descriptor`: every method of a descriptor, answered here or delegated. `stat` says what a node looks like.
//! 4. `stream`, `listing`: the producers of a file's bytes and of a directory's entries. `outcome` is the future that
//!    tells the guest how either ended.
//! 5. `errno`: the crate's error codes in this preview's types.

mod descriptor;
mod errno;
mod linker;
mod listing;
mod outcome;
mod preopens;
mod stat;
mod stream;

pub use linker::add_to_linker;

#[cfg(doc)]
use crate::p2::IpfsFilesystemView;
