//! A file's balanced tree: chunks become leaves, every full row of links becomes a node of the row above.
//!
//! Streaming: holds two chunks, and at most one row of links for each level. `rust-unixfs`'s `FileAdder` makes the
//! same trees, but copies each chunk twice and returns lists of blocks; here a raw leaf is the very buffer that was
//! read.

use std::io::{self, Read};

use bytes::Bytes;
use cid::Cid;

use super::{
    blocks::{Blocks, Node},
    unixfs::{Attributes, Data, Type},
};
use crate::error::CarError;

/// How a file is cut up and put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Of a chunk, in bytes.
    pub(super) chunk_bytes: usize,
    /// The most links in one node.
    pub(super) max_links: usize,
    pub(super) leaves: Leaves,
}

/// What a chunk becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// A block of the raw codec: the bytes themselves.
    Raw,
    /// A UnixFS file without links, in dag-pb.
    DagPb,
}

/// Why a file could not be added: which side failed.
#[derive(Debug)]
pub(super) enum FileError {
    Read(io::Error),
    Other(CarError),
}

impl From<CarError> for FileError {
    fn from(error: CarError) -> Self {
        Self::Other(error)
    }
}

/// One link of a row, and how many bytes of the file are below it.
#[derive(Clone, Copy)]
struct Part {
    node: Node,
    file_bytes: u64,
}

/// Adds what `content` reads, until its end. `size_hint` is how long it probably is; `read` hears of each chunk.
pub(super) fn add<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
    mut content: impl Read,
    size_hint: u64,
    layout: Layout,
    attributes: Attributes,
    blocks: &mut Blocks<S>,
    read: &mut dyn FnMut(u64) -> Result<(), CarError>,
) -> Result<Node, FileError> {
    let mut left = size_hint;
    let mut next = || -> Result<Vec<u8>, FileError> {
        let chunk = read_chunk(&mut content, left, layout.chunk_bytes).map_err(FileError::Read)?;
        left = left.saturating_sub(chunk.len() as u64);
        read(chunk.len() as u64)?;
        Ok(chunk)
    };
    let mut chunk = next()?;
    // One chunk is read ahead, since a leaf that is the whole file carries the file's attributes.
    let mut ahead = if chunk.len() == layout.chunk_bytes {
        next()?
    } else {
        Vec::new()
    };
    if ahead.is_empty() {
        return Ok(leaf(chunk, layout.leaves, attributes, blocks)?.node);
    }
    let mut rows = Rows {
        rows: Vec::new(),
        max_links: layout.max_links,
    };
    loop {
        let last = ahead.is_empty();
        let part = leaf(chunk, layout.leaves, Attributes::default(), blocks)?;
        rows.push(0, part, blocks)?;
        if last {
            return Ok(rows.finish(attributes, blocks)?);
        }
        chunk = ahead;
        ahead = if chunk.len() == layout.chunk_bytes {
            next()?
        } else {
            Vec::new()
        };
    }
}

/// A whole chunk; less only at the end of `content`. Allocates what is probably left, so that a thousand small
/// files are not a thousand mebibytes.
fn read_chunk(content: &mut impl Read, left: u64, size: usize) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(left).map_or(size, |left| left.min(size));
    let mut chunk = Vec::with_capacity(expected);
    content.take(size as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

fn leaf<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
    chunk: Vec<u8>,
    leaves: Leaves,
    attributes: Attributes,
    blocks: &mut Blocks<S>,
) -> Result<Part, CarError> {
    let file_bytes = chunk.len() as u64;
    let node = match leaves {
        Leaves::Raw => blocks.put_raw(chunk.into())?,
        Leaves::DagPb => {
            let block = Data {
                data: (!chunk.is_empty()).then(|| chunk.into()),
                filesize: Some(file_bytes),
                ..Data::new(Type::File, attributes)
            }
            .into_block(Vec::new());
            blocks.put_dag_pb(block, 0)?
        }
    };
    Ok(Part { node, file_bytes })
}

/// The links that have no parent yet, by level. A row is made into a node only when one more link comes, so that
/// exactly `max_links` links make one node and not a node with a node above it.
struct Rows {
    rows: Vec<Vec<Part>>,
    max_links: usize,
}

impl Rows {
    fn push<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
        &mut self,
        level: usize,
        part: Part,
        blocks: &mut Blocks<S>,
    ) -> Result<(), CarError> {
        let (mut level, mut part) = (level, part);
        loop {
            if level == self.rows.len() {
                self.rows.push(Vec::new());
            }
            let row = &mut self.rows[level];
            if row.len() < self.max_links {
                row.push(part);
                return Ok(());
            }
            let full = std::mem::replace(row, vec![part]);
            part = parent(&full, Attributes::default(), blocks)?;
            level += 1;
        }
    }

    /// Closes every row from the leaves up. There are at least two parts in the lowest.
    fn finish<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
        mut self,
        attributes: Attributes,
        blocks: &mut Blocks<S>,
    ) -> Result<Node, CarError> {
        let mut level = 0;
        loop {
            let row = std::mem::take(&mut self.rows[level]);
            if level + 1 == self.rows.len() {
                return Ok(parent(&row, attributes, blocks)?.node);
            }
            let part = parent(&row, Attributes::default(), blocks)?;
            level += 1;
            self.push(level, part, blocks)?;
        }
    }
}

fn parent<S: FnMut(Cid, Bytes) -> Result<(), CarError>>(
    parts: &[Part],
    attributes: Attributes,
    blocks: &mut Blocks<S>,
) -> Result<Part, CarError> {
    let file_bytes = parts.iter().map(|part| part.file_bytes).sum();
    let children = parts.iter().map(|part| part.node.tsize).sum();
    let version = blocks.version();
    let block = Data {
        filesize: Some(file_bytes),
        blocksizes: parts.iter().map(|part| part.file_bytes).collect(),
        ..Data::new(Type::File, attributes)
    }
    .into_block(
        parts
            .iter()
            .map(|part| part.node.link(String::new(), version))
            .collect(),
    );
    let node = blocks.put_dag_pb(block, children)?;
    Ok(Part { node, file_bytes })
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
