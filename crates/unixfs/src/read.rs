//! The reader: the meaning of a verified block, with a file for each kind of node.

pub(crate) mod data;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod pbnode;
pub(crate) mod shard;
