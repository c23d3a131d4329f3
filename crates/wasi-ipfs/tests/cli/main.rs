//! The real command, as a shell would call it: what it prints, where, and the status it ends with.

mod get;
mod golden;
mod guests;
mod harness;
mod import;
mod keep;
mod kubo;
mod kubo_import;
mod read;
mod run;
mod signals;
mod sources;
mod usage;
