//! What the fuzz targets share: a bound on memory, and the seeds that each begins with.
//!
//! A target is a binary of `targets/`: bytes in, and a panic where a property does not hold. `cargo xtask fuzz` builds
//! and runs them.

pub mod memory;
pub mod seeds;
