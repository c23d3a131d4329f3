//! Paths and names as text, and the places that they name.
//!
//! Nothing here fetches.

pub(crate) mod fixed_name;
pub(crate) mod ipfs_path;
pub(crate) mod name;
pub(crate) mod place;
pub(crate) mod root_cid;
pub(crate) mod walked;
