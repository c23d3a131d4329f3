//! The reader, one file for each kind of node: what a verified block means.

pub(crate) mod data;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod pbnode;
pub(crate) mod shard;
