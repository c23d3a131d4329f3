//! The balanced tree of a file: chunks become leaves, and every full row of links becomes a node of the row above.
//!
//! It streams: it holds two chunks, and at most one row of links for each level. The `FileAdder` of `rust-unixfs` makes
//! the same trees, but copies each chunk twice and returns lists of blocks. Here a raw leaf is the buffer that the
//! content was read into.

use std::io::{self, Read};

use bytes::Bytes;
use cid::Cid;

use super::{
    data::{block, data},
    profile::Leaves,
    writer::{Writer, Written},
};
use crate::{
    attributes::Attributes,
    message::{PbData, PbLink, Type},
};

/// Why a file could not be written: its content or the sink failed.
#[derive(Debug, thiserror::Error)]
pub enum FileError<E> {
    /// The content could not be read.
    #[error("the file's content could not be read")]
    Read(#[source] io::Error),
    /// The sink failed, or the progress callback returned an error.
    #[error("the file's blocks could not be stored")]
    Sink(#[source] E),
}

impl<E> From<E> for FileError<E> {
    fn from(error: E) -> Self {
        Self::Sink(error)
    }
}

/// One link of a row, and the number of the file's bytes below it.
#[derive(Clone, Copy)]
struct Part {
    node: Written,
    file_bytes: u64,
}

impl<S, E> Writer<S>
where
    S: FnMut(Cid, Bytes) -> Result<(), E>,
{
    /// Reads `content` to its end and writes it as one file.
    ///
    /// A file of one chunk is a single leaf. A raw leaf has no room for attributes, so such a file keeps none.
    ///
    /// # Errors
    /// [`FileError`]: the content cannot be read, or the sink fails. Blocks that were written before stay written.
    pub fn file(
        &mut self,
        content: impl Read,
        attributes: Attributes,
    ) -> Result<Written, FileError<E>> {
        self.file_with_progress(content, 0, attributes, &mut |_| Ok(()))
    }

    /// Like [`file`](Self::file). `size_hint` is the probable length of the content in bytes: that much is allocated
    /// ahead, but at most one chunk. `read` is called with the length in bytes of each chunk that was read; an error
    /// from it stops the write.
    ///
    /// # Errors
    /// The same as [`file`](Self::file), and an error from `read`, as [`FileError::Sink`].
    pub fn file_with_progress(
        &mut self,
        mut content: impl Read,
        size_hint: u64,
        attributes: Attributes,
        read: &mut dyn FnMut(u64) -> Result<(), E>,
    ) -> Result<Written, FileError<E>> {
        let chunk_bytes = self.layout().chunk_bytes();
        let mut left = size_hint;
        let mut next = || -> Result<Vec<u8>, FileError<E>> {
            let chunk = read_chunk(&mut content, left, chunk_bytes).map_err(FileError::Read)?;
            left = left.saturating_sub(chunk.len() as u64);
            read(chunk.len() as u64)?;
            Ok(chunk)
        };
        let mut chunk = next()?;
        // Read one chunk ahead, since a leaf that is the whole file carries the file's attributes.
        let mut ahead = if chunk.len() == chunk_bytes {
            next()?
        } else {
            Vec::new()
        };
        if ahead.is_empty() {
            return Ok(self.leaf(chunk, attributes)?.node);
        }
        let mut rows = Rows {
            rows: Vec::new(),
            max_links: self.layout().max_links(),
        };
        loop {
            let last = ahead.is_empty();
            let part = self.leaf(chunk, Attributes::default())?;
            rows.push(0, part, self)?;
            if last {
                return Ok(rows.finish(attributes, self)?);
            }
            chunk = ahead;
            ahead = if chunk.len() == chunk_bytes {
                next()?
            } else {
                Vec::new()
            };
        }
    }

    fn leaf(&mut self, chunk: Vec<u8>, attributes: Attributes) -> Result<Part, E> {
        let file_bytes = chunk.len() as u64;
        let node = match self.layout().leaves() {
            Leaves::Raw => self.put_raw(chunk.into())?,
            Leaves::DagPb => {
                let data = PbData {
                    data: (!chunk.is_empty()).then(|| chunk.into()),
                    filesize: Some(file_bytes),
                    ..data(Type::File, attributes)
                };
                self.put_dag_pb(block(&data, &[]), 0)?
            }
        };
        Ok(Part { node, file_bytes })
    }

    fn parent(&mut self, parts: &[Part], attributes: Attributes) -> Result<Part, E> {
        let file_bytes = parts.iter().map(|part| part.file_bytes).sum();
        let children = parts.iter().map(|part| part.node.tsize()).sum();
        let data = PbData {
            filesize: Some(file_bytes),
            blocksizes: parts.iter().map(|part| part.file_bytes).collect(),
            ..data(Type::File, attributes)
        };
        let links: Vec<PbLink> = parts.iter().map(|part| part.node.link("")).collect();
        let node = self.put_dag_pb(block(&data, &links), children)?;
        Ok(Part { node, file_bytes })
    }
}

/// Reads a whole chunk, or less at the end of `content`. Allocates only the bytes that are probably `left`, so that a
/// thousand small files do not take a thousand mebibytes.
fn read_chunk(content: &mut impl Read, left: u64, size: usize) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(left).map_or(size, |left| left.min(size));
    let mut chunk = Vec::with_capacity(expected);
    content.take(size as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// The links that have no parent yet, by level. A full row becomes a node only when one more link comes, so that
/// exactly `max_links` links make one node and not a node below another.
struct Rows {
    rows: Vec<Vec<Part>>,
    max_links: usize,
}

impl Rows {
    fn push<S, E>(&mut self, level: usize, part: Part, writer: &mut Writer<S>) -> Result<(), E>
    where
        S: FnMut(Cid, Bytes) -> Result<(), E>,
    {
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
            part = writer.parent(&full, Attributes::default())?;
            level += 1;
        }
    }

    /// Closes every row, from the leaves up. The lowest row has at least two parts.
    fn finish<S, E>(mut self, attributes: Attributes, writer: &mut Writer<S>) -> Result<Written, E>
    where
        S: FnMut(Cid, Bytes) -> Result<(), E>,
    {
        let mut level = 0;
        loop {
            let row = std::mem::take(&mut self.rows[level]);
            if level + 1 == self.rows.len() {
                return Ok(writer.parent(&row, attributes)?.node);
            }
            let part = writer.parent(&row, Attributes::default())?;
            level += 1;
            self.push(level, part, writer)?;
        }
    }
}

#[cfg(test)]
mod tests;
