//! How far a long call has come.

/// Is told how far a long call has come.
pub trait Progress: Send + Sync {
    /// So many blocks (or, of a copy, files) and bytes so far.
    fn advanced(&self, count: u64, bytes: u64);
}

/// Tells nobody.
impl Progress for () {
    fn advanced(&self, _count: u64, _bytes: u64) {}
}
