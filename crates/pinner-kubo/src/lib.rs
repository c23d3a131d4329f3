//! A Kubo node as a [`Pinner`](pinner_api::Pinner): blocks through its gateway or its RPC, and pins that are counted
//! by holder, which Kubo's own are not.
//!
//! ```no_run
//! use pinner_kubo::KuboPinner;
//!
//! # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
//! // The node that `ipfs` itself would speak to.
//! let node = KuboPinner::builder().connect().await?;
//! // Another one.
//! let node = KuboPinner::builder().address("http://192.0.2.1:5001".parse()?).connect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Connecting
//!
//! 1. `discover`: where the node is, by the files that its daemon leaves in the repository.
//! 2. `builder`: [`KuboBuilder`] holds the settings; `connect` asks for the version, once, and so learns whether
//!    there are lazy pins. What can go wrong is a [`KuboError`].
//! 3. `cluster`: whether it is IPFS Cluster's proxy that answers, and what is different then.
//! 4. `gateway`: the node's own gateway, proven to be this node's before it is used ([`GatewayChoice`]).
//!
//! # The way of one call
//!
//! 1. `pinner`: [`KuboPinner`], which hands each call of the trait to one of these:
//!    * `blocks`: one block, by the gateway while it works, else by `block/get`; one absolute deadline over both.
//!    * `recursive`: a pin of a wrapper of our own, one for each holder and root, complete when the node says so.
//!    * `lazy`: an entry in the node's own file system (MFS), for nodes from 0.43 on.
//!    * `listing`: both registries, read back. There is no other record of pins.
//!    * `names`: `/ipns/<name>`, by the node's word.
//! 2. `rpc`: one call of Kubo's RPC, and what a refusal of its means.
//!
//! What is written into a node, and how its words are understood, is the crate `kubo-protocol`; connections,
//! deadlines, trailers and retries are the crate `pinner-http`.
//!
//! # What is trusted
//!
//! The node is trusted with availability, with keeping what is pinned, and with what a name stands for; never with
//! bytes. Whoever can write to the node's pins or to its MFS can remove pins of this library.
//!
//! # What it leaves on the node
//!
//! Pins, until they are released: recursive ones are pins of identity CIDs (`bafyqa…`), lazy ones are entries below
//! `/wasi-ipfs-pins` in MFS. And one small block, unpinned, by which the node's gateway is recognised.

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
mod rpc;
mod turns;

pub use builder::{GatewayChoice, KuboBuilder};
pub use error::KuboError;
pub use kubo_protocol::Version;
pub use pinner::KuboPinner;
/// Where a node is, and by which credentials it is asked.
pub use pinner_http::{Auth, Endpoint};
