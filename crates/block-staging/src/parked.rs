//! A staged block without a handle, for tables of a great many blocks.

/// A block that was [parked](crate::Extent::park): its slot and its length.
///
/// It counts in the space of its directory, and is not freed when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Parked {
    pub(crate) slot: u32,
    pub(crate) len: u32,
}

impl Parked {
    /// The block's length, in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty block is an ordinary one"
    )]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}
