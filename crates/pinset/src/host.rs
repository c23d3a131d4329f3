//! What an embedder holds: the builder, the cache, and what can be seen of it.

pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod fix;
#[cfg(feature = "metrics")]
pub mod metrics;
pub(crate) mod stats;
