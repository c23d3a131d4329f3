//! Whole things: a file's content as a stream, a DAG into staging, a tree copied out to a host directory. All in
//! memory that does not grow with the content (I9).

pub(crate) mod materialize;
pub(crate) mod prefetch;
pub(crate) mod progress;
pub(crate) mod stream;
