//! Open files and directories, and the way from an offset to the block that holds it.

pub(crate) mod blocking;
pub(crate) mod dir;
pub(crate) mod file;
pub(crate) mod filling;
pub(crate) mod kind;
pub(crate) mod latency;
pub(crate) mod listing;
pub(crate) mod node;
pub(crate) mod pace;
pub(crate) mod pending;
pub(crate) mod readahead;
pub(crate) mod reader;
pub(crate) mod tree;
