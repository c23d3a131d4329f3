//! The staging directory: where verified blocks lie on disk, under a budget that holds at every instant.
//!
//! **Layout: packed slots by size class.** At most ten sparse files, `slots-4096`, `slots-8192`, … `slots-2097152`.
//! A block of `n` bytes lies in a slot of the smallest class that holds it, at offset `slot * class`. Only the
//! pages that were written are allocated, so the slack of a class costs nothing; a freed slot has a hole punched
//! into it, and the lowest free slot is used first, which bounds a file's logical length at twice the capacity.
//! Ten descriptors serve any number of blocks, a read needs no `open`, and nothing ever has to be compacted.
//!
//! **Order of things** (I2): [`Staging::reserve`] the exact space, once the block is verified; then
//! [`Staging::write`]; the [`Extent`] gives it back, *after* the hole is punched, when it goes. A reader that holds
//! it is therefore never above a hole: holding it is what "in use" means.
//!
//! This module owns the files and the accounting of their space. It must not know what a block is named (the
//! index does), whether its bytes are right (they were verified before), nor which block goes when there is no
//! room (replacement does). It gets a directory as a capability, and no name in it comes from outside (I4).
//!
//! **Where it works.** Linux, on a file system that punches holes; which is tried at creation. The accounting was
//! held against what the file system reports, under churn, on ext4, XFS, Btrfs, tmpfs and overlayfs. (Btrfs
//! reports a hole as free before it is: another block of the same write-out may keep it.) overlayfs, the usual
//! root of a container, cannot be asked for what the page cache has: there every read takes a blocking thread.
//! Elsewhere than on Linux every directory is refused with [`StagingError::Unsuitable`]: punching holes on macOS
//! (`F_PUNCHHOLE`) is not done.
//!
//! **Persistent** ([`open`]): the slots are where they are else, and beside each
//! class's file an index says which block lies in which slot. A block's record is written after its bytes, and
//! cleared before they go; what no record names is punched at the next start; what a record names is hashed before
//! it is used, once in a run (I3). So no crash and no power loss leads to wrong bytes, and no block and no record is
//! ever synced.
//! `docs/staging-format.md` describes the files, the orders, the locks and the recovery.
//!
//! A write-back that fails later (a dying disk) is seen by nobody: the page is dropped from the page cache, and
//! the block then reads as whatever the disk has. Whoever fears that verifies again what
//! [`Extent::read_blocking`] returned.

pub mod lock_dir;
pub mod space;
pub mod stored;

mod class;
mod commit;
mod disk;
mod error;
mod evict;
mod extent;
mod follower;
mod key;
mod lease;
mod open;
mod platform;
mod reservation;
mod resume;
mod steps;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
mod volume;
mod writer;

pub use class::MAX_STAGED;
pub use error::StagingError;
pub use extent::Extent;
pub use follower::{Follower, Leased};
pub use key::{Key, KeyHash};
pub use open::{Opened, open};
pub use reservation::Reservation;
pub use resume::Warm;
pub use space::budget;
pub use writer::{Staging, StagingUsage};
