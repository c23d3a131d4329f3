//! The writer: content in, blocks out, children first.

pub(crate) mod data;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod profile;
pub(crate) mod symlink;
pub(crate) mod writer;
