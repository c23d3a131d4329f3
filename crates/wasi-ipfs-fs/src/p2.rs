//! `wasi:filesystem` of preview 2, extended by IPFS.
//!
//! 1. `linker`: the linker function, and which state the host calls see.
//! 2. `preopens`: shows `/ipfs`, `/ipns` and the mounts beside wasmtime-wasi's preopened directories.
//! 3. `table`: our nodes in wasmtime's `ResourceTable`, and how they are recognised.
//! 4. `descriptor`: every method of a descriptor, answered here or delegated. `stat` says what a node looks like.
//! 5. `stream`, `listing`: a file's bytes and a directory's entries as the guest pulls them.
//! 6. `errno`: the crate's error codes in this preview's types.

mod descriptor;
mod errno;
pub(crate) mod linker;
mod listing;
mod preopens;
pub(crate) mod stat;
pub(crate) mod stream;
pub(crate) mod table;

pub use linker::{
    IpfsFilesystem, IpfsFilesystemView, IpfsPreopens, IpfsPreopensView, add_to_linker_async,
};
