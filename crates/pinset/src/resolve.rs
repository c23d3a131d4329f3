//! From a path to the place that it names, and from the place to an open handle.

pub(crate) mod open;
pub(crate) mod walk;
