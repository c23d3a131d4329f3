//! Private nodes and clusters, with the real programs. `proxy`, which measures how long an answer takes and needs no
//! node, is a binary of its own.

mod cluster;
mod daemon;
mod mount;
