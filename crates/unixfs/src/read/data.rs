//! The UnixFS message inside a dag-pb node's data.
//!
//! Owns its fields and their ranges. Knows nothing of links: each kind of node checks that its links and its data
//! agree. Invariant: the inline span lies inside the block.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use crate::{
    attributes::Mtime,
    malformed::Malformed,
    message::{PbData, PbTime, Type},
};

/// The bits of a mode that have a meaning; the others are reserved.
const MODE_BITS: u32 = 0o7777;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// The kinds of node. Raw (0) and File (2) are the same to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, or a part of one.
    File,
    /// A directory in one block.
    Directory,
    /// A directory spread over many blocks, or one shard of it.
    Shard,
    /// A symbolic link.
    Symlink,
}

/// The decoded data of a node.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// The span in the block of the message's own `Data`: file bytes, a bit field or a symlink's target. An empty
    /// span is `0..0`.
    pub(crate) inline: Range<u32>,
    pub(crate) filesize: Option<u64>,
    pub(crate) blocksizes: Vec<u64>,
    pub(crate) hash_type: Option<u64>,
    pub(crate) fanout: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) mtime: Option<Mtime>,
}

impl Head {
    /// Reads the message that spans `data` in `block`.
    pub(crate) fn parse(block: &Bytes, data: Range<usize>) -> Result<Self, Malformed> {
        let len = data.len();
        let message = PbData::decode(block.slice(data)).map_err(|error| {
            Malformed::new(format!(
                "the UnixFS data of {len} bytes does not decode: {error}"
            ))
        })?;
        let number = message
            .kind
            .ok_or_else(|| Malformed::new("UnixFS data without a type"))?;
        let kind = match Type::of(number) {
            Some(Type::Raw | Type::File) => Kind::File,
            Some(Type::Directory) => Kind::Directory,
            Some(Type::Symlink) => Kind::Symlink,
            Some(Type::HamtShard) => Kind::Shard,
            Some(Type::Metadata) => {
                return Err(Malformed::new(
                    "UnixFS type 3 (metadata) is not a file or directory",
                ));
            }
            None => return Err(Malformed::new(format!("unknown UnixFS type {number}"))),
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

/// The modification time; `None` if it is out of range, as in other readers. The node's content stays readable.
fn mtime(time: PbTime) -> Option<Mtime> {
    let nanos = time.nanos.unwrap_or(0);
    Some(Mtime {
        seconds: time.seconds?,
        nanos: (nanos < NANOS_PER_SECOND).then_some(nanos)?,
    })
}

/// The span in `block` of `part`, which prost cut out of it without copying.
fn span_of(block: &Bytes, part: &Bytes) -> Result<Range<u32>, Malformed> {
    (part.as_ptr() as usize)
        .checked_sub(block.as_ptr() as usize)
        .filter(|start| start + part.len() <= block.len())
        .and_then(|start| Some(u32::try_from(start).ok()?..u32::try_from(start + part.len()).ok()?))
        .ok_or_else(|| Malformed::new("inline data outside its block"))
}
