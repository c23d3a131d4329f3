//! The one error of this crate: what an embedder meets while setting a guest up. Errors that the guest meets while it
//! runs belong to `errno.rs`.

/// Why a guest could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name could not be resolved, or its target could not be loaded, so it was not granted.
    #[error("cannot grant the name '{name}'")]
    Name {
        /// The name as it was given.
        name: String,
        /// Why.
        source: Box<pinset::Error>,
    },
    /// A mount's name in the guest cannot be used.
    #[error("cannot mount at '{guest}': {reason}")]
    MountName {
        /// The name as it was given.
        guest: String,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// The target of a mount could not be opened.
    #[error("cannot mount '{path}' at '{guest}'")]
    Mount {
        /// The name in the guest.
        guest: String,
        /// The path in IPFS.
        path: String,
        /// Why.
        source: Box<pinset::Error>,
    },
    /// The target of a mount is a file or a symlink.
    #[error("cannot mount '{path}' at '{guest}': it is not a directory")]
    MountNotDirectory {
        /// The name in the guest.
        guest: String,
        /// The path in IPFS.
        path: String,
    },
    /// The limit of open handles leaves no room for the preopens themselves.
    #[error(
        "a limit of {limit} open handles is too low for {preopens} preopened directories and one file"
    )]
    TooFewHandles {
        /// [`Limits::open_handles`](pinset::Limits::open_handles).
        limit: usize,
        /// `/ipfs`, `/ipns` where there are names, and the mounts.
        preopens: usize,
    },
    /// Bytes that are not WebAssembly, or broken WebAssembly.
    #[cfg(feature = "p1")]
    #[error("'{guest}' is not a WebAssembly program: {reason}")]
    NotWasm {
        /// The guest, as the caller names it.
        guest: String,
        /// Why the bytes are not a WebAssembly program.
        reason: String,
    },
    /// WebAssembly of a kind that cannot be run as a WASI program.
    #[cfg(feature = "p1")]
    #[error("'{guest}' cannot be run as a WASI program: {reason}")]
    WrongKind {
        /// The guest, as the caller names it.
        guest: String,
        /// Why it cannot be run, and what is expected.
        reason: String,
    },
    /// A preview 1 module whose allocator would overwrite the adapter's memory.
    #[cfg(feature = "p1")]
    #[error(
        "'{guest}' was built by {compiler} with a wasi-libc whose malloc takes all memory it finds; once adapted to \
         preview 2, it would overwrite the adapter. Link it with an exported `cabi_realloc` that calls `realloc`, \
         or keep its name section, or build it with clang 16 or later and its wasi-libc"
    )]
    UnsafeAllocator {
        /// The guest, as the caller names it.
        guest: String,
        /// The compiler that its `producers` section names.
        compiler: String,
    },
    /// The preview 1 adapter could not be joined to the module.
    #[cfg(feature = "p1")]
    #[error("'{guest}' could not be turned into a component: {reason}")]
    Adapt {
        /// The guest, as the caller names it.
        guest: String,
        /// The encoder's message, with its causes.
        reason: String,
    },
}
