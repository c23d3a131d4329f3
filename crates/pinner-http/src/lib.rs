//! HTTP for backends: kept-alive connections over TCP, TLS and Unix sockets, with deadlines, limits, retries and
//! trailers.
//!
//! What a backend that speaks to a node or a gateway needs and no HTTP client gives by itself: every call ends by a
//! deadline of its own, however slowly the server drips; no answer is larger than was asked for; an answer that was
//! cut short, or whose trailer says that it failed, is an error and never a short success; and an error says what
//! the caller can do about it.
//!
//! It is about HTTP alone: which paths there are, and what an answer means, is the backends' business. HTTP/1.1
//! only, over connections that are kept: one connection serves one call at a time, so that a call which is given up
//! closes one connection and disturbs no other.
//!
//! # The way of one call
//!
//! 1. [`Endpoint`]: where the server is, from a multiaddr, a URL or `host:port`.
//! 2. [`ClientBuilder`], with [`Auth`] and [`Redirects`]: a [`Client`], which holds the connections and the limit of
//!    calls in flight.
//! 3. [`Request`]: what is asked for; it is sent, and sent again as [`RetryPolicy`] has it.
//! 4. [`Answer`]: the whole of a body, up to a limit, by one absolute deadline; or
//!    [`Streamed`]: bytes or lines as they come, with a deadline for each step forward.
//! 5. [`HttpError`]: what went wrong, and [`HttpError::into_pinner`], the one place where it becomes a
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

mod answer;
mod auth;
mod body;
mod client;
mod endpoint;
mod error;
mod redirect;
mod request;
mod retry;
mod stream;

pub use answer::Answer;
pub use auth::Auth;
pub use client::{Client, ClientBuilder};
pub use endpoint::{Endpoint, ParseEndpointError};
pub use error::{HttpError, StatusError, Waiting};
/// The names and values of headers, and status codes.
pub use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
pub use redirect::Redirects;
pub use request::Request;
pub use retry::RetryPolicy;
pub use stream::Streamed;
