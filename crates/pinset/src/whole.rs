//! Operations on whole files and DAGs: streaming a file's content, prefetching a DAG into staging, copying a tree out
//! to a host directory. The memory that they use does not grow with the content (I9).

pub(crate) mod materialize;
pub(crate) mod prefetch;
pub(crate) mod progress;
pub(crate) mod stream;
