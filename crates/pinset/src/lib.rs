//! A verified, bounded cache of IPFS content: resolves paths, stages blocks under a byte budget, keeps pins.
//!
//! Works over any [`Pinner`](pinner_api::Pinner), and knows nothing of wasm, Kubo, or HTTP. A [`PinsetBuilder`]
//! makes a [`CacheMode`]: a [`PinsetCache`] for all guests, or an [`IsolatedPinset`] for one. A guest gets a [`Session`]: which roots it
//! may ask for, and how much of everything.
//!
//! # The floors
//!
//! Each module imports only from those below it in this list.
//!
//! 1. `host`: what an embedder holds. `builder`, `cache` ([`CacheMode`]), `fix` (resolves a name once), `stats`,
//!    `metrics` (a feature).
//! 2. `whole`: whole things. `stream` (a file's content), `prefetch` (a DAG into staging), `materialize` (a tree into
//!    a host directory).
//! 3. `resolve`: from a path to an open handle. `walk` goes segment by segment through verified directory blocks;
//!    `open` makes a handle of what it found.
//! 4. `read`: what is open. `node`, `dir`, `listing`, `file`, `filling` (one read's bytes), `reader` (a file through
//!    tokio's traits); `tree` goes from an offset to its leaf; `readahead`,
//!    `pace` and `latency` fetch what a sequential reader will want next.
//! 5. `session`: one guest's context, which every handle carries.
//! 6. `fetch`: from a target to its verified block. `engine` fetches it once for everyone who waits, verifies and
//!    stages it; `reverify` hashes at its first use what an earlier run or another process staged; `counters`.
//! 7. `pins`: pins on the backend. `lazy` and `ensure` make them, `worker` and `keeper` make and release them beside
//!    the reads, [`recovery`] releases what the dead left.
//! 8. `path`: paths as text and the places they name. `root_cid`, `ipfs_path`, `name` and `fixed_name` (`/ipns`), `place`, `walked`
//!    (where a path led before).
//! 9. `grant`: what a session is granted. `access` (which roots), `allowance` (how much of everything).
//! 10. `cache`: what is here. `store` and `staged` (blocks), `persistent` (blocks that outlive the process), `nodes`
//!     (decoded nodes).
//! 11. `policy`: which entries stay. [`replacement`] decides.
//! 12. `metadata`, `block` (the only way from unverified bytes to a block), `error`, `flight` (single flight), `task`,
//!     `sync`.
//!
//! Below all of it: [`unixfs`] (one verified block in, a compact node out), [`staging`] (blocks' bytes on the disk),
//! `budget` (how much of a total that several pinsets share is whose), [`lock_dir`] (whose process lives).
//!
//! # The way of one read
//!
//! `resolve::walk` → `resolve::open`, which queues a lazy pin (`pins::lazy`) → `read::file` → `read::tree` →
//! `cache::store`, where the block is staged already; else `fetch::engine` → [`pinner_api::Pinner::block`] →
//! `block::UnverifiedBlock::verify` → `cache::store` → the reader.

#![allow(
    clippy::result_large_err,
    reason = "an error names the CID that it is about, 96 bytes; errors are not what has to be fast"
)]

mod block;
mod cache;
mod error;
mod fetch;
mod flight;
mod grant;
mod host;
mod metadata;
#[cfg(all(test, shuttle))]
mod models;
mod path;
mod pins;
mod policy;
mod read;
mod resolve;
mod session;
pub mod staging;
mod sync;
mod task;
mod whole;

pub(crate) use ::unixfs;
pub use block_staging::{Budget, lock_dir};
pub use error::{Error, Limit};
pub use fetch::counters::FetchFailures;
pub use grant::{access::Access, allowance::Limits};
#[cfg(feature = "metrics")]
pub use host::metrics;
pub use host::{
    builder::PinsetBuilder,
    cache::{CacheMode, IsolatedPinset, PinsetCache},
    stats::Stats,
};
pub use metadata::{Identity, Kind, MadeBy, Metadata, Mtime};
pub use path::{
    fixed_name::FixedName,
    ipfs_path::{IpfsPath, Symlinks},
    name::{ContentPath, IpnsName, IpnsPath},
    root_cid::RootCid,
};
pub use pins::recovery;
#[doc(hidden)]
pub use policy::replacement;
pub use read::{
    dir::Dir,
    file::File,
    listing::{Entries, Entry, EntryKind},
    node::{Node, Symlink},
    readahead::Advice,
    reader::FileReader,
};
pub use resolve::walk::MAX_SYMLINKS;
pub use session::Session;
pub use whole::{prefetch::Fetched, progress::Progress, stream::ContentStream};

use block_staging::budget;
