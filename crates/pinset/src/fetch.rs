//! From a target to its verified block, which comes from the cache or is fetched once for all who wait for it.
//!
//! Knows nothing of paths, sessions or files.

pub(crate) mod ask;
pub(crate) mod counters;
mod decode;
pub(crate) mod engine;
mod fetching;
mod flying;
mod pool;
pub(crate) mod queue;
mod reverify;
