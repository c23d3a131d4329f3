//! What a block is kept under.

/// A block's multihash: one block that two codecs name is one block.
pub type Key = multihash::Multihash<64>;

/// How keys are hashed: fast, since they are digests already, and with a random state, since guests choose them.
#[cfg(not(shuttle))]
pub type KeyHash = foldhash::quality::RandomState;

/// How keys are hashed in a model: always alike, so that a schedule can be run again.
#[cfg(shuttle)]
pub type KeyHash = foldhash::quality::FixedState;
