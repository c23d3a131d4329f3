//! The UnixFS reader: one verified block in, one compact decoded node out.
//!
//! Owns what a single block means: files, directories, HAMT shards, symlinks, and every check that one block
//! alone allows. Knows nothing of where blocks come from: no I/O, no async, no fetching; whoever calls it walks
//! from block to block, and checks there what takes two blocks (a child's length against its parent's claim).
//!
//! Invariant: a node that came out of [`decode`] keeps its promises whatever its author wrote. Every span lies
//! inside the block, [`FileNode::locate`] covers the file from its first to its last byte without a gap, each
//! name is one path segment and occurs once, and each link holds a CID that was parsed to its last byte.
//!
//! A dag-pb block is taken only in the form that strict readers take (no unknown, repeated or misplaced field):
//! a node that refuses a block cannot collect its garbage while the block is pinned, so what such a node refuses
//! must not look sound here (I5).

use bytes::Bytes;

use crate::{
    attributes::Mtime,
    link::Codec,
    malformed::Malformed,
    read::{
        data::{Head, Kind},
        directory::{DirNode, SymlinkNode},
        file::FileNode,
        pbnode::{NamedLink, Section, Sections},
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
    /// Memory that the node holds, in bytes, its block's included where it keeps that.
    pub fn weight(&self) -> usize {
        match self {
            Self::File(node) => node.weight(),
            Self::Directory(node) => node.weight(),
            Self::Shard(node) => node.weight(),
            Self::Symlink(node) => node.weight(),
        }
    }

    /// The permission bits (12 of them), where the author stored any.
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

    /// The cumulative size in bytes of the DAG below, as the links declare it: the block's own `block_len` and
    /// the Tsize of every link, saturating. A claim, not a fact: nothing in a block proves it.
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

/// Decodes one verified block under the codec of the link that named it.
///
/// The node may keep `block` alive (a file's leaf does not): hand over a buffer of the block's own size, for
/// [`Node::weight`] counts `block.len()`. Takes time and memory linear in the block (a directory whose links are
/// not sorted: `n log n`), a few milliseconds for the largest; blocks beyond 64 KiB belong off an async thread.
///
/// # Errors
/// [`Malformed`] where the block contradicts itself or the format, and for every codec but raw and dag-pb.
pub fn decode(codec: Codec, block: Bytes) -> Result<Node, Malformed> {
    match codec {
        Codec::Raw => Ok(Node::File(FileNode::raw(block.len())?)),
        Codec::DagPb => decode_dag_pb(block),
        Codec::Other(code) => Err(Malformed::new(format!(
            "codec 0x{code:x} is neither raw (0x55) nor dag-pb (0x70)"
        ))),
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
            "{} blocksizes in what is no file",
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
