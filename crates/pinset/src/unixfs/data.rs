//! The UnixFS message inside a dag-pb node's data.
//!
//! Owns its fields and their ranges. Knows nothing of links: that the two agree is checked by the kind of node
//! they make. Invariant: the inline span lies inside the block.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use super::Malformed;

/// The bits of a mode that mean something; the others are reserved.
const MODE_BITS: u32 = 0o7777;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// `UnixFS.Data`. The type is a plain number here, so that an unknown one is told apart from a missing one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PbData {
    #[prost(uint64, optional, tag = "1")]
    pub(super) kind: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) data: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) filesize: Option<u64>,
    // Unpacked as everybody writes it; decoding takes packed ones too.
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    pub(super) blocksizes: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) hash_type: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) fanout: Option<u64>,
    #[prost(uint32, optional, tag = "7")]
    pub(super) mode: Option<u32>,
    #[prost(message, optional, tag = "8")]
    pub(super) mtime: Option<PbTime>,
}

/// `UnixFS.UnixTime`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PbTime {
    #[prost(int64, optional, tag = "1")]
    pub(super) seconds: Option<i64>,
    #[prost(fixed32, optional, tag = "2")]
    pub(super) nanos: Option<u32>,
}

/// A point in time, relative to the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Seconds since the epoch; negative before it.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, less than 10^9.
    pub nanos: u32,
}

/// The kinds of node. Raw (0) and File (2) are the same to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Shard,
    Symlink,
}

/// What a node's data says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The span in the block of the message's own `Data`: file bytes, a bit field, a symlink's target. Empty
    /// spans are `0..0`.
    pub(super) inline: Range<u32>,
    pub(super) filesize: Option<u64>,
    pub(super) blocksizes: Vec<u64>,
    pub(super) hash_type: Option<u64>,
    pub(super) fanout: Option<u64>,
    pub(super) mode: Option<u32>,
    pub(super) mtime: Option<Mtime>,
}

impl Head {
    /// Reads the message that spans `data` in `block`.
    pub(super) fn parse(block: &Bytes, data: Range<usize>) -> Result<Self, Malformed> {
        let len = data.len();
        let message = PbData::decode(block.slice(data)).map_err(|error| {
            Malformed::new(format!(
                "the UnixFS data of {len} bytes does not decode: {error}"
            ))
        })?;
        let kind = match message.kind {
            Some(0 | 2) => Kind::File,
            Some(1) => Kind::Directory,
            Some(4) => Kind::Symlink,
            Some(5) => Kind::Shard,
            Some(3) => {
                return Err(Malformed::new(
                    "UnixFS type 3 (metadata) is no file or directory",
                ));
            }
            Some(other) => return Err(Malformed::new(format!("unknown UnixFS type {other}"))),
            None => return Err(Malformed::new("UnixFS data without a type")),
        };
        Ok(Self {
            kind,
            inline: match &message.data {
                Some(inline) if !inline.is_empty() => span_of(block, inline)?,
                _ => 0..0,
            },
            filesize: message.filesize,
            blocksizes: message.blocksizes,
            hash_type: message.hash_type,
            fanout: message.fanout,
            mode: message.mode.map(|mode| mode & MODE_BITS),
            mtime: message.mtime.and_then(mtime),
        })
    }
}

/// A time out of range is no time, as in other readers; the content is none the worse for it.
fn mtime(time: PbTime) -> Option<Mtime> {
    let nanos = time.nanos.unwrap_or(0);
    Some(Mtime {
        seconds: time.seconds?,
        nanos: (nanos < NANOS_PER_SECOND).then_some(nanos)?,
    })
}

/// Where `part`, which prost cut out of `block` without copying, lies in it.
fn span_of(block: &Bytes, part: &Bytes) -> Result<Range<u32>, Malformed> {
    (part.as_ptr() as usize)
        .checked_sub(block.as_ptr() as usize)
        .filter(|start| start + part.len() <= block.len())
        .and_then(|start| Some(u32::try_from(start).ok()?..u32::try_from(start + part.len()).ok()?))
        .ok_or_else(|| Malformed::new("inline data outside its block"))
}
