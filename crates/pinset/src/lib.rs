//! A verified, bounded cache of IPFS content: resolves paths, stages blocks under a byte budget, keeps pins.
//!
//! Works over any [`Pinner`](pinner_api::Pinner), and knows nothing of wasm, Kubo, or HTTP. A [`Pinset`] makes a
//! [`PinsetCache`] or an [`IsolatedPinset`]; a [`CacheMode`] is either. A guest gets a [`Session`]: which roots it
//! may ask for, and how much of everything.
//!
//! # The way of one read
//!
//! 1. `path`: the text of a path; `walk`: its segments, through verified directory blocks, to the `place` that it names;
//!    `walked`: where it led before.
//! 2. `dir`, `node`, `file`: what is open.
//! 3. `pins`: a lazy pin on the target, queued beside the reads.
//! 4. `tree`: from an offset to its leaf, through the decoded nodes that `nodes` keeps and `unixfs` decodes.
//! 5. `store`: the staged blocks; `staging`: their bytes under the budget; [`replacement`]: which stay.
//!    `warm`, `reverify`: what an earlier run or another process staged is found, and hashed at its first use.
//!    `budget`: how much of a total that several pinsets share is whose.
//! 6. `engine`: what is not there is fetched once for all who wait (`flight`), verified (`block`), and staged.
//! 7. `readahead`: what a sequential reader will want next.
//!
//! Beside it: `names` (`/ipns`, resolved once and held fixed), `whole` (streams, prefetch, copies), [`lock_dir`] and
//! [`recovery`] (whose process lives, and what the dead left), `session` (access and limits), `stats` and [`metrics`].

#![allow(
    clippy::result_large_err,
    reason = "an error names the CID that it is about, 96 bytes; errors are not what has to be fast"
)]

mod block;
mod builder;
mod dir;
mod engine;
mod error;
mod file;
mod flight;
/// Not a part of `flight.rs`, which `tests/concurrency` builds as well.
#[cfg(test)]
#[path = "flight/tests.rs"]
mod flight_tests;
pub mod metrics;
mod mode;
mod names;
mod node;
mod nodes;
mod path;
mod pins;
mod place;
mod readahead;
pub mod recovery;
pub mod replacement;
mod reverify;
mod session;
pub mod staging;
mod stats;
mod store;
mod sync;
mod task;
mod tree;
pub mod unixfs;
mod walk;
mod walked;
mod warm;
mod whole;

pub use block_staging::{Budget, lock_dir};
pub use builder::Pinset;
pub use dir::{Dir, Entries, Entry, EntryKind};
pub use error::{Error, Limit};
pub use file::File;
pub use mode::{CacheMode, IsolatedPinset, PinsetCache};
pub use names::{FixedName, IpnsName, IpnsPath};
pub use node::{Identity, Kind, MadeBy, Metadata, Mtime, Node, Symlink};
pub use path::IpfsPath;
pub use readahead::Advice;
pub use session::{Access, Limits, Session, Symlinks};
pub use stats::{FetchFailures, Stats};
pub use walk::MAX_SYMLINKS;
pub use whole::{Fetched, Progress};

use block_staging::budget;
