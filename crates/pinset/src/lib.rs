//! A verified, bounded cache of IPFS content: resolves paths, stages blocks under a byte budget, keeps pins.
//!
//! Works over any [`Pinner`](pinner_api::Pinner), and knows nothing of wasm, Kubo, or HTTP. A [`PinsetBuilder`]
//! makes a [`CacheMode`]: a [`PinsetCache`] for all guests, or an [`IsolatedPinset`] for one. A guest gets a
//! [`Session`], which holds the roots that it may ask for, and its limits.
//!
//! # The floors
//!
//! Each module imports only from those below it in this list.
//!
//! 1. `host`: the embedder's interface. `builder`, `cache` ([`CacheMode`]), `fix` (resolves a name once), `stats`,
//!    `metrics` (a feature).
//! 2. `whole`: operations on whole files and DAGs. `stream` (a file's content), `prefetch` (a DAG into staging),
//!    `materialize` (a tree into a host directory).
//! 3. `resolve`: from a path to an open handle. `walk` goes segment by segment through verified directory blocks;
//!    `open` makes a handle of the result.
//! 4. `read`: open handles. `node`, `dir`, `listing`, `kind` (of an entry), `file`, `filling` (one read's bytes),
//!    `reader` (a file through tokio's traits); `tree` goes from an offset to its leaf; `readahead`, `pace` and `latency` fetch what a
//!    sequential reader will want next.
//! 5. `session`: one guest's context, which every handle carries.
//! 6. `fetch`: from a target to its verified block. `engine` finds it, or has it fetched once for all who wait:
//!    `flying` is the work of one fetch, `queue` says whose turn it is; `decode` makes nodes; `reverify` hashes a block
//!    that an earlier run or another process staged, at its first use; `counters`.
//! 7. `pins`: pins on the backend, as [`pinset_policy::register`] decides. `lazy` and `ensure` request them, `worker`
//!    and `keeper` make and release them concurrently with the reads, [`recovery`] releases the pins of dead
//!    processes.
//! 8. `path`: paths as text and the places they name. `root_cid`, `ipfs_path`, `name` and `fixed_name` (`/ipns`),
//!    `place`, `walked` (where a path led before).
//! 9. `grant`: a session's rights. `access` (which roots), `allowance` (the limits).
//! 10. `cache`: the blocks and nodes that are here. `store` (blocks), `blocks` (their table, with `short_key`), `staged`
//!     (a block with a handle), `writing` (the queue to the disk), `most_blocks` (how many there may be), `persistent`
//!     (blocks that outlive the process), `nodes` (decoded nodes); `off_thread` keeps the disk off the async threads.
//! 11. `metadata`, `block` (the only way from unverified bytes to a block), `error`, `flight` (single flight), `task`,
//!     `sync`.
//!
//! Below them are [`pinset_policy`] (which entries stay, and what is done about pins), [`unixfs`] (decodes a verified
//! block into a compact node), [`staging`] (blocks' bytes on the disk), `budget` (each pinset's share of a total that
//! several share), and [`lock_dir`] (which processes are alive).
//!
//! # The way of one read
//!
//! `resolve::walk` → `resolve::open`, which queues a lazy pin (`pins::lazy`) → `read::file` → `read::tree` →
//! `cache::store`, if the block is staged already; otherwise `fetch::engine` → [`pinner_api::Pinner::block`] →
//! `block::UnverifiedBlock::verify` → `cache::store` → the reader.

//! # A deadline for a call
//!
//! The future of any call may be dropped at any time, and leaves nothing behind. A fetch that nobody waits for any more
//! ends, and gives back its room. So the deadline of one call is a timeout around it. (The builder's
//! [`block_deadline`](PinsetBuilder::block_deadline) bounds each wait for a block, for all calls.)
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use pinner_mock::{Fault, MockNode, When};
//! use pinset::{Access, Limits, PinsetBuilder};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = MockNode::new();
//! let root = node.put(0x55, &b"a file"[..]);
//! node.script(When::any_block(), Fault::Hang);
//! # let dir = tempfile::tempdir()?;
//! let builder = PinsetBuilder::new(Arc::new(node), 64 << 20);
//! # let builder = builder.lock_dir(dir.path().join("locks"));
//! let pinset = builder.shared().await?;
//! let session = pinset.session(Access::Any, Limits::default());
//! let path = root.into();
//! let opened = tokio::time::timeout(Duration::from_millis(20), session.open(&path)).await;
//! assert!(opened.is_err(), "the node does not answer");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![allow(
    clippy::result_large_err,
    reason = "an error names its CID, of 96 bytes; the path of an error does not have to be fast"
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
mod read;
#[cfg(refused)]
mod refused;
mod resolve;
mod session;
pub mod staging;
mod sync;
mod task;
mod whole;

pub(crate) use ::unixfs;
pub use block_staging::{Budget, lock_dir};
pub use error::{Error, Limit};
pub use fetch::{ask::Rank, counters::FetchFailures};
pub use grant::{
    access::{Access, RootRequest, Roots, Rules},
    allowance::{KeptHandle, Limits},
};
#[cfg(feature = "metrics")]
pub use host::metrics;
pub use host::{
    builder::PinsetBuilder,
    cache::{CacheMode, IsolatedPinset, PinsetCache, StagedCursor},
    stats::Stats,
};
pub use metadata::{Identity, Kind, MadeBy, Metadata, Mtime};
pub use path::{
    fixed_name::FixedName,
    ipfs_path::{IpfsPath, Symlinks},
    name::{ContentPath, IpnsName, IpnsPath},
    root_cid::RootCid,
};
pub use pins::{ensure::EnsuredPin, recovery};
pub use read::{
    blocking::BlockingReader,
    dir::Dir,
    file::File,
    listing::{Entries, Entry, LeftOut},
    node::{Node, Symlink},
    pending::PendingRead,
    readahead::Advice,
    reader::FileReader,
};
pub use resolve::walk::MAX_SYMLINKS;
pub use session::{Session, SessionStats};
pub use whole::{prefetch::Fetched, progress::Progress, stream::ContentStream};

use block_staging::budget;
