//! Answers that no sound node gives, or that the client cannot read whole: cut, empty, garbled, late, endless.
//!
//! Some of these tests measure how long a call takes, and the nodes of `kubo` take much of a machine: they are two
//! binaries.
//!
//! * `server`: what sends them, byte by byte. `blocks`, `pins`, `others`: what becomes of them.

mod blocks;
mod others;
mod pins;
mod server;
