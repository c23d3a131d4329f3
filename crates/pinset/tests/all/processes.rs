//! Tests that start processes: to have a file system of their own, to be killed, to run out of descriptors, to run the
//! examples.
//!
//! They are a binary of their own because a child holds its parent's locks until it runs its program. The tests in
//! `main.rs` would notice that; these tests look at what their children do. They load the machine and depend on its
//! speed, so tests of one file run side by side, and tests of different files run one after the other
//! ([`test_support::turns`]).

mod budget;
mod crash;
mod disk_troubles;
mod examples;
mod pinsets;
mod several;
mod thousand;
