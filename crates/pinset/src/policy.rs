//! The replacement policy: which entries stay when there is no room for all. It is pure: events in, decisions out.

pub(crate) mod chains;
mod decision;
mod index;
mod order;
pub mod replacement;
pub(crate) mod residents;
