//! Mode and modification time, as UnixFS 1.5 keeps them.
//!
//! Source: <https://specs.ipfs.tech/unixfs/>, "Metadata".

/// A point in time, relative to the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Seconds since the epoch, rounded down; negative before it.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, less than 10^9.
    pub nanos: u32,
}
