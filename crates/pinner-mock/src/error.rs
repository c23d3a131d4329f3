//! The errors of a test's calls on the node, and the reasons why a collection fails.

use cid::Cid;

/// Why the node could not do what the test asked for without the trait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// The bytes are not those of the CID.
    #[error("the bytes do not hash to {cid}; use put_unchecked to store a lie")]
    WrongBytes {
        /// The CID that the bytes were to be stored under.
        cid: Cid,
    },
    /// The node does not know the CID's hash function.
    #[error("{cid} cannot be checked: unknown hash function {code:#x}; use put_unchecked")]
    UnknownHash {
        /// The CID.
        cid: Cid,
        /// The multihash code of its hash function.
        code: u64,
    },
    /// The node does not collect, by its capabilities.
    #[error("the node has no garbage collection; build it with capabilities that collect")]
    NoCollector,
    /// A collection failed on a block that a pin protects and a node does not accept. It removes nothing, and fails
    /// again until the pin is released. (A Kubo node fails likewise if its MFS leads to such a block.)
    #[error(
        "garbage cannot be collected: below the pinned {root}, block {block} {reason}; unpin that root"
    )]
    Poisoned {
        /// The pinned root.
        root: Cid,
        /// The block that stops it.
        block: Cid,
        /// The defect of the block.
        reason: String,
    },
    /// A collection failed because a recursively pinned DAG is not complete. It removes nothing.
    #[error(
        "garbage cannot be collected: {missing}, below the recursively pinned {root}, is missing; put it back, or unpin that root"
    )]
    Incomplete {
        /// The pinned root.
        root: Cid,
        /// The block that is not there.
        missing: Cid,
    },
}
