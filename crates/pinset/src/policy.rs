//! The replacement policy: which entries stay when there is no room for all. It is pure: events in, decisions out.

mod decision;
mod order;
pub mod replacement;
pub(crate) mod residents;
