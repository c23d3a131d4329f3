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
mod budget;
/// Not a part of `budget.rs`, which `tests/concurrency` builds as well.
#[cfg(test)]
#[path = "budget/tests.rs"]
mod budget_tests;
mod cache;
mod error;
mod fetch;
mod flight;
/// Likewise.
#[cfg(test)]
#[path = "flight/tests.rs"]
mod flight_tests;
mod grant;
mod host;
pub mod lock_dir;
mod metadata;
mod path;
mod pins;
mod policy;
mod private_dir;
mod read;
mod resolve;
mod session;
pub mod staging;
mod sync;
mod task;
pub mod unixfs;
mod whole;

pub use budget::Budget;
pub use error::{Error, Limit};
pub use fetch::counters::FetchFailures;
pub use grant::{access::Access, allowance::Limits};
pub use host::{
    builder::Pinset,
    cache::{CacheMode, IsolatedPinset, PinsetCache},
    metrics,
    stats::Stats,
};
pub use metadata::{Identity, Kind, MadeBy, Metadata, Mtime};
pub use path::{
    fixed_name::FixedName,
    ipfs_path::{IpfsPath, Symlinks},
    name::{IpnsName, IpnsPath},
};
pub use pins::recovery;
pub use policy::replacement;
pub use read::{
    dir::Dir,
    file::File,
    listing::{Entries, Entry, EntryKind},
    node::{Node, Symlink},
    readahead::Advice,
};
pub use resolve::walk::MAX_SYMLINKS;
pub use session::Session;
pub use whole::{prefetch::Fetched, stream::Progress};
