//! The UnixFS reader: one verified block in, one compact decoded node out.
//!
//! Owns the meaning of a single block: files, directories, HAMT shards, symlinks, and every check that one block
//! alone allows. Does not know where blocks come from: no I/O, no async, no fetching. The caller walks from block to
//! block, and makes the check that takes two blocks: a child's length against its parent's claim.
//!
//! Invariant: a node that [`decode`] returned keeps its promises whatever its author wrote. Every span lies
//! inside the block, [`FileNode::locate`] covers the file from its first to its last byte without a gap, each
//! name is one path segment and occurs once, and each link holds a CID that was parsed to its last byte.
//!
//! A dag-pb block is accepted only in the form that strict readers accept (no unknown, repeated or misplaced field).
//! An IPFS node that refuses a block cannot collect its garbage while the block is pinned, so a block that such a node
//! refuses must not look sound here (I5).

use bytes::Bytes;

use crate::{
    attributes::Mtime,
    link::{Codec, Link},
    malformed::Malformed,
    read::{
        data::{Head, Kind},
        directory::{DirNode, SymlinkNode},
        file::FileNode,
        pbnode::{NamedLink, Section, Sections, data_in},
        shard::ShardNode,
    },
};

/// One decoded block.
#[derive(Clone, Debug)]
pub enum Node {
    /// A file, or a part of one: a leaf or an inner node.
    File(FileNode),
    /// A directory in one block.
    Directory(DirNode),
    /// A directory spread over many blocks, or one shard of it.
    Shard(ShardNode),
    /// A symbolic link.
    Symlink(SymlinkNode),
}

impl Node {
    /// The memory that the node holds, in bytes, including its block where it keeps that.
    pub fn weight(&self) -> usize {
        match self {
            Self::File(node) => node.weight(),
            Self::Directory(node) => node.weight(),
            Self::Shard(node) => node.weight(),
            Self::Symlink(node) => node.weight(),
        }
    }

    /// The 12 permission bits, where the author stored them.
    pub fn mode(&self) -> Option<u32> {
        match self {
            Self::File(node) => node.mode(),
            Self::Directory(node) => node.mode(),
            Self::Shard(node) => node.mode(),
            Self::Symlink(node) => node.mode(),
        }
    }

    /// The time of the last change, where the author stored a valid one.
    pub fn mtime(&self) -> Option<Mtime> {
        match self {
            Self::File(node) => node.mtime(),
            Self::Directory(node) => node.mtime(),
            Self::Shard(node) => node.mtime(),
            Self::Symlink(node) => node.mtime(),
        }
    }

    /// The links of a directory, or of a shard of one, whose name cannot be a path segment, with the name as it is stored.
    /// They are neither listed nor found.
    pub fn unusable(&self) -> impl Iterator<Item = (&[u8], Link)> {
        let (directory, shard) = match self {
            Self::Directory(node) => (Some(node.unusable()), None),
            Self::Shard(node) => (None, Some(node.unusable())),
            Self::File(_) | Self::Symlink(_) => (None, None),
        };
        let directory = directory.into_iter().flatten();
        directory.chain(shard.into_iter().flatten())
    }

    /// The cumulative size in bytes of the DAG, as the links declare it: the block's own `block_len` and the Tsize of
    /// every link, saturating. It is a claim: nothing in a block proves it.
    pub fn declared_size(&self, block_len: u64) -> u64 {
        let below = match self {
            Self::File(node) => node.tsizes(),
            Self::Directory(node) => node.tsizes(),
            Self::Shard(node) => node.tsizes(),
            Self::Symlink(_) => 0,
        };
        block_len.saturating_add(below)
    }
}

/// Decodes one verified block with the codec of the link that named it.
///
/// The node may keep `block` alive (a file's leaf does not), and [`Node::weight`] counts `block.len()`. Therefore hand
/// over a buffer of the block's own size. Decoding takes time and memory linear in the block (`n log n` for a directory
/// whose links are not sorted), a few milliseconds for the largest. Decode blocks beyond 64 KiB off the async threads.
///
/// # Errors
/// [`Malformed`] where the block contradicts itself or the format, and for every codec except raw and dag-pb.
pub fn decode(codec: Codec, block: Bytes) -> Result<Node, Malformed> {
    match codec {
        Codec::Raw => Ok(Node::File(FileNode::raw(block.len())?)),
        Codec::DagPb => decode_dag_pb(block),
        Codec::Other(code) => Err(unreadable(code)),
    }
}

fn unreadable(code: u64) -> Malformed {
    Malformed::new(format!(
        "codec 0x{code:x} is neither raw (0x55) nor dag-pb (0x70)"
    ))
}

/// Returns the kind of the node in a verified block, without decoding the rest: links are skipped and not checked. So a
/// block may have a kind and still be one that [`decode`] refuses.
///
/// # Errors
/// [`Malformed`] if the block does not say what it is, and for every codec except raw and dag-pb.
pub fn kind(codec: Codec, block: &Bytes) -> Result<Kind, Malformed> {
    match codec {
        Codec::DagPb => Ok(Head::parse(block, data_in(block)?)?.kind),
        Codec::Raw => Ok(Kind::File),
        Codec::Other(code) => Err(unreadable(code)),
    }
}

fn decode_dag_pb(block: Bytes) -> Result<Node, Malformed> {
    let mut links: Vec<NamedLink> = Vec::new();
    let mut tsizes: u64 = 0;
    let mut data = None;
    for section in Sections::new(&block)? {
        match section? {
            Section::Link(link) => {
                tsizes = tsizes.saturating_add(link.tsize.unwrap_or(0));
                links.push(link.named);
            }
            Section::Data(span) => data = Some(span),
        }
    }
    let data = data.ok_or_else(|| Malformed::new("a dag-pb block without UnixFS data"))?;
    let head = Head::parse(&block, data)?;

    if head.kind != Kind::File && !head.blocksizes.is_empty() {
        return Err(Malformed::new(format!(
            "{} blocksizes in a node that is not a file",
            head.blocksizes.len()
        )));
    }
    Ok(match head.kind {
        Kind::File => Node::File(FileNode::new(block, head, links, tsizes)?),
        Kind::Directory => Node::Directory(DirNode::new(block, head, links, tsizes)),
        Kind::Shard => Node::Shard(ShardNode::new(block, head, links, tsizes)?),
        Kind::Symlink => Node::Symlink(SymlinkNode::new(&block, &head, links.len())?),
    })
}
