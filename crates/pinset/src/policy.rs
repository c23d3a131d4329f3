//! Which entries stay when there is no room for all: pure, events in, decisions out.

mod decision;
mod order;
pub mod replacement;
pub(crate) mod residents;
