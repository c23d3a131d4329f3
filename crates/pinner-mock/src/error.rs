//! What a test can do wrong with the node, and why a collection fails.

use cid::Cid;

/// Why the node could not do what the test asked behind the trait's back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// The bytes are not those of the CID.
    #[error("the bytes do not hash to {cid}: to store a lie, use put_unchecked")]
    WrongBytes {
        /// The CID they were to be stored under.
        cid: Cid,
    },
    /// The CID's hash function is not known here.
    #[error("no hash function {code:#x} here to check {cid} with: use put_unchecked")]
    UnknownHash {
        /// The CID.
        cid: Cid,
        /// The multihash code of its function.
        code: u64,
    },
    /// The node does not collect, by its capabilities.
    #[error("the node has no garbage collection: build it with capabilities that collect")]
    NoCollector,
    /// A collection fails on a block that a pin protects and the node does not accept. It removes nothing, and
    /// fails again until the pin is taken out. (So a Kubo node does whose MFS leads to such a block.)
    #[error(
        "garbage cannot be collected: below the pinned {root}, block {block} {reason}: unpin that root"
    )]
    Poisoned {
        /// The pinned root.
        root: Cid,
        /// The block that stops it.
        block: Cid,
        /// What is wrong with it.
        reason: String,
    },
    /// A collection fails since a recursively pinned DAG is not complete. It removes nothing.
    #[error(
        "garbage cannot be collected: {missing}, below the recursively pinned {root}, is missing: put it back, or unpin that root"
    )]
    Incomplete {
        /// The pinned root.
        root: Cid,
        /// The block that is not there.
        missing: Cid,
    },
}
