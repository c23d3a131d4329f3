//! From a target to its verified block: out of the cache, or fetched once for everyone who waits.
//!
//! Knows nothing of paths, sessions or files.

pub(crate) mod counters;
pub(crate) mod engine;
pub(crate) mod reverify;
