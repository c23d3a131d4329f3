//! UnixFS and dag-pb as Kubo writes them, byte for byte: the only place that knows the encoding.
//!
//! Pure: values in, bytes out. Field order, absent against zero, and unpacked block sizes all show in the CID.
//! <https://specs.ipfs.tech/unixfs/>

use bytes::Bytes;
use ipld_dagpb::{PbLink, PbNode};
use prost::{Message, encoding::encoded_len_varint};

/// The Data message's types.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Directory = 1,
    File = 2,
    Symlink = 4,
    HamtShard = 5,
}

/// UnixFS's Data message.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Data {
    #[prost(int32, required, tag = "1")]
    pub(super) kind: i32,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) data: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) filesize: Option<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    pub(super) blocksizes: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) hash_type: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) fanout: Option<u64>,
    #[prost(uint32, optional, tag = "7")]
    pub(super) mode: Option<u32>,
    #[prost(message, optional, tag = "8")]
    pub(super) mtime: Option<Mtime>,
}

/// UnixFS's UnixTime message: whole seconds rounded down, and what is left of them.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Mtime {
    #[prost(int64, required, tag = "1")]
    seconds: i64,
    #[prost(fixed32, optional, tag = "2")]
    nanoseconds: Option<u32>,
}

/// What UnixFS 1.5 keeps of a file's metadata, where the options ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Permissions, setuid, setgid and sticky: 12 bits.
    pub(super) mode: Option<u32>,
    /// Seconds since the epoch, rounded down, and nanoseconds.
    pub(super) mtime: Option<(i64, u32)>,
}

impl Data {
    pub(super) fn new(kind: Type, attributes: Attributes) -> Self {
        Self {
            kind: kind as i32,
            mode: attributes.mode,
            mtime: attributes.mtime.map(|(seconds, nanoseconds)| Mtime {
                seconds,
                nanoseconds: (nanoseconds > 0).then_some(nanoseconds),
            }),
            ..Self::default()
        }
    }

    /// A dag-pb block of this and `links`, which are sorted by name.
    pub(super) fn into_block(self, links: Vec<PbLink>) -> Bytes {
        PbNode {
            links,
            data: Some(self.encode_to_vec().into()),
        }
        .into_bytes()
        .into()
    }

    /// How many bytes this takes in a dag-pb block.
    pub(super) fn size_in_block(&self) -> usize {
        field(self.encoded_len())
    }
}

/// How many bytes a link takes in a dag-pb block.
pub(super) fn link_size_in_block(name: &str, cid_length: usize, tsize: u64) -> usize {
    field(field(cid_length) + field(name.len()) + 1 + encoded_len_varint(tsize))
}

/// A length-delimited field with a tag of one byte.
fn field(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}
