//! Pins on the backend: they are made, kept and released, and recovered after a crash (I5).

pub(crate) mod ensure;
pub(crate) mod keeper;
pub(crate) mod lazy;
pub mod recovery;
mod worker;
