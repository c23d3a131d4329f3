//! One file for each subcommand: its flags, its `--help`, and its implementation.

pub(crate) mod cache;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod pins;
pub(crate) mod prefetch;
pub(crate) mod run;
pub(crate) mod stat;
