//! A Kubo node as a [`Pinner`](pinner_api::Pinner): blocks through its gateway or its RPC, or from the files of its
//! repository, and pins that are counted by holder, unlike Kubo's own.
//!
//! ```no_run
//! use pinner_kubo::KuboPinner;
//!
//! # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
//! // The node that `ipfs` itself would talk to.
//! let node = KuboPinner::builder().connect().await?;
//! // Another one.
//! let node = KuboPinner::builder().address("http://192.0.2.1:5001".parse()?).connect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Connecting
//!
//! 1. `discover` finds the node by the files that its daemon leaves in the repository.
//! 2. `builder`: [`KuboBuilder`] holds the settings. `connect` asks for the version once, and so learns whether there
//!    are lazy pins. It fails with a [`KuboError`].
//! 3. `cluster` finds out whether IPFS Cluster's proxy answers, and describes what is different then.
//! 4. `gateway`: the node's own gateway, proven to be this node's before it is used ([`GatewayChoice`]).
//!
//! # The way of one call
//!
//! 1. `pinner`: [`KuboPinner`], which passes each call of the trait to one of these:
//!    * `blocks`: one block, from the repository's files if they are read, from the gateway while it works, else by
//!      `block/get`, at most twice. One absolute deadline covers all.
//!    * `recursive`: a pin of a wrapper of our own, one for each holder and root, complete when the node says so.
//!    * `lazy`: an entry in the node's own file system (MFS), for nodes from 0.43 on.
//!    * `listing`: both registries, read back. There is no other record of pins.
//!    * `names`: `/ipns/<name>`, resolved by the node.
//! 2. `rpc`: one call of Kubo's RPC, and the meaning of a refusal.
//!
//! The encodings written into a node, and the meaning of its words, are in the crate `kubo-protocol`. Connections,
//! deadlines, trailers and retries are in the crate `pinner-http`.
//!
//! # A repository without its node
//!
//! `repository`: [`RepositoryPinner`] reads blocks from the files of a repository, whether a daemon runs or not.
//! [`KuboBuilder::read_files`] does so in front of a node. Neither sees the node's denylists.
//!
//! # Trust
//!
//! The node is trusted with availability, with keeping pinned content, and with resolving names, but never with bytes.
//! Whoever can write to the node's pins or to its MFS can remove this library's pins. A repository is trusted with
//! availability alone: only regular files are read, no symbolic link below its directory of blocks is followed, and
//! nothing is written.
//!
//! # Traces on the node
//!
//! The backend leaves pins until they are released: recursive pins are pins of identity CIDs (`bafyqa…`), lazy pins are
//! entries below `/wasi-ipfs-pins` in MFS. It also leaves one small unpinned block, by which the node's gateway is
//! recognised.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod blocks;
mod builder;
mod cluster;
mod discover;
mod error;
mod gateway;
mod lazy;
mod listing;
mod names;
mod pinner;
mod recursive;
mod repository;
mod rpc;
mod turns;

pub use builder::{GatewayChoice, KuboBuilder};
pub use error::KuboError;
pub use kubo_protocol::Version;
pub use pinner::KuboPinner;
/// The address of a node, and the credentials for it.
pub use pinner_http::{Auth, Endpoint, ParseCertificatesError, certificates};
pub use repository::{RepositoryError, RepositoryPinner};
