//! Pins on the backend: made, kept, released, and recovered after a crash (I5).

pub(crate) mod ensure;
pub(crate) mod keeper;
pub mod recovery;
pub(crate) mod worker;
