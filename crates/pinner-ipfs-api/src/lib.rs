//! A Kubo node as a [`Pinner`](pinner_api::Pinner), through a client of `ipfs-api-backend-hyper` that the host already
//! has.
//!
//! **Take `pinner-kubo` where you can choose.** This crate is for programs that hold an `IpfsClient` anyway, and want
//! no second client, address and set of credentials beside it. `pinner-kubo` has all that this one has, keeps its
//! connections, reads from the node's gateway, and stands on an HTTP client that is looked after.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use ipfs_api_backend_hyper::{IpfsClient, TryFromUri};
//! use pinner_api::Pinner;
//! use pinner_ipfs_api::IpfsApiPinner;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = IpfsClient::from_multiaddr_str("/ip4/127.0.0.1/tcp/5001")?;
//! let pinner: Arc<dyn Pinner> = Arc::new(IpfsApiPinner::connect(client).await?);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! Blocks by `block/get`. Counted recursive pins, counted lazy pins (Kubo 0.43 and newer; on older nodes
//! [`capabilities`](pinner_api::Pinner::capabilities) denies them), a listing of both, and mutable names. What stays on
//! the node is that of [`kubo_protocol`]: pins made here are listed and released by every other backend that uses it.
//!
//! # What the client cannot do, and what follows
//!
//! * **It drops HTTP's trailers**, in which Kubo says that an answer with status 200 broke off. So no answer is
//!   believed for its status: a block is one that hashes to its CID, a recursive pin is made when the node has named
//!   it, a listing of pins is one JSON document with an end, and whatever else ends too early is an error. The node's
//!   reason is lost then: a recursive pin that fails half-way is `Unavailable`, without why.
//! * **It keeps neither the status nor the headers of a refused call.** Refusals are told apart by Kubo's words; a
//!   `Retry-After` is not known; an error page of a proxy's is `Unavailable` unless its text holds the status.
//! * **It reads the body of a refused call whole**, however long it is; the deadline alone ends it.
//! * **It has no deadlines.** They are set here: see [`Builder`].
//! * **It makes a connection for each call.** [`Builder::in_flight`] bounds how many there are at once. A cold
//!   sequential read is slower than over kept connections.
//! * **It speaks `http://` to `host:port`**, and `https://` with one of its TLS features: no unix sockets, no bearer
//!   tokens, no proxies. The node's gateway, which gives blocks faster than its RPC does, is not used.
//! * **The hint of where to look** ([`Origin`](pinner_api::Origin)) is not used: each block is looked for by itself,
//!   and what only its root's provider has may not be found.
//! * **Not for IPFS Cluster's proxy.** Its `pin/add` answers before the content is there, and lazy pins would be on
//!   one of the cluster's nodes alone.
//!
//! # What it stands on
//!
//! The client is of 2022, passively maintained, and has had no release since. Below it are `hyper` 0.14, `h2` 0.3 and
//! `http` 0.2, whose successors (1, 0.4 and 1) are where the work goes on, and `core2`, of which every release is
//! yanked. A program that depends on this crate resolves only with a patch in its own root manifest, and for the same
//! reason this crate is not published:
//!
//! ```toml
//! [patch.crates-io]
//! core2 = { path = "…" } # re-exports `std::io` and `std::error`: crates/core2 of this workspace
//! ```
//!
//! Known advisories, and how this crate stands to them:
//!
//! * [RUSTSEC-2021-0078](https://rustsec.org/advisories/RUSTSEC-2021-0078) and
//!   [-0079](https://rustsec.org/advisories/RUSTSEC-2021-0079), `hyper` before 0.14.10: mended in the 0.14.32 that is
//!   asked for here.
//! * [RUSTSEC-2023-0034](https://rustsec.org/advisories/RUSTSEC-2023-0034),
//!   [RUSTSEC-2024-0003](https://rustsec.org/advisories/RUSTSEC-2024-0003) and
//!   [-0332](https://rustsec.org/advisories/RUSTSEC-2024-0332), `h2` before 0.3.26: servers that are flooded. What
//!   resolves now is 0.3.27; the client itself would take an older one from an old lock file.
//! * [RUSTSEC-2024-0370](https://rustsec.org/advisories/RUSTSEC-2024-0370): `proc-macro-error`, which nobody maintains,
//!   runs at compile time.
//!
//! What is found from now on may well not be mended. The client is exposed to the node that it calls, and to nobody
//! else; where that node is not yours, use `pinner-kubo`.
//!
//! The client's feature `with-send-sync` is switched on by this crate, and so for the whole program: its futures and
//! streams then have to be `Send`.
//!
//! # Modules
//!
//! * `builder`: the limits, and the one question beforehand. `pinner`: the trait's methods.
//! * `recursive`, `lazy`: the two kinds of counted pins; `known`: which of them were made here.
//! * `names`: what a name stands for.
//! * `rpc`, `request`: one call, with its deadline and its limits. `lines`, `keys`: answers as they come in.
//! * `error`: what went wrong.

mod builder;
mod error;
mod keys;
mod known;
mod lazy;
mod lines;
mod names;
mod pinner;
mod recursive;
mod request;
mod rpc;

pub use builder::Builder;
pub use error::ConnectError;
pub use pinner::IpfsApiPinner;
pub use rpc::Connector;
