//! Reports of the progress of a long call.

use crate::{error::Error, read::listing::LeftOut};

/// A listener to the progress of a long call.
pub trait Progress: Send + Sync {
    /// Called with the number of blocks (or files, for a copy) and bytes that are done so far.
    fn advanced(&self, count: u64, bytes: u64);

    /// Called at most once, before [`advanced`](Self::advanced), with the total number of bytes, where it is known. For
    /// the blocks of a DAG it is the size that the root declares: its author's claim, which counts a block as often as
    /// it is linked.
    fn expects(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Called when a copy lacks something: the entry at `path`, or, if that ends in a slash, a part of that directory's
    /// entries. The copy goes on without it if the answer is `Ok`, and else fails with the error; so it does unless this
    /// is overridden. Whatever a copy as a whole cannot do without is not asked for here.
    ///
    /// # Errors
    /// The reason why the copy is to fail: `error`, or another.
    fn lacks(&self, path: &str, error: Error) -> Result<(), Error> {
        let _ = path;
        Err(error)
    }

    /// Called by a copy once for each directory in which it left out links that no path can name.
    fn left_out(&self, directory: &str, left_out: &LeftOut) {
        let _ = (directory, left_out);
    }
}

/// Ignores the progress.
impl Progress for () {
    fn advanced(&self, _count: u64, _bytes: u64) {}
}
