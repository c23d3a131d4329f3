//! UnixFS, the format of files and directories in IPFS, in both directions: blocks in, decoded nodes out; content
//! in, blocks out.
//!
//! The crate is pure: no I/O, no runtime, no network. The caller supplies the blocks, and has verified them.
//!
//! # Reading
//!
//! [`decode`] turns one verified block into a [`Node`]: a part of a file ([`FileNode`]), a directory in one block
//! ([`DirNode`]), a shard of a larger one ([`ShardNode`]), or a symbolic link ([`SymlinkNode`]). It refuses a block
//! that contradicts itself ([`Malformed`]), and no block makes it panic. Looking up a path segment takes one block of a
//! plain directory, or one block for each level of a sharded one. Looking up an offset in a file takes one block for
//! each level of its tree.
//!
//! ```
//! use bytes::Bytes;
//! use unixfs::{Codec, Found, Link, Malformed, Node, Prefix, Target, decode};
//!
//! /// Looks up `name` in the directory that `link` points at.
//! fn look_up(
//!     load: impl Fn(&Target) -> Bytes,
//!     mut link: Link,
//!     name: &str,
//! ) -> Result<Option<Link>, Malformed> {
//!     let mut at = Prefix::ROOT;
//!     loop {
//!         let found = match decode(link.target.codec(), load(&link.target))? {
//!             Node::Directory(directory) => return directory.lookup(name),
//!             Node::Shard(shard) => shard.lookup(name, at)?,
//!             _ => return Ok(None),
//!         };
//!         (link, at) = match found {
//!             Found::Entry(link) => return Ok(Some(link)),
//!             Found::Shard { link, at } => (link, at),
//!             Found::Absent => return Ok(None),
//!         };
//!     }
//! }
//!
//! // A directory of one file: a link, then the data that makes the node a directory.
//! let block = b"\x12\x0e\x0a\x09\x01\x55\x00\x05hello\x12\x01h\x0a\x02\x08\x01";
//! let root = Link {
//!     target: Target::Inline {
//!         codec: Codec::DagPb,
//!         bytes: Bytes::from_static(block),
//!     },
//!     tsize: None,
//! };
//! let inline = |target: &Target| match target {
//!     Target::Inline { bytes, .. } => bytes.clone(),
//!     Target::Block(cid) => unreachable!("{cid} has to be fetched"),
//! };
//! let found = look_up(inline, root, "h")?.expect("it is there");
//! assert_eq!(inline(&found.target), "hello");
//! # Ok::<(), Malformed>(())
//! ```
//!
//! The caller makes the checks that take two blocks: that a child is as long as its parent says, and that the shard
//! below a shard is a shard.
//!
//! # Writing
//!
//! A [`Writer`] cuts files into balanced trees, makes plain or sharded directories, and hands each distinct block to
//! a sink, children first. Under a [`Profile`] the CIDs are those of Kubo's `ipfs add`.
//!
//! ```
//! use std::{collections::HashMap, convert::Infallible};
//!
//! use unixfs::{Attributes, Codec, Entry, Node, Piece, Profile, Writer, decode};
//!
//! let mut blocks = HashMap::new();
//! let mut writer = Writer::new(Profile::UnixfsV1_2025.layout(), |cid, block| {
//!     blocks.insert(cid, block);
//!     Ok::<_, Infallible>(())
//! });
//! let hello = writer.file(&b"hello world"[..], Attributes::default())?;
//! let root = writer.directory(vec![Entry::new("hello.txt", hello)], Attributes::default())?;
//! assert_eq!(
//!     hello.cid().to_string(),
//!     "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
//! );
//!
//! let Node::Directory(directory) = decode(Codec::DagPb, blocks[&root.cid()].clone())? else {
//!     unreachable!("one entry fits one block")
//! };
//! assert_eq!(directory.entry(0)?.map(|(name, _)| name), Some("hello.txt"));
//! let Node::File(file) = decode(Codec::Raw, blocks[&hello.cid()].clone())? else {
//!     unreachable!("a raw block is a file")
//! };
//! assert_eq!(file.locate(6), Piece::Inline { span: 6..11 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Formats, and where they are described
//!
//! * UnixFS: <https://specs.ipfs.tech/unixfs/>
//! * dag-pb: <https://ipld.io/specs/codecs/dag-pb/spec/>
//! * profiles of import parameters: <https://specs.ipfs.tech/ipips/ipip-0499/>
//!
//! # The crate's files
//!
//! 1. `link`: a CID's bytes, taken apart; `segment`: which names a path can have; `murmur3`: the hash of a HAMT;
//!    `attributes`: mode and time; `message`: the protobuf messages; `malformed`: the reader's error.
//! 2. `read`: the dag-pb envelope (`pbnode`), the UnixFS message in it (`data`), and the kinds of node (`file`,
//!    `directory`, `shard`); `node` puts them together.
//! 3. `write`: parameters (`profile`), the encoding (`data`), finished blocks on their way to the sink (`writer`), and
//!    the kinds of node (`file`, `directory`, `symlink`).

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod attributes;
mod link;
mod malformed;
mod message;
mod murmur3;
mod node;
mod read;
mod segment;
#[cfg(test)]
mod tests;
mod write;

pub use attributes::{Attributes, Mtime};
pub use link::{Codec, Link, Target, parse_cid_bytes};
pub use malformed::Malformed;
pub use node::{Node, decode, kind};
pub use read::{
    data::Kind,
    directory::{DirNode, SymlinkNode},
    file::{FileNode, Piece},
    pbnode::{LinkPosition, Links, links},
    shard::{Found, Prefix, ShardChildren, ShardEntry, ShardNode},
};
pub use write::{
    directory::{DirectoryError, Entry},
    file::FileError,
    profile::{Layout, Leaves, ParseProfileError, Profile},
    writer::{Writer, Written},
};
