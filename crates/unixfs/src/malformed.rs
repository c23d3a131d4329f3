//! The only error of the reader.
//!
//! Its text names the numbers that contradict each other, and stays short whatever the block holds.

/// A verified block is not a sound UnixFS node: its claims contradict each other or the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed UnixFS node: {reason}")]
pub struct Malformed {
    reason: String,
}

impl Malformed {
    /// Creates the error with this reason, which names the numbers that are wrong.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// The reason, with the numbers that are wrong. It is never longer than a line, whatever the block holds.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
