//! The embedder's interface: the builder, the cache, and its statistics.

pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod fix;
#[cfg(feature = "metrics")]
pub mod metrics;
pub(crate) mod stats;
