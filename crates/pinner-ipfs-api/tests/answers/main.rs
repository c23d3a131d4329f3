//! Answers that no sound node gives, or that the client cannot read whole: cut, empty, garbled, late, endless.
//!
//! * `server`: what sends them, byte by byte. `blocks`, `pins`, `others`: what becomes of them.

mod blocks;
mod others;
mod pins;
mod server;
