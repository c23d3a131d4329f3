//! The reader's one error.
//!
//! Its text names the numbers that contradict each other, and stays short whatever the block holds.

/// A verified block that is not a sound UnixFS node: what it claims contradicts itself or the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no sound UnixFS node: {reason}")]
pub struct Malformed {
    reason: String,
}

impl Malformed {
    /// The error with this reason, which names the numbers that lie.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// What is wrong, with the numbers that lie; never longer than a line, whatever the block holds.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
