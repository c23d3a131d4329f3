//! The lock directory: which holders are alive, and what dead ones have left.
//!
//! It holds
//! * `id`: eight random bytes, the directory's name in every `Holder` that lives in it;
//! * `<32 hex>.lock` for each holder: locked (`flock`) exactly as long as the holder's process lives. A lock file
//!   that exists and is free is the proof that its holder is dead, and the only proof (I5). It is empty until the
//!   holder may have pins, so that any process may remove the free lock file of a holder that never had pins;
//! * `<32 hex>.staging/`: that holder's temporary staging directory;
//! * `new-<32 hex>`: a new file, before it is renamed or linked to one of the first two names.
//!
//! This module must not know what a pin or a block is. Invariants: an existing `.lock` is locked, or its holder is
//! dead; no other process touches a holder's files while its lock is held; no name in the directory comes from outside
//! (I4).
//!
//! The directory itself is locked too, shared by all who use it, and so is each staging directory, by its holder:
//! programs that remove old files leave locked directories alone. On a network file system the directory is refused,
//! since a lock there may look free to another host.
//!
//! The kernel owns the locks, so they end with the process, however it ends. A child that is forked without `exec`
//! while a lock is held keeps the lock alive; one that is executed does not (`O_CLOEXEC`).

pub(crate) mod private_dir;

mod dead;
mod directory;
mod held;
mod network;
mod staging_dir;
#[cfg(all(test, not(shuttle)))]
mod tests;

pub use dead::{DeadHolder, Evidence};
pub use directory::{LockDir, LockDirError};
pub use held::HeldLock;
pub use staging_dir::StagingDir;
