//! From a target to its verified block, which comes from the cache or is fetched once for all who wait for it.
//!
//! Knows nothing of paths, sessions or files.

pub(crate) mod counters;
pub(crate) mod engine;
pub(crate) mod reverify;
