//! The bytes of one read, put together block by block: in memory of their own, or in the caller's slice.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::{cache::staged::Staged, read::tree::Piece};

/// The most bytes that are reserved for a read before they are there.
const RESERVED: usize = 4 << 20;

/// Where the bytes of a read go.
pub(super) trait Sink: Send {
    /// How many there are so far.
    fn filled(&self) -> usize;

    /// Takes the next bytes of a read that is to have `len`.
    fn push(&mut self, bytes: Bytes, len: usize);

    /// Takes the next `part` bytes from `at` of a staged block, if that needs no waiting.
    fn try_push_staged(
        &mut self,
        block: &Staged,
        at: u64,
        part: usize,
        len: usize,
    ) -> io::Result<bool>;
}

/// Gathers bytes in memory. If a read lies in one block, its bytes are not copied.
#[derive(Default)]
pub(super) struct Gathered {
    /// The bytes from the first block.
    first: Bytes,
    /// All bytes, if they come from more than one block.
    more: BytesMut,
}

impl Gathered {
    pub(super) fn into_bytes(self) -> Bytes {
        match self.more.is_empty() {
            true => self.first,
            false => self.more.freeze(),
        }
    }
}

impl Sink for Gathered {
    fn filled(&self) -> usize {
        self.first.len().max(self.more.len())
    }

    fn push(&mut self, bytes: Bytes, len: usize) {
        if self.first.is_empty() {
            self.first = bytes;
            return;
        }
        if self.more.is_empty() {
            // The file's length is its author's claim, so not all of it is reserved at once (I9).
            self.more.reserve(len.min(RESERVED));
            self.more.extend_from_slice(&self.first);
        }
        self.more.extend_from_slice(&bytes);
    }

    fn try_push_staged(
        &mut self,
        block: &Staged,
        at: u64,
        part: usize,
        len: usize,
    ) -> io::Result<bool> {
        let read = block.try_read(at, part)?;
        let is_read = read.is_some();
        if let Some(bytes) = read {
            self.push(bytes, len);
        }
        Ok(is_read)
    }
}

/// The caller's slice.
pub(super) struct Slice<'a> {
    into: &'a mut [u8],
    filled: usize,
}

impl<'a> Slice<'a> {
    pub(super) fn new(into: &'a mut [u8]) -> Self {
        Self { into, filled: 0 }
    }
}

impl Sink for Slice<'_> {
    fn filled(&self) -> usize {
        self.filled
    }

    fn push(&mut self, bytes: Bytes, _len: usize) {
        let end = self.filled + bytes.len();
        self.into[self.filled..end].copy_from_slice(&bytes);
        self.filled = end;
    }

    fn try_push_staged(
        &mut self,
        block: &Staged,
        at: u64,
        part: usize,
        _len: usize,
    ) -> io::Result<bool> {
        let into = &mut self.into[self.filled..self.filled + part];
        let read = block.extent().try_read_into(at as usize, into)?;
        self.filled += read.unwrap_or(0);
        Ok(read.is_some())
    }
}

/// A read that is being filled.
pub(super) struct Filling<S> {
    offset: u64,
    /// How many bytes it is to have.
    len: usize,
    sink: S,
}

impl<S: Sink> Filling<S> {
    pub(super) fn new(offset: u64, len: usize, sink: S) -> Self {
        Self { offset, len, sink }
    }

    pub(super) fn into_sink(self) -> S {
        self.sink
    }

    /// Where the first byte is.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sink.filled() == 0
    }

    /// Where the next byte goes.
    pub(super) fn at(&self) -> u64 {
        self.offset + self.sink.filled() as u64
    }

    /// Where the next byte goes, if there is one to come.
    pub(super) fn next(&self) -> Option<u64> {
        (self.sink.filled() < self.len).then(|| self.at())
    }

    /// Where the last byte goes.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len as u64
    }

    /// Where in a piece the next byte is, and how many the piece has from there.
    pub(super) fn within(&self, piece: &Piece) -> (u64, usize) {
        let (at, missing) = (self.at(), self.len - self.sink.filled());
        let left = piece.span.end - at;
        let len = usize::try_from(left).map_or(missing, |left| left.min(missing));
        (at - piece.span.start, len)
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.sink.push(bytes, self.len);
    }

    /// Takes the next bytes of a staged block, if that needs no waiting; says whether it did.
    pub(super) fn try_push_staged(
        &mut self,
        block: &Staged,
        at: u64,
        part: usize,
    ) -> io::Result<bool> {
        self.sink.try_push_staged(block, at, part, self.len)
    }
}
