//! The verified blocks and decoded nodes that are here. The replacement policy decides which stay when there is no room
//! for all.
//!
//! Knows nothing of fetching, sessions or paths.

pub(crate) mod blocks;
mod most_blocks;
pub(crate) mod nodes;
mod off_thread;
pub(crate) mod persistent;
mod short_key;
pub(crate) mod staged;
pub(crate) mod store;
mod writing;
