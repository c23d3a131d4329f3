//! Guests over mock nodes and CAR files: no Kubo is needed. Only `budget` starts a process, in which it measures.

mod access;
mod budget;
mod coreutils;
mod descriptor;
mod differences;
mod fixtures;
mod go;
mod guests;
mod hoarding;
mod lazy;
mod matrix;
mod names;
mod native_parity;
mod preview3;
mod ripgrep;
mod sqlite;
mod suites;
mod trees;
mod verified;
