//! Guests over real Kubo nodes.
//!
//! Nodes take much of a machine, and some of these tests measure how long a call takes. So the tests of one file run
//! side by side, and those of different files one after the other ([`test_support::turns`]).

mod bad_node;
mod collection;
mod directories;
mod guest;
mod hostile;
mod lazy;
mod repository;
