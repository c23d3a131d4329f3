//! Trustless IPFS gateways as a [`Pinner`](pinner_api::Pinner) without pins: several in order, with failover and
//! back-off.
//!
//! A trustless gateway (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>) serves raw blocks, which the
//! client verifies against their CIDs. So a gateway is trusted with availability alone, and any number of gateways,
//! whoever runs them, can stand in for each other. Every Kubo node has one too, and it is the fastest way to the
//! node's blocks.
//!
//! ```no_run
//! use std::time::Duration;
//! use pinner_api::{BlockRequest, Pinner};
//! use pinner_gateway::GatewayPinner;
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let gateways = GatewayPinner::builder()
//!     .gateway("http://127.0.0.1:8080".parse()?)             // the node of this machine, if it is up
//!     .gateway("https://trustless-gateway.link".parse()?)    // else a public one
//!     .deadline(Duration::from_secs(20))
//!     .build()?;
//! let cid = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e".parse()?;
//! let unverified = gateways.block(&BlockRequest::new(cid)).await?.bytes;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of one block
//!
//! 1. [`GatewayPinner`] decides which gateway is asked, which one after it, and which one beside it when it takes
//!    long. One absolute deadline, the request's or that of [`GatewayPinnerBuilder::deadline`] if it comes first, covers
//!    all of them.
//! 2. `ranked`: a gateway that failed or sent wrong bytes rests for a while, longer each time, and for as long as it
//!    asked for.
//! 3. [`Gateway`] sends one request, `GET /ipfs/<CID>` for `application/vnd.ipld.raw`, and checks whether the answer
//!    can be a block.
//! 4. [`GatewayError`] says why it cannot.
//!
//! # Only raw blocks
//!
//! Gateways also serve whole DAGs and ranges of files as CARs. CARs save round trips but cost more than they save: a
//! node writes each CAR as one stream, block after block. Concurrent requests for raw blocks use all its cores, and
//! each block is verified and staged as it arrives. Measured on Kubo 0.43.0 with 1 MiB leaves, in MB/s, one run each:
//!
//! * Blocks that the node has: raw 365-415 (1 to 4 in flight), whole CAR 172, CARs of 8 MiB ranges 123-235.
//! * Blocks of a node behind it: raw 22, 89, 89, 100 (1, 4, 8, 16 in flight), whole CAR 38, CARs of ranges 40 (one at
//!   a time) and 76 (four at a time).
//!
//! The backend therefore sends raw requests, and serves well as many at once as the limit in flight.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod error;
mod gateway;
mod pinner;
mod ranked;

pub use error::GatewayError;
pub use gateway::Gateway;
pub use pinner::{GatewayPinner, GatewayPinnerBuilder};
/// Addresses of gateways, and how they are asked.
pub use pinner_http::{
    Auth, Client, Endpoint, HttpError, ParseCertificatesError, ParseEndpointError, Redirects,
    RetryPolicy, certificates,
};
pub use ranked::SharedGateway;
