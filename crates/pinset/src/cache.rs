//! The verified blocks and decoded nodes that are here. The replacement policy decides which stay when there is no room
//! for all.
//!
//! Knows nothing of fetching, sessions or paths.

pub(crate) mod nodes;
pub(crate) mod persistent;
pub(crate) mod staged;
pub(crate) mod store;
