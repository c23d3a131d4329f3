//! The decisions of a pinset, pure: events in, decisions out, without I/O, clock, lock or runtime.
//!
//! * [`replacement`]: which entries stay when there is no room for all. [`residents`]: values under such a policy.
//! * [`register`]: what is to be done about each pin on a backend.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod chains;
mod decision;
mod index;
mod order;
pub mod register;
pub mod replacement;
pub mod residents;

pub use chains::Slot;
