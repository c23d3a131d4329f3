//! What a session is granted: which roots, and how much of everything.

pub(crate) mod access;
pub(crate) mod allowance;
