//! Mode and modification time, as UnixFS 1.5 stores them.
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

/// The metadata that a writer stores beside a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, setuid, setgid and sticky: 12 bits.
    pub mode: Option<u32>,
    /// The time of the last change.
    pub mtime: Option<Mtime>,
}
