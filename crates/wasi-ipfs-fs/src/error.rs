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
    /// A directory that the guest finds open has no handle left in the guest's session.
    #[error("cannot show '{guest}' to the guest")]
    Preopen {
        /// The name in the guest.
        guest: String,
        /// Why.
        source: Box<pinset::Error>,
    },
}
