//! Private Kubo nodes for tests: real daemons on loopback, with temporary repositories. They reach no other node, and
//! are gone afterwards, however the test ends.
//!
//! ```no_run
//! # fn test() -> kubo_daemon::Result<()> {
//! let kubo = kubo_daemon::kubo_or_not_run!("adding a file", Ok(()));
//! let node = kubo.node().start()?;
//! let cid = node.add("Cargo.toml".as_ref(), &["--cid-version=1"])?;
//! assert!(node.ipfs(&["cat", &cid.to_string()])?.starts_with(b"[package]"));
//!
//! let other = kubo.node().without_gateway().start()?;
//! other.connect(&node)?;                                        // reaches it, and no other node
//! other.ipfs(&["cat", &cid.to_string()])?;
//! assert!(other.bitswap_stat()?.blocks_received > 0);
//! # Ok(())
//! # }
//! ```
//!
//! * [`Kubo`]: the program, found by `WASI_IPFS_KUBO`, which `cargo xtask test --kubo` sets; [`kubo_or_not_run!`].
//! * [`Node`]: the settings of a node; [`Daemon`]: a running node; [`Rpc`]: a client of its RPC.
//! * [`Mount`]: its FUSE mount. [`ClusterService`], [`Cluster`]: IPFS Cluster in front of a node.
//! * [`proxy`]: stands between a node and a client under test, and misbehaves as scripted.
//!
//! Everything blocks: asynchronous tests must call it on a thread for blocking calls.
//!
//! Invariant: a process that is started here ends when the value that started it is dropped, or with the test's process
//! at the latest, even if that is killed (see `guarded`).

mod cluster;
mod daemon;
mod error;
mod guarded;
mod http;
mod kubo;
mod mount;
mod node;
mod ports;
pub mod proxy;
mod repo;
mod rpc;
mod settings;

pub use cluster::{Cluster, ClusterService};
pub use daemon::{BitswapStat, Daemon, Networking, PinKind, RepoStat};
pub use error::{Error, Result};
pub use kubo::Kubo;
pub use mount::Mount;
pub use node::{ApiListeners, Node};
pub use rpc::{Answer, Rpc};
