//! Trustless IPFS gateways as a [`Pinner`](pinner_api::Pinner) without pins: several in order, with failover and
//! back-off.
//!
//! A trustless gateway (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>) hands out raw blocks, which
//! whoever asks verifies against their CIDs. So it is trusted with nothing but being there, and any number of them, of
//! whomever, are as good as one. Every Kubo node has one too, and it is the fastest way to the node's blocks.
//!
//! ```no_run
//! use std::time::Duration;
//! use pinner_api::{Origin, Pinner};
//! use pinner_gateway::GatewayPinner;
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let gateways = GatewayPinner::builder()
//!     .gateway("http://127.0.0.1:8080".parse()?)             // the node of this machine, if it is up
//!     .gateway("https://trustless-gateway.link".parse()?)    // else a public one
//!     .deadline(Duration::from_secs(20))
//!     .build()?;
//! let cid = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e".parse()?;
//! let unverified = gateways.block(&cid, &Origin::root(cid)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of one block
//!
//! 1. [`GatewayPinner`]: which gateway is asked, for how long, and which after it. One absolute deadline holds for
//!    all of it; a gateway that is not the last to be asked gets a share of what is left, so that one which hangs
//!    leaves time for the others.
//! 2. `rest`: a gateway that failed is passed over for a while, longer each time, and for as long as it asked for.
//! 3. [`Gateway`]: one request, `GET /ipfs/<CID>` for `application/vnd.ipld.raw`, and whether what comes back can be
//!    a block.
//! 4. [`GatewayError`]: why not.
//!
//! # Only raw blocks
//!
//! Gateways hand out whole DAGs and ranges of files as CARs too. Those save round trips, and cost more than they save:
//! a node writes each as one stream, block after block, where raw blocks side by side use all its cores and are
//! verified and staged as they come. Measured on Kubo 0.43.0 with 1 MiB leaves, in MB/s of one run each: blocks that
//! the node has, raw 365-415 (1 to 4 in flight), CAR whole 172, in ranges of 8 MiB 123-235; blocks of a node behind
//! it, raw 22, 89, 89, 100 (1, 4, 8, 16 in flight), CAR whole 38, in ranges 40 (one) and 76 (four at a time).
//! [`Pinner::blocks`](pinner_api::Pinner::blocks) is therefore raw requests side by side, as many as may be in
//! flight.

mod error;
mod gateway;
mod pinner;
mod rest;

pub use error::GatewayError;
pub use gateway::Gateway;
pub use pinner::{GatewayPinner, GatewayPinnerBuilder};
/// How gateways are named and asked.
pub use pinner_http::{Auth, Client, Endpoint, HttpError, Redirects, RetryPolicy};
