//! Open files: reads at any offset, out of staging where the blocks are there, else by fetching just those on the
//! way.
//!
//! An open handle holds no block, only where its current one is to be found (I9).

use std::{
    ops::Range,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use cid::Cid;
use tokio::time::Instant;

use crate::{
    block::cid_of,
    cache::staged::Staged,
    error::Error,
    grant::allowance::HandleGuard,
    metadata::{Identity, Metadata},
    path::place::Linked,
    pins::lazy::PinGuard,
    read::{
        filling::{Filling, Gathered, Sink, Slice},
        readahead::{Advice, ReadAhead, Reading},
        tree::{Above, Descent, Piece, Purpose, Source, Tree},
    },
    session::Session,
    sync::{Mutex, lock},
    unixfs::Target,
};

/// An open file. All clones are one handle, with one position in their read-ahead.
#[derive(Clone, Debug)]
pub struct File {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    _handle: HandleGuard,
    tree: Tree,
    metadata: Metadata,
    cursor: Mutex<Cursor>,
    /// Says that the pin is in use.
    _pin: Option<PinGuard>,
}

/// Where the handle reads.
#[derive(Debug, Default)]
struct Cursor {
    /// The block of the last read. Reads that stay in it count as one use of it.
    current: Option<Current>,
    ahead: ReadAhead,
}

struct Current {
    span: Range<u64>,
    block: Weak<Staged>,
    at: u64,
    above: Option<Arc<Above>>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Current({:?})", self.span)
    }
}

impl File {
    pub(crate) fn new(
        session: &Session,
        handle: HandleGuard,
        linked: Arc<Linked>,
        metadata: Metadata,
        pin: Option<PinGuard>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                session: session.clone(),
                _handle: handle,
                tree: Tree {
                    linked,
                    len: metadata.len,
                },
                metadata,
                cursor: Mutex::default(),
                _pin: pin,
            }),
        }
    }

    /// Its length in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a file's length, not a collection's"
    )]
    pub fn len(&self) -> u64 {
        self.inner.tree.len
    }

    /// What is known of it.
    pub fn metadata(&self) -> Metadata {
        self.inner.metadata
    }

    pub(crate) fn target(&self) -> &Target {
        self.inner.tree.target()
    }

    /// Its CID, of which an identity CID has at most its first 64 bytes here.
    pub fn cid(&self) -> Cid {
        cid_of(self.inner.tree.target())
    }

    /// Equal for equal content, and on every host.
    pub fn identity(&self) -> Identity {
        match self.inner.tree.target() {
            Target::Block(cid) => Identity::of(cid),
            Target::Inline { bytes, .. } => Identity::of_bytes(bytes),
        }
    }

    /// What can be had at once, on this thread: up to `len` bytes from `offset`, at least one; none at or past the
    /// end. `None` where a block has to be fetched, or the disk waited for.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let mut filling = self.filling(offset, len, Gathered::default());
        let filled = self.try_fill(&mut filling)?;
        Some(filled.map(|()| self.served(filling).into_bytes()))
    }

    /// As [`try_read_at`](Self::try_read_at), but into the caller's slice; returns how many bytes were read. Bytes
    /// that are staged are copied once, out of the page cache, and nothing is allocated. What lies in the slice behind
    /// them is any bytes.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn try_read_into(&self, offset: u64, into: &mut [u8]) -> Option<Result<usize, Error>> {
        let mut filling = self.filling(offset, into.len(), Slice::new(into));
        let filled = self.try_fill(&mut filling)?;
        Some(filled.map(|()| self.served(filling).filled()))
    }

    /// `len` bytes from `offset`, fewer only where the file ends before (I7).
    ///
    /// Fetches just the blocks that the bytes lie in, and the tree's nodes on the way; and what read-ahead makes
    /// of a sequential reader. Dropping the future harms no other reader.
    ///
    /// # Errors
    /// Those of fetching: [`Error::Fetch`], [`Error::Corrupt`], [`Error::Malformed`], [`Error::Unsupported`],
    /// [`Error::Staging`], [`Error::LimitReached`], [`Error::Closed`].
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut filling = self.filling(offset, len, Gathered::default());
        if let Some(missing) = self.fill(&mut filling)? {
            Box::pin(self.fill_waiting(&mut filling, missing)).await?;
        }
        Ok(self.served(filling).into_bytes())
    }

    /// As [`read_at`](Self::read_at), but into the caller's slice, which is filled up to its end or the file's; returns
    /// how many bytes were read. After an error, or when the future is dropped, the slice holds any bytes.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn read_into(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let mut filling = self.filling(offset, into.len(), Slice::new(into));
        if let Some(missing) = self.fill(&mut filling)? {
            Box::pin(self.fill_waiting(&mut filling, missing)).await?;
        }
        Ok(self.served(filling).filled())
    }

    /// Up to `len` bytes from `offset`: as [`read_at`](Self::read_at), but where a block cannot be had, what lies
    /// before it, as a disk would. Empty only at or past the end.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), where there is not a single byte before the error.
    pub async fn read_up_to(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut filling = self.filling(offset, len, Gathered::default());
        let filled = match self.fill(&mut filling) {
            // Boxed: a read that waits for nothing, which is nearly every one, has a small future.
            Ok(Some(missing)) => Box::pin(self.fill_waiting(&mut filling, missing)).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match filled {
            Err(error) if filling.is_empty() => Err(error),
            // The next read meets the error, at its very offset.
            Ok(()) | Err(_) => Ok(self.served(filling).into_bytes()),
        }
    }

    /// Waits until [`try_read_at`](Self::try_read_at) has something at `offset`.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn ready(&self, offset: u64) -> Result<(), Error> {
        let mut filling = self.filling(offset, 1, Gathered::default());
        match self.fill(&mut filling)? {
            Some(missing) => Box::pin(self.fill_waiting(&mut filling, missing)).await,
            None => Ok(()),
        }
    }

    /// What the guest says of the reads to come. A hint: it never fails.
    pub fn advise(&self, offset: u64, len: u64, advice: Advice) {
        let mut cursor = lock(&self.inner.cursor);
        let Cursor { current, ahead } = &mut *cursor;
        ahead.advise(self.reading(current), offset, len, advice);
    }

    /// Has the rest of a read over several blocks on its way side by side, while the reader waits for the first.
    fn want(&self, range: Range<u64>) {
        let mut cursor = lock(&self.inner.cursor);
        let Cursor { current, ahead } = &mut *cursor;
        ahead.want(self.reading(current), range);
    }

    fn reading<'a>(&'a self, current: &'a Option<Current>) -> Reading<'a> {
        Reading {
            session: self.session(),
            tree: &self.inner.tree,
            above: current.as_ref().and_then(|it| it.above.as_ref()),
        }
    }

    fn session(&self) -> &Session {
        &self.inner.session
    }

    fn filling<S: Sink>(&self, offset: u64, len: usize, sink: S) -> Filling<S> {
        let left = self.len().saturating_sub(offset);
        let len = usize::try_from(left).map_or(len, |left| left.min(len));
        Filling::new(offset, len, sink)
    }

    /// Tells read-ahead and the counters of a read that is served, and hands its bytes on.
    fn served<S: Sink>(&self, filling: Filling<S>) -> S {
        let read = filling.offset()..filling.at();
        if filling.is_empty() {
            return filling.into_sink();
        }
        let sink = filling.into_sink();
        self.session().engine().counters.served(sink.filled());
        let mut cursor = lock(&self.inner.cursor);
        let Cursor { current, ahead } = &mut *cursor;
        let leaf = current.as_ref().map(|current| current.span.clone());
        ahead.note(self.reading(current), read, leaf);
        sink
    }

    /// Fills as far as that goes without waiting; `None` where that is no byte, but there are some.
    fn try_fill<S: Sink>(&self, filling: &mut Filling<S>) -> Option<Result<(), Error>> {
        match self.fill(filling) {
            Ok(Some(_)) if filling.is_empty() => None,
            Err(error) if filling.is_empty() => Some(Err(error)),
            // As far as it goes: the next read meets the wait or the error, at its very offset.
            Ok(_) | Err(_) => Some(Ok(())),
        }
    }

    /// Fills as far as that goes without waiting, block by block; returns what has to be waited for.
    fn fill<S: Sink>(&self, filling: &mut Filling<S>) -> Result<Option<Missing>, Error> {
        while let Some(offset) = filling.next() {
            self.session().engine().ensure_open()?;
            let piece = match self.piece_at(offset)? {
                Sought::Here(piece) => piece,
                Sought::Missing(descent) => return Ok(Some(Missing::Block(descent))),
            };
            if !self.try_take(&piece, filling)? {
                return Ok(Some(Missing::Disk(piece)));
            }
        }
        Ok(None)
    }

    /// Fills to the end, from where something has to be waited for.
    async fn fill_waiting<S: Sink>(
        &self,
        filling: &mut Filling<S>,
        mut missing: Missing,
    ) -> Result<(), Error> {
        let mut wanted = false;
        loop {
            if !filling.is_empty() && !wanted {
                // The rest of a read over several blocks comes side by side.
                self.want(missing.end().unwrap_or(filling.at())..filling.end());
                wanted = true;
            }
            let bytes = self.wait_for(missing, filling).await?;
            filling.push(bytes);
            missing = match self.fill(filling)? {
                Some(missing) => missing,
                None => return Ok(()),
            };
        }
    }

    /// The piece of the file that has `offset`, if its block is here; else the way to it, as far as it goes.
    fn piece_at(&self, offset: u64) -> Result<Sought, Error> {
        let mut cursor = lock(&self.inner.cursor);
        if let Some(piece) = cursor.piece_at(offset) {
            return Ok(Sought::Here(piece));
        }
        let above = cursor.above();
        let mut descent = self.inner.tree.descent(offset, Purpose::Read, above);
        Ok(match descent.step(self.session().engine())? {
            Some(piece) => Sought::Here(cursor.now_at(piece)),
            None => Sought::Missing(Box::new(descent)),
        })
    }

    /// Takes the next bytes out of a piece, unless the disk has to be waited for; says whether it did.
    fn try_take<S: Sink>(&self, piece: &Piece, filling: &mut Filling<S>) -> Result<bool, Error> {
        let (at, len) = filling.within(piece);
        match &piece.source {
            Source::Memory(bytes) => {
                filling.push(bytes.slice(at as usize..at as usize + len));
                Ok(true)
            }
            Source::Staged { block, at: start } => filling
                .try_push_staged(block, start + at, len)
                .map_err(|error| self.session().engine().unreadable(block, error)),
        }
    }

    /// The next bytes, once what is missing is here.
    async fn wait_for<S: Sink>(
        &self,
        missing: Missing,
        filling: &Filling<S>,
    ) -> Result<Bytes, Error> {
        let session = self.session();
        let latency = lock(&self.inner.cursor).ahead.waits_at(filling.at());
        let start = Instant::now();
        let piece = match missing {
            Missing::Disk(piece) => piece,
            Missing::Block(descent) => {
                let origin = &self.inner.tree.linked.origin;
                let piece = descent.fetch(session, origin, &latency).await;
                let mut cursor = lock(&self.inner.cursor);
                cursor.ahead.waited(start.elapsed());
                cursor.now_at(piece?)
            }
        };
        let (at, len) = filling.within(&piece);
        match &piece.source {
            Source::Memory(bytes) => Ok(bytes.slice(at as usize..at as usize + len)),
            Source::Staged { block, at: start } => match block.read(start + at, len).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(session.engine().unreadable(block, error)),
            },
        }
    }
}

/// Where the bytes at an offset are.
enum Sought {
    Here(Piece),
    /// A block is not here: the way to it, as far as it goes.
    Missing(Box<Descent>),
}

/// What a read has to wait for.
enum Missing {
    /// A block: it has to be fetched, and there the descent goes on.
    Block(Box<Descent>),
    /// Bytes of a staged block that the page cache has not.
    Disk(Piece),
}

impl Missing {
    /// Where in the file the bytes end that are waited for, if that is known.
    fn end(&self) -> Option<u64> {
        match self {
            Self::Block(descent) => descent.leaf_end(),
            Self::Disk(piece) => Some(piece.span.end),
        }
    }
}

impl Cursor {
    /// The current block, if `offset` is in it and it is still staged.
    fn piece_at(&self, offset: u64) -> Option<Piece> {
        let current = self.current.as_ref()?;
        if !current.span.contains(&offset) {
            return None;
        }
        let (block, at) = (current.block.upgrade()?, current.at);
        Some(Piece {
            span: current.span.clone(),
            source: Source::Staged { block, at },
            above: None,
        })
    }

    /// Where to start looking for another.
    fn above(&self) -> Option<&Arc<Above>> {
        self.current.as_ref()?.above.as_ref()
    }

    /// Has come to another block.
    fn now_at(&mut self, mut piece: Piece) -> Piece {
        let (block, at) = match &piece.source {
            Source::Staged { block, at } => (Arc::downgrade(block), *at),
            Source::Memory(_) => (Weak::new(), 0),
        };
        self.current = Some(Current {
            span: piece.span.clone(),
            block,
            at,
            above: piece.above.take(),
        });
        piece
    }
}
