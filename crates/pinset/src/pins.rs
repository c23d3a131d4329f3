//! Pins on the backend: made, kept, released, and recovered after a crash (I5).

mod ensure;
pub(crate) mod keeper;
pub(crate) mod lazy;
pub mod recovery;
mod state;
mod worker;
