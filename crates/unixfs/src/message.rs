//! The protobuf messages, declared once for reader and writer.
//!
//! Sources: <https://specs.ipfs.tech/unixfs/> for `Data` and `UnixTime`,
//! <https://ipld.io/specs/codecs/dag-pb/spec/> for `PBLink`. Does not know what the fields mean together.
//!
//! `PBNode` has no declaration: its links are written before its data, against the order of their field numbers, and
//! the reader walks a node in place.

use bytes::Bytes;
use prost::Message;

/// The key of `PBNode.Data`: field 1, length-delimited.
pub(crate) const DATA_KEY: u8 = 0x0a;
/// The key of `PBNode.Links`: field 2, length-delimited.
pub(crate) const LINK_KEY: u8 = 0x12;

/// `UnixFS.Data`. The type is a plain number here, so that an unknown type is distinct from a missing one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbData {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) kind: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) data: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) filesize: Option<u64>,
    // Unpacked, as every writer encodes it; decoding accepts packed ones too.
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    pub(crate) blocksizes: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(crate) hash_type: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) fanout: Option<u64>,
    #[prost(uint32, optional, tag = "7")]
    pub(crate) mode: Option<u32>,
    #[prost(message, optional, tag = "8")]
    pub(crate) mtime: Option<PbTime>,
}

/// `UnixFS.UnixTime`: whole seconds, rounded down, and the nanoseconds after them.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct PbTime {
    #[prost(int64, optional, tag = "1")]
    pub(crate) seconds: Option<i64>,
    #[prost(fixed32, optional, tag = "2")]
    pub(crate) nanos: Option<u32>,
}

/// `PBLink`. The name is bytes, so that a name that is not UTF-8 makes one link unusable, not the node.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbLink {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) hash: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) name: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) tsize: Option<u64>,
}

/// The end of a `PBLink`, behind its CID and name: the part that prost decodes once those have been found.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct PbLinkTail {
    #[prost(uint64, optional, tag = "3")]
    pub(crate) tsize: Option<u64>,
}

/// `UnixFS.Data.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Raw = 0,
    Directory = 1,
    File = 2,
    Metadata = 3,
    Symlink = 4,
    HamtShard = 5,
}

impl Type {
    const ALL: [Self; 6] = [
        Self::Raw,
        Self::Directory,
        Self::File,
        Self::Metadata,
        Self::Symlink,
        Self::HamtShard,
    ];

    /// The type of this number; `None` for a number that the format does not define.
    pub(crate) fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == number)
    }
}
