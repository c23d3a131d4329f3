//! Code that the compiler must refuse. `cargo xtask tidy refused` passes only if it refuses each line marked here.

use crate::flight::Driven;

/// The proof of driven work is made in `flight` alone (I11).
fn proves_what_is_not_so() -> Driven {
    Driven(()) // refused: E0423
}
