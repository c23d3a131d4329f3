//! A scripted HTTP/1.1 server on loopback, for tests. It answers as scripted, correctly or not, byte by byte, and
//! counts the requests.
//!
//! It is written by hand over sockets, since a server library would not send wrong answers.
//!
//! * [`ToyServer`]: listens on a free port or on a Unix socket until it is dropped.
//! * [`Asked`]: a request, as it arrived.
//! * [`Reply`]: an answer, step by step.
//! * [`hostile`]: answers of a server that means harm.

mod hostile;
mod reply;
mod request;
mod server;

pub use hostile::hostile;
pub use reply::{Reply, Step};
pub use request::Asked;
pub use server::ToyServer;
