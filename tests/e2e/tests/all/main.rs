//! Guests over mock nodes and CAR files: no Kubo is needed. `budget` and nothing else starts a process, to measure it.

mod access;
mod budget;
mod descriptor;
mod fixtures;
mod guests;
mod lazy;
mod names;
mod native_parity;
mod old_allocator;
mod ripgrep;
mod verified;
