//! File nodes: from an offset to the bytes, or to the child that has them.
//!
//! Owns the arithmetic of one file node. The caller checks the child's own length once it has the child.
//! Invariant: the pieces that [`FileNode::locate`] returns cover `[0, len)` without a gap or an overlap.

use std::ops::Range;

use bytes::Bytes;

use super::{
    data::Head,
    pbnode::{NamedLink, link_at, target_at},
};
use crate::{
    attributes::Mtime,
    link::{Link, Target},
    malformed::Malformed,
};

/// A file, or a part of one: inline bytes first, then children in order.
#[derive(Clone, Debug)]
pub struct FileNode {
    len: u64,
    payload: Range<u32>,
    mode: Option<u32>,
    mtime: Option<Mtime>,
    tsizes: u64,
    /// `None` for a leaf. It keeps nothing of its block: its bytes are read where the block is staged.
    children: Option<Children>,
}

#[derive(Clone, Debug)]
struct Children {
    block: Bytes,
    /// The offset in this node's bytes where each child ends.
    ends: Box<[u64]>,
    /// The position in the block of each child's link.
    links: Box<[u32]>,
}

/// Where the bytes at an offset are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// In this block: from the requested offset to the end of the bytes that the block itself holds.
    Inline {
        /// The span in the block; not empty.
        span: Range<usize>,
    },
    /// In a child.
    Child {
        /// The child's index.
        index: usize,
        /// The offset in this node's bytes where the child begins; at most the requested offset.
        start: u64,
        /// The child's length in bytes, as this node claims it; not zero.
        len: u64,
    },
    /// Nowhere: the offset is at or behind the end of this node's bytes.
    End,
}

impl FileNode {
    /// The node of a raw block: a leaf that is all payload.
    pub(crate) fn raw(block_len: usize) -> Result<Self, Malformed> {
        let end = u32::try_from(block_len)
            .map_err(|_| Malformed::new(format!("a block of {block_len} bytes")))?;
        Ok(Self {
            len: u64::from(end),
            payload: 0..end,
            mode: None,
            mtime: None,
            tsizes: 0,
            children: None,
        })
    }

    pub(crate) fn new(
        block: Bytes,
        head: Head,
        links: Vec<NamedLink>,
        tsizes: u64,
    ) -> Result<Self, Malformed> {
        if links.len() != head.blocksizes.len() {
            return Err(Malformed::new(format!(
                "a file node of {} links with {} blocksizes",
                links.len(),
                head.blocksizes.len()
            )));
        }
        let inline_len = u64::from(head.inline.end - head.inline.start);
        let mut ends = head.blocksizes;
        let mut len = inline_len;
        for (index, size) in ends.iter_mut().enumerate() {
            len = len.checked_add(*size).ok_or_else(|| {
                Malformed::new(format!(
                    "blocksize {size} of child {index} behind {len} bytes: more than 2^64"
                ))
            })?;
            *size = len;
        }
        if let Some(filesize) = head.filesize.filter(|filesize| *filesize != len) {
            return Err(Malformed::new(format!(
                "filesize {filesize}, but {inline_len} inline bytes and the blocksizes make {len}"
            )));
        }
        Ok(Self {
            len,
            payload: head.inline,
            mode: head.mode,
            mtime: head.mtime,
            tsizes,
            children: (!links.is_empty()).then(|| Children {
                block,
                ends: ends.into_boxed_slice(),
                links: links.iter().map(|link| link.at).collect(),
            }),
        })
    }

    /// The length in bytes of the part of the file that the node stands for, children included.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a length in bytes, not a collection's"
    )]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The permission bits (12 of them), where the author stored any.
    pub fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// The time of the last change, where the author stored a valid one.
    pub fn mtime(&self) -> Option<Mtime> {
        self.mtime
    }

    /// Whether all of its bytes are in its own block.
    pub fn is_leaf(&self) -> bool {
        self.children.is_none()
    }

    /// The span in the block of the node's own bytes, which are its first. `0..0` if there are none.
    pub fn payload(&self) -> Range<usize> {
        self.payload.start as usize..self.payload.end as usize
    }

    /// The number of children, including those of no length.
    pub fn children(&self) -> usize {
        self.ends().len()
    }

    /// Locates the bytes at `offset`, by a binary search that children of no length do not slow down.
    pub fn locate(&self, offset: u64) -> Piece {
        if offset >= self.len {
            return Piece::End;
        }
        let payload = self.payload();
        // An offset below the payload's length, which is a usize, fits a usize.
        if let Some(skip) = usize::try_from(offset)
            .ok()
            .filter(|skip| *skip < payload.len())
        {
            return Piece::Inline {
                span: payload.start + skip..payload.end,
            };
        }
        let ends = self.ends();
        // The first child that ends behind the offset. A child of no length before it ends at or before the offset.
        let has_it = |index: usize| {
            let ends_behind = ends.get(index).is_some_and(|end| offset < *end);
            ends_behind && self.start_of(index) <= offset
        };
        let index = match self.guess(offset) {
            Some(index) if has_it(index) => index,
            _ => ends.partition_point(|end| *end <= offset),
        };
        match ends.get(index) {
            Some(end) => {
                let start = self.start_of(index);
                Piece::Child {
                    index,
                    start,
                    len: end - start,
                }
            }
            // coverage: the last child ends at the length.
            None => Piece::End,
        }
    }

    /// The length in bytes that this node claims for a child; `None` if there is no such child.
    pub fn child_len(&self, index: usize) -> Option<u64> {
        let end = self.ends().get(index)?;
        Some(end - self.start_of(index))
    }

    /// The link to a child.
    ///
    /// # Errors
    /// [`Malformed`] only if there is no such child, since [`decode`](crate::decode) has checked the link.
    pub fn child(&self, index: usize) -> Result<Link, Malformed> {
        let (block, at) = self.link_of(index)?;
        link_at(block, at)
    }

    /// The target of the link to a child.
    ///
    /// # Errors
    /// The same as [`child`](Self::child).
    pub fn child_target(&self, index: usize) -> Result<Target, Malformed> {
        let (block, at) = self.link_of(index)?;
        target_at(block, at)
    }

    fn link_of(&self, index: usize) -> Result<(&Bytes, u32), Malformed> {
        self.children
            .as_ref()
            .and_then(|children| Some((&children.block, *children.links.get(index)?)))
            .ok_or_else(|| Malformed::new(format!("no child {index} among {}", self.children())))
    }

    /// Memory that the node holds, in bytes.
    pub fn weight(&self) -> usize {
        let children = self.children.as_ref().map_or(0, |children| {
            children.block.len() + size_of_val(&*children.ends) + size_of_val(&*children.links)
        });
        size_of::<Self>() + children
    }

    pub(crate) fn tsizes(&self) -> u64 {
        self.tsizes
    }

    fn ends(&self) -> &[u64] {
        self.children
            .as_ref()
            .map_or(&[], |children| &children.ends)
    }

    /// The child that has `offset` if all are as long as the first. In nearly every file all except the last are.
    fn guess(&self, offset: u64) -> Option<usize> {
        let start = self.start_of(0);
        let index = (offset - start).checked_div(self.ends().first()? - start)?;
        usize::try_from(index).ok()
    }

    /// The offset where a child begins, which is where the one before it ends.
    fn start_of(&self, index: usize) -> u64 {
        index
            .checked_sub(1)
            .and_then(|before| self.ends().get(before).copied())
            .unwrap_or(u64::from(self.payload.end - self.payload.start))
    }
}
