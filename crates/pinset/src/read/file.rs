//! Open files: reads at any offset, out of staging where the blocks are there, else by fetching just those on the
//! way.
//!
//! An open handle holds no block, only where its current one is to be found (I9).

use std::{
    ops::Range,
    sync::{Arc, Mutex, Weak},
};

use bytes::{Bytes, BytesMut};
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
        readahead::{Advice, ReadAhead, Reading},
        tree::{Above, Piece, Purpose, Scratch, Source, Step, Tree},
    },
    session::Session,
    sync::lock,
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

    /// Its CID.
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
        let len = self.clamp(offset, len);
        if len == 0 {
            return Some(Ok(Bytes::new()));
        }
        let first = match self.try_read_piece(offset, len) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        };
        if first.len() == len {
            self.note(offset, len);
            return Some(Ok(first));
        }
        // The read crosses into the next block: as far as that is at hand.
        let mut all = BytesMut::with_capacity(len);
        all.extend_from_slice(&first);
        while all.len() < len {
            match self.try_read_piece(offset + all.len() as u64, len - all.len()) {
                Ok(Some(bytes)) => all.extend_from_slice(&bytes),
                Ok(None) => break,
                // The next read meets it, at its very offset.
                Err(_) => break,
            }
        }
        self.note(offset, all.len());
        Some(Ok(all.freeze()))
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
        let len = self.clamp(offset, len);
        if len == 0 {
            return Ok(Bytes::new());
        }
        let first = self.read_piece(offset, len).await?;
        let bytes = if first.len() == len {
            first
        } else {
            let mut all = BytesMut::with_capacity(len);
            all.extend_from_slice(&first);
            self.want(offset + first.len() as u64..offset + len as u64);
            while all.len() < len {
                let at = offset + all.len() as u64;
                all.extend_from_slice(&self.read_piece(at, len - all.len()).await?);
            }
            all.freeze()
        };
        self.note(offset, bytes.len());
        Ok(bytes)
    }

    /// Waits until [`try_read_at`](Self::try_read_at) has something at `offset`.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn ready(&self, offset: u64) -> Result<(), Error> {
        self.read_piece(offset, self.clamp(offset, 1))
            .await
            .map(|_| ())
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

    fn clamp(&self, offset: u64, len: usize) -> usize {
        let left = self.len().saturating_sub(offset);
        usize::try_from(left).map_or(len, |left| left.min(len))
    }

    /// Tells read-ahead, and the counters, of a read that was served.
    fn note(&self, offset: u64, len: usize) {
        self.session().engine().counters.served(len);
        let mut cursor = lock(&self.inner.cursor);
        let Cursor { current, ahead } = &mut *cursor;
        let leaf = current.as_ref().map(|current| current.span.clone());
        ahead.note(self.reading(current), offset..offset + len as u64, leaf);
    }

    /// Bytes of one block, if they are at hand.
    fn try_read_piece(&self, offset: u64, len: usize) -> Result<Option<Bytes>, Error> {
        let (session, tree) = (self.session(), &self.inner.tree);
        session.engine().open()?;
        let mut cursor = lock(&self.inner.cursor);
        let piece = match cursor.piece_at(offset) {
            Some(piece) => piece,
            None => {
                let (scratch, purpose) = (Scratch::default(), Purpose::Read);
                match tree.step(session, offset, &scratch, purpose, cursor.above())? {
                    Step::Ready(piece) => cursor.now_at(piece),
                    Step::Need { .. } => return Ok(None),
                }
            }
        };
        drop(cursor);
        let (at, len) = within(&piece, offset, len);
        match &piece.source {
            Source::Memory(bytes) => Ok(Some(bytes.slice(at as usize..at as usize + len))),
            Source::Staged { block, at: start } => block
                .try_read(start + at, len)
                .map_err(|error| self.session().engine().unreadable(block, error)),
        }
    }

    /// Bytes of one block.
    async fn read_piece(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.try_read_piece(offset, len)? {
            return Ok(bytes);
        }
        let (session, tree) = (self.session(), &self.inner.tree);
        let latency = lock(&self.inner.cursor).ahead.waits_at(offset);
        let start = Instant::now();
        let piece = tree.descend(session, offset, Purpose::Read, &latency).await;
        let piece = {
            let mut cursor = lock(&self.inner.cursor);
            cursor.ahead.waited(start.elapsed());
            cursor.now_at(piece?)
        };
        let (at, len) = within(&piece, offset, len);
        match &piece.source {
            Source::Memory(bytes) => Ok(bytes.slice(at as usize..at as usize + len)),
            Source::Staged { block, at: start } => match block.read(start + at, len).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.session().engine().unreadable(block, error)),
            },
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

/// Where in a piece `offset` is, and how many of `len` bytes the piece has from there.
fn within(piece: &Piece, offset: u64, len: usize) -> (u64, usize) {
    let left = piece.span.end - offset;
    let len = usize::try_from(left).map_or(len, |left| left.min(len));
    (offset - piece.span.start, len)
}
