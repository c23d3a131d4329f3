//! `wasi:filesystem` of preview 2, extended by IPFS.
//!
//! 1. `linker`: the linker functions, async and sync, and which state the host calls see. Under ours is wasmtime-wasi's
//!    filesystem, or one of the host's own.
//! 2. `preopens`: shows `/ipfs`, `/ipns` and the mounts beside the native preopened directories.
//! 3. `table`: our nodes in wasmtime's `ResourceTable`, and how they are recognised.
//! 4. `descriptor`: every method of a descriptor, answered here or delegated. `stat` says what a node looks like.
//! 5. `stream`, `listing`: a file's bytes and a directory's entries as the guest pulls them.
//! 6. `blocking`: the same methods for hosts that are not async.
//! 7. `errno`: the crate's error codes in this preview's types.

mod blocking;
mod descriptor;
mod errno;
pub(crate) mod linker;
mod listing;
pub(crate) mod preopens;
pub(crate) mod stat;
pub(crate) mod stream;
pub(crate) mod table;

pub use linker::{
    Filesystem, HostFilesystemView, IpfsFilesystem, IpfsFilesystemView, IpfsPreopens,
    IpfsPreopensView, Layered, LayeredPreopens, add_to_linker_async, add_to_linker_over_async,
    add_to_linker_over_sync, add_to_linker_sync,
};
