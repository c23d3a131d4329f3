//! Verified blocks and decoded nodes that are here, and what stays when there is no room for all.
//!
//! Knows nothing of fetching, sessions or paths.

pub(crate) mod nodes;
pub(crate) mod persistent;
pub(crate) mod staged;
pub(crate) mod store;
