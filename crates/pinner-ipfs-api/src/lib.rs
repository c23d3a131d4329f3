//! A Kubo node as a [`Pinner`](pinner_api::Pinner), through a client of `ipfs-api-backend-hyper` that the host already
//! has.
//!
//! **Prefer `pinner-kubo` if you can choose.** This crate is for programs that already have an `IpfsClient` and do not
//! want a second client, address and set of credentials beside it. `pinner-kubo` does everything that this crate does,
//! keeps its connections, reads from the node's gateway, and uses a maintained HTTP client.
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
//! # Supported operations
//!
//! This backend fetches blocks by `block/get`, makes counted recursive pins and counted lazy pins, lists both, and
//! resolves mutable names. Lazy pins need Kubo 0.43; on older nodes
//! [`capabilities`](pinner_api::Pinner::capabilities) denies them. Pins are encoded by [`kubo_protocol`], so every
//! other backend that uses it lists and releases pins made here.
//!
//! # Limits of the client, and their consequences
//!
//! * **It drops HTTP's trailers**, in which Kubo reports that an answer with status 200 broke off. So the status alone
//!   proves nothing: a block has to hash to its CID, a recursive pin is made when the node has named it, a listing of
//!   pins has to be one complete JSON document, and any other answer that ends too early is an error. The node's reason
//!   is lost then: a recursive pin that fails half-way is `Unavailable`, without the reason.
//! * **It keeps neither the status nor the headers of a refused call.** Refusals are told apart by Kubo's words. A
//!   `Retry-After` is not known. A proxy's error page is `Unavailable` unless its text contains the status.
//! * **It reads the whole body of a refused call**, however long it is; only the deadline bounds it.
//! * **It has no deadlines.** They are set here: see [`Builder`].
//! * **It makes a connection for each call.** [`Builder::in_flight`] bounds how many there are at once. A cold
//!   sequential read is slower than over kept connections.
//! * **It speaks `http://` to `host:port`**, and `https://` with one of its TLS features, but supports no unix sockets,
//!   bearer tokens or proxies. It does not use the node's gateway, which serves blocks faster than its RPC.
//! * **It does not use the origin** ([`Origin`](pinner_api::Origin)), the hint where to look. Each block is looked for
//!   by itself, and a block that only its root's provider has may not be found.
//! * **It does not support IPFS Cluster's proxy.** The proxy's `pin/add` answers before the content is there, and lazy
//!   pins would be on only one of the cluster's nodes.
//!
//! # Dependencies
//!
//! The client's last release is from 2022; it is passively maintained. It depends on `hyper` 0.14, `h2` 0.3 and `http`
//! 0.2, which have been succeeded by 1, 0.4 and 1, and on `core2`, of which every release is yanked. A program that
//! depends on this crate resolves only with a patch in its own root manifest. For the same reason, this crate is not
//! published:
//!
//! ```toml
//! [patch.crates-io]
//! core2 = { path = "…" } # re-exports `std::io` and `std::error`: crates/core2 of this workspace
//! ```
//!
//! Known advisories, and how they affect this crate:
//!
//! * [RUSTSEC-2021-0078](https://rustsec.org/advisories/RUSTSEC-2021-0078) and
//!   [-0079](https://rustsec.org/advisories/RUSTSEC-2021-0079), `hyper` before 0.14.10: fixed in 0.14.32, which this
//!   crate requires.
//! * [RUSTSEC-2023-0034](https://rustsec.org/advisories/RUSTSEC-2023-0034),
//!   [RUSTSEC-2024-0003](https://rustsec.org/advisories/RUSTSEC-2024-0003) and
//!   [-0332](https://rustsec.org/advisories/RUSTSEC-2024-0332), `h2` before 0.3.26: flooding of servers. 0.3.27
//!   resolves now; the client itself would accept an older one from an old lock file.
//! * [RUSTSEC-2024-0370](https://rustsec.org/advisories/RUSTSEC-2024-0370): `proc-macro-error`, which is unmaintained,
//!   runs at compile time.
//!
//! Vulnerabilities found in the future may never be fixed. The client is exposed only to the node that it calls. If
//! that node is not yours, use `pinner-kubo`.
//!
//! This crate enables the client's feature `with-send-sync`, and so for the whole program: the client's futures and
//! streams then have to be `Send`.
//!
//! # Modules
//!
//! * `builder`: the limits, and the one call beforehand. `pinner`: the trait's methods.
//! * `recursive`, `lazy`: the two kinds of counted pins. `known`: which of them were made here.
//! * `names`: mutable names.
//! * `rpc`, `request`: one call, with its deadline and its limits. `lines`, `keys`: answers as they come in.
//! * `error`: errors and their conversion.

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
