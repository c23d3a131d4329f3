//! Reports of the progress of a long call.

/// A listener to the progress of a long call.
pub trait Progress: Send + Sync {
    /// Called with the number of blocks (or files, for a copy) and bytes that are done so far.
    fn advanced(&self, count: u64, bytes: u64);
}

/// Ignores the progress.
impl Progress for () {
    fn advanced(&self, _count: u64, _bytes: u64) {}
}
