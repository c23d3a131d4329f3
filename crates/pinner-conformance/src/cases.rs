//! The cases, by topic. Each is an `async fn(Start) -> Outcome` and starts its own backend.

pub(crate) mod fixture;
pub(crate) mod keeping;
pub(crate) mod names;
pub(crate) mod pinning;
pub(crate) mod reading;
pub(crate) mod requests;
mod subject;
