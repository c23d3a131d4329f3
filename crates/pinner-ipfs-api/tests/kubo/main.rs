//! Against a real Kubo: the conformance suite, on a node without a network and on one that another is connected to,
//! and what is this backend's own.
//!
//! * `nodes`: the daemons, lent to one case after another. `conformance`: the suite's fixture over them.
//! * `own`: what the suite does not ask.

mod conformance;
mod nodes;
mod own;
