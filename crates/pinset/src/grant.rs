//! The grants of a session: which roots it may ask for, and how much it may use.

pub(crate) mod access;
pub(crate) mod allowance;
mod distinct;
