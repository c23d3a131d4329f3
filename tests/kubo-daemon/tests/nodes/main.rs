//! Private nodes and clusters, with the real programs. `proxy` needs no node, and measures how long an answer takes, so
//! it is a binary of its own.

mod cluster;
mod daemon;
mod mount;
