//! The real command, as a shell calls it: its output, the stream that it is printed on, and its exit status.

mod archives;
mod bounds;
mod gateways;
mod generated;
mod get;
mod golden;
mod guests;
mod harness;
mod import;
mod json;
mod keep;
mod kubo;
mod kubo_import;
mod messages;
mod names;
mod programs;
mod read;
mod remote_archives;
mod routing;
mod run;
mod signals;
mod sources;
mod usage;
mod wrong_sources;
