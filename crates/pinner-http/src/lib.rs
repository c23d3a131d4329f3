//! HTTP for backends: kept-alive connections over TCP, TLS and Unix sockets, with deadlines, limits, retries and
//! trailers.
//!
//! This crate has what a backend needs for a node or a gateway, and what no HTTP client has by itself. Every call
//! ends by its own deadline, however slowly the server drips. No answer is larger than was asked for. An answer that
//! was cut short, or whose trailer says that it failed, is an error and never a short success. An error says what the
//! caller can do about it.
//!
//! The crate is about HTTP alone: which paths there are, and what an answer means, is up to the backends. It speaks
//! HTTP/1.1 only, over connections that are kept. One connection serves one call at a time, so a call that is given
//! up closes one connection and disturbs no other.
//!
//! # The steps of a call
//!
//! 1. [`Endpoint`]: the server's address, from a multiaddr, a URL or `host:port`.
//! 2. [`ClientBuilder`], with [`Auth`], [`Redirects`] and [`Addresses`]: a [`Client`], which holds the connections and the limit on
//!    calls in flight.
//! 3. [`Request`]: one call, which is sent, and sent again according to the [`RetryPolicy`].
//! 4. [`Answer`]: a whole body, up to a limit, by one absolute deadline; or [`Streamed`]: bytes or lines as they
//!    come, with a deadline for each step forward.
//! 5. [`HttpError`]: why a call failed, and [`HttpError::into_pinner`], the one place where it becomes a
//!    [`PinnerError`](pinner_api::PinnerError).
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//! use pinner_http::{Client, Endpoint};
//! use tokio::time::Instant;
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint: Endpoint = "/ip4/127.0.0.1/tcp/5001".parse()?;
//! let client = Client::builder(endpoint).in_flight(8).build()?;
//! let answer = client
//!     .post("api/v0/version")
//!     .query("number", "true")
//!     .whole(64 * 1024, Instant::now() + Duration::from_secs(10))
//!     .await?;
//! println!("{}", String::from_utf8_lossy(&answer.body));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod address;
mod answer;
mod auth;
mod body;
mod certificates;
mod client;
mod endpoint;
mod error;
mod progress;
mod redirect;
mod request;
mod resolver;
mod retry;
mod stream;

pub use address::Addresses;
pub use answer::Answer;
pub use auth::Auth;
pub use certificates::{ParseCertificatesError, certificates};
pub use client::{Client, ClientBuilder};
pub use endpoint::{Endpoint, ParseEndpointError};
pub use error::{HttpError, StatusError, Waiting};
/// The names and values of headers, and status codes.
pub use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
pub use progress::Progress;
pub use redirect::Redirects;
pub use request::Request;
pub use retry::RetryPolicy;
pub use stream::Streamed;
