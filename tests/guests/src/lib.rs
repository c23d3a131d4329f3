//! Shared by the guests: how they take their arguments, how they report the result of a call, and the calls of POSIX
//! that `std` lacks on WASI.
//!
//! A guest checks its own results. A failed assertion is a message on standard error and the exit status 1, so a trap
//! is always the host's doing. Results that only the host can compare are printed on standard output.

pub mod arguments;
pub mod content;
pub mod outcome;
pub mod posix;
