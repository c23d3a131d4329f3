//! The parts that all fuzz targets share: a bound on memory, and the initial seeds.
//!
//! A target is a binary in `targets/`: it takes bytes, and panics if a property does not hold. `cargo xtask fuzz`
//! builds and runs them.

pub mod memory;
pub mod seeds;
