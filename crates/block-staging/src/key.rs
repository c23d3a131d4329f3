//! The key of a staged block.

/// A block's multihash. The codec is left out, so a block that two CIDs name under different codecs is staged once.
pub type Key = multihash::Multihash<64>;

/// The hasher of maps with such keys: fast, since keys are digests already, and with a random state, since guests
/// choose the keys.
#[cfg(not(shuttle))]
pub type KeyHash = foldhash::quality::RandomState;

/// How keys are hashed in a model: always alike, so that a schedule can be run again.
#[cfg(shuttle)]
pub type KeyHash = foldhash::quality::FixedState;
