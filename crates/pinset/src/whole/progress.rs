//! Reports of the progress of a long call.

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
}

/// Ignores the progress.
impl Progress for () {
    fn advanced(&self, _count: u64, _bytes: u64) {}
}
