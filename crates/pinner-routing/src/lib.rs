//! Gateways that delegated routing finds, as a [`Pinner`](pinner_api::Pinner); and IPNS names, resolved by signed
//! records that are verified here.
//!
//! Nobody is trusted with content. A router says who provides a CID; the gateways that it names send blocks, which
//! whoever asked for them hashes; a record counts if its name's own key signed it. Somebody along the way can answer
//! nothing, and learns what is asked for.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use pinner_api::{BlockRequest, Names, Pinner};
//! use pinner_routing::{IpnsResolver, RoutedPinner, Routing};
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let routing = Routing::builder()
//!     .router("https://delegated-ipfs.dev".parse()?)
//!     .build()?;
//! let names = IpnsResolver::builder()
//!     .routing(routing.clone())
//!     .keep_in("/var/lib/site/ipns") // an older record than a known one is refused, after a restart too
//!     .build()?;
//! let pinner = RoutedPinner::builder(routing).names(names).build();
//!
//! let name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
//! let names = pinner.names().ok_or("it resolves names")?;
//! let root = names.resolve(name).await?.root;
//! let unverified = pinner.block(&BlockRequest::new(root)).await?.bytes;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of one block
//!
//! 1. [`RoutedPinner`] asks for the gateways of the root that led to the block, and for those of the block itself if
//!    these do not have it.
//! 2. [`Routing`] remembers them, or asks its routers, all at once. `router` has one router's answers, and `answer`
//!    reads them.
//! 3. `hosts` has a client and the memory of failures for each gateway. It connects to addresses of the internet alone
//!    ([`Addresses`]), checked at each connection.
//! 4. [`GatewayPinner`](pinner_gateway::GatewayPinner) asks the gateways.
//!
//! # The way of one name
//!
//! 1. [`IpnsResolver`] asks routers and gateways for the record, all at once.
//! 2. [`ipns`] verifies it: the key, the signature, the dates, and that it does not contradict itself.
//! 3. `kept` compares it with the newest that was ever seen.
//!
//! [`WithNames`] gives the resolver to a backend that has none, such as gateways that the host names.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod answer;
mod error;
mod hosts;
pub mod ipns;
mod kept;
mod pinner;
mod remembered;
mod resolver;
mod router;
mod routing;
mod with_names;

pub use error::RoutingError;
pub use pinner::{RoutedPinner, RoutedPinnerBuilder};
/// Addresses of servers, and which ones are asked.
pub use pinner_http::{Addresses, Endpoint};
pub use resolver::{IpnsResolver, IpnsResolverBuilder};
pub use routing::{Routing, RoutingBuilder};
pub use with_names::WithNames;
