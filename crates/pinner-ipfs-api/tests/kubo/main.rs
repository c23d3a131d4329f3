//! Tests against a real Kubo: the conformance suite, on a node without a network and on a node with one neighbour, and
//! tests of this backend's own behaviour.
//!
//! * `nodes`: the daemons, lent to one case after another. `conformance`: the suite's fixture over them.
//! * `own`: behaviour that the suite does not test.

mod conformance;
mod nodes;
mod own;
