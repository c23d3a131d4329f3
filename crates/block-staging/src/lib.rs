//! A bounded, crash-safe store of blocks in a directory, shared by processes.
//!
//! Its capacity holds at every instant, as the file system counts it. A block is kept under its multihash, which makes
//! it safe to keep without syncing: the user of this crate hashes a block of an earlier run before its first use. The
//! crate itself does not hash. It knows nothing of a runtime, of the network, or of a block's content.
//!
//! ```
//! use block_staging::{Budget, Key, Opened, open};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let parent = tempfile::tempdir()?;
//! # let path = parent.path().join("blocks");
//! # let digest = [7; 32];
//! let budget = Budget::new(64 << 20);
//! let Opened::Writer(staging, earlier) = open(&path, budget.join()?)? else {
//!     return Err("another process writes to it".into());
//! };
//! assert_eq!(earlier.len(), 0);
//!
//! // Stage a block whose bytes have been verified.
//! let bytes = b"a block";
//! let key = Key::wrap(0x12, &digest)?;
//! let room = staging.reserve(bytes.len()).ok_or("evict something first")?;
//! let extent = staging.write_as(room, &key, bytes)?;
//!
//! // Read it back: from the page cache on this thread, or else from the disk on a thread that may wait.
//! let read = match extent.try_read(2, 5)? {
//!     Some(read) => read,
//!     None => extent.read_blocking(2, 5)?,
//! };
//! assert_eq!(read, b"block");
//!
//! // The next run finds it.
//! drop((extent, staging));
//! let Opened::Writer(_staging, mut earlier) = open(&path, budget.join()?)? else {
//!     return Err("another process writes to it".into());
//! };
//! assert_eq!(earlier.next().ok_or("it is gone")?.key, key);
//! # Ok(())
//! # }
//! ```
//!
//! **Layout: packed slots by size class.** A directory has at most ten sparse files, `slots-4096`, `slots-8192`, …
//! `slots-2097152`. A block of `n` bytes is in a slot of the smallest class that holds it, at offset `slot * class`.
//! Only the pages that were written are allocated, so the slack of a class costs nothing. A freed slot has a hole
//! punched into it, and the lowest free slot is used first, which bounds a file's logical length at twice the capacity.
//! Ten descriptors serve any number of blocks, a read needs no `open`, and nothing ever has to be compacted.
//!
//! **The life of a block** (I2): [`Staging::reserve`] takes the exact space, once the block is verified;
//! [`Staging::write_as`] commits it; the [`Extent`] reads it, and evicts it when it is dropped after
//! [`Extent::discard`]. The space is given back after the hole is punched. A reader that holds an extent therefore
//! never reads a hole: a block is "in use" while an extent of it is held.
//!
//! **One writer, many followers.** The process that holds a persistent directory's lock writes. Others follow: a
//! [`Follower`] finds and leases the staged blocks, stages what it does not find in a temporary
//! [part](Follower::own_part) of its own, and takes over when the writer has ended. All of them together stay within the
//! directory's total.
//!
//! **Crashes.** A block's record is written after its bytes, and cleared before they are punched. The next start
//! punches bytes without a record. A block that a record names is hashed before its first use in a run (I3). So no
//! crash and no power loss leads to wrong bytes, although no block and no record is ever synced.
//! `docs/staging-format.md` describes the files, the orders, the locks and the recovery.
//!
//! A write-back that fails later (a dying disk) goes unnoticed: the page is dropped from the page cache, and the block
//! then reads as whatever the disk has. To guard against that, verify the bytes from [`Extent::read_blocking`] again.
//!
//! **Where it works.** On Linux, on a file system that punches holes, which is tried out at creation. The accounting
//! was compared, under churn, with the usage that the file system reports, on ext4, XFS, Btrfs, tmpfs and overlayfs.
//! (Btrfs reports a hole as free before it is: another block of the same write-out may keep it.) overlayfs, the usual
//! root of a container, cannot read from the page cache only: there every read takes a blocking thread.
//! On other systems every directory is refused with [`StagingError::Unsuitable`]: punching holes on macOS
//! (`F_PUNCHHOLE`) is not implemented.
//!
//! # Modules, from below
//!
//! 1. `class`, `key`, `error`, `steps`, `sync`: the basics that all modules share.
//! 2. [`lock_dir`]: which processes are alive, their temporary directories, and the remains of dead ones.
//! 3. `space`: the accounting of a directory's part of a [`budget`].
//! 4. `platform`: the system calls that differ by operating system. `disk`: the files, one by one.
//! 5. `member`: this process's share of a directory that others use too.
//! 6. `volume`: an open directory. `reservation`: space for one block. `parked`: a block without a handle.
//! 7. `evict`, `commit`: the orders of writes. `lease`, `extent`: a block that is read.
//! 8. `resume`, `writer`, `follower`, `open`: how a directory is opened, and its two handles.
//! 9. [`stored`]: a directory from outside, for the commands that a person runs.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod lock_dir;
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
mod member;
#[cfg(all(test, shuttle))]
mod models;
mod open;
mod parked;
mod platform;
mod reservation;
mod resume;
mod space;
mod steps;
mod sync;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod volume;
mod writer;

pub use class::MAX_STAGED;
pub use error::StagingError;
pub use extent::Extent;
pub use follower::{Follower, Leased};
pub use key::{Key, KeyHash};
pub use open::{Opened, open};
pub use parked::Parked;
pub use reservation::Reservation;
pub use resume::{Earlier, Warm};
pub use space::budget::{self, Budget};
#[cfg(shuttle)]
pub use steps::at_each_step;
pub use writer::{Staging, StagingUsage};
