//! What the guests share: how they take their arguments, how they say what a call gave, and the calls of
//! POSIX that `std` lacks on WASI.
//!
//! A guest checks by itself: a failed assertion is a message on standard error and the exit status 1, so that
//! a trap is always the host's doing. What only the host can compare is printed on standard output.

pub mod arguments;
pub mod content;
pub mod outcome;
pub mod posix;
