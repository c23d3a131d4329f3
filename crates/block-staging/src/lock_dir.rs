//! The lock directory: who is alive, and what the dead have left.
//!
//! It holds
//! * `id`: eight random bytes, its name in every `Holder` that lives in it;
//! * `<32 hex>.lock` for each holder: locked (`flock`) exactly as long as the holder's process lives. A lock file
//!   that is there and free is the proof that its holder is dead, and the only one (I5). It is empty until the
//!   holder may have pins, so that one that never had any is removed by whoever finds it;
//! * `<32 hex>.staging/`: that holder's temporary staging directory;
//! * `new-<32 hex>`: a file on its way to one of the first two names.
//!
//! It must not know what a pin or a block is. Invariants: a `.lock` that is there is locked, or its holder is dead;
//! nothing in it is touched by another process while its lock is held; no name in it comes from outside (I4).
//!
//! The locks are the kernel's, so they end with the process, however it ends. A child that is forked without
//! `exec` while a lock is held keeps it alive; one that is executed does not (`O_CLOEXEC`).

pub(crate) mod private_dir;

mod dead;
mod directory;
mod held;
mod staging_dir;
#[cfg(all(test, not(shuttle)))]
mod tests;

pub use dead::{DeadHolder, Evidence};
pub use directory::{LockDir, LockDirError};
pub use held::HeldLock;
pub use staging_dir::StagingDir;
