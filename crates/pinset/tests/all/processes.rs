//! Tests that start processes: to have a file system of their own, to be killed, to run out of descriptors.
//!
//! They are a binary of their own because a child holds its parent's locks until it runs its program, which the tests
//! in `main.rs` would notice; these look at what their children do. They load the machine and depend on its speed, so
//! those of one file run side by side, and those of different files one after the other ([`test_support::turns`]).

mod budget;
mod crash;
mod disk_troubles;
mod pinsets;
mod several;
mod thousand;
