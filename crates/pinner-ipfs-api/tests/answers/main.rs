//! Answers that no correct node sends, or that the client cannot read completely: cut, empty, garbled, late, endless.
//!
//! Some of these tests measure how long a call takes, while the nodes of `kubo` take much of a machine, so these are
//! two binaries.
//!
//! * `server`: sends the answers, byte by byte. `blocks`, `pins`, `others`: their results.

mod blocks;
mod others;
mod pins;
mod server;
