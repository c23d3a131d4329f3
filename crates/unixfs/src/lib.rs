//! UnixFS, the format of files and directories in IPFS: verified blocks in, decoded nodes out.
//!
//! Pure: no I/O, no runtime, no network. Whoever calls it has the blocks, and has verified them.
//!
//! # Reading
//!
//! [`decode`] turns one verified block into a [`Node`]: a part of a file ([`FileNode`]), a directory in one block
//! ([`DirNode`]), a shard of a larger one ([`ShardNode`]), or a symbolic link ([`SymlinkNode`]). It refuses a block
//! that contradicts itself ([`Malformed`]) and does not panic on any. A path segment is looked up in one block of a
//! plain directory, and in one block for each level of a sharded one; an offset in a file likewise.
//!
//! ```
//! use bytes::Bytes;
//! use unixfs::{Codec, Found, Link, Malformed, Node, Prefix, Target, decode};
//!
//! /// What `name` leads to in the directory that `link` points at.
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
//! // A directory of one file: a link, then the data that says what it is.
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
//! What takes two blocks is for the caller to check: that a child is as long as its parent says, and that a directory
//! below a directory is one.
//!
//! # Formats, and where they are described
//!
//! * UnixFS: <https://specs.ipfs.tech/unixfs/>
//! * dag-pb: <https://ipld.io/specs/codecs/dag-pb/spec/>
//!
//! # The crate's files
//!
//! 1. `link`: a CID's bytes, taken apart; `segment`: which names a path can have; `murmur3`: the hash of a HAMT;
//!    `attributes`: mode and time; `message`: the protobuf messages; `malformed`: the reader's error.
//! 2. `read`: the dag-pb envelope (`pbnode`), the UnixFS message in it (`data`), and the kinds of node (`file`,
//!    `directory`, `shard`); `node` puts them together.

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

pub use attributes::Mtime;
pub use link::{Codec, Link, Target, parse_cid_bytes};
pub use malformed::Malformed;
pub use node::{Node, decode};
pub use read::{
    directory::{DirNode, SymlinkNode},
    file::{FileNode, Piece},
    pbnode::{Links, links},
    shard::{Found, Prefix, ShardChildren, ShardEntry, ShardNode},
};
