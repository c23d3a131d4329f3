//! A scripted HTTP/1.1 server on loopback, for tests: it answers as it is told, well or badly, byte by byte, and
//! keeps count of what it was asked.
//!
//! Written by hand over sockets, since a server library would not send what is wrong.
//!
//! * [`ToyServer`]: listens on a free port or on a Unix socket until it is dropped.
//! * [`Asked`]: a request, as it came.
//! * [`Reply`]: what is sent back, step by step.

mod reply;
mod request;
mod server;

pub use reply::{Reply, Step};
pub use request::Asked;
pub use server::ToyServer;
