//! What an embedder holds: the builder, the cache, and what can be seen of it.

pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod fix;
pub mod metrics;
pub(crate) mod stats;
