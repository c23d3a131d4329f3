//! Open files: reads at any offset. A read takes the blocks that are staged, and fetches the missing blocks on its way,
//! and no others.
//!
//! An open handle holds no block, only the place of its current one (I9).

use std::{
    ops::Range,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    cache::staged::{OFF_THREAD, Staged},
    error::Error,
    grant::allowance::{HandleGuard, KeptMemory},
    metadata::{Identity, Metadata},
    path::{place::Linked, root_cid::RootCid},
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

/// An open file. All clones are the same handle, with one position for read-ahead.
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
    /// Marks the pin as in use.
    _pin: Option<PinGuard>,
}

/// How many bytes a wait for readiness reads, as in wasmtime-wasi.
const READY_BYTES: usize = 4096;

/// The most pieces that one turn of a read takes. A file may consist of leaves of one byte each, and a read must not keep
/// its thread for long.
const PIECES_A_TURN: usize = 256;

/// The position of a handle's reads.
#[derive(Debug, Default)]
struct Cursor {
    /// The block of the last read. Reads that stay in it count as one use of it.
    current: Option<Current>,
    /// Bytes that a wait for readiness read and that no read has taken yet.
    ready: Option<Ready>,
    ahead: ReadAhead,
}

struct Current {
    span: Range<u64>,
    block: Weak<Staged>,
    at: u64,
    above: Option<Arc<Above>>,
    /// Whether the block found no room in staging.
    unstaged: bool,
    /// The bytes of such a block, as far as the session's memory allows. Otherwise each read of the block would depend on
    /// what other readers leave in memory, or fetch it again.
    memory: Option<(Bytes, KeptMemory)>,
}

#[derive(Debug)]
struct Ready {
    span: Range<u64>,
    bytes: Bytes,
    _memory: KeptMemory,
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

    /// The file's length in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a file's length, not a collection's"
    )]
    pub fn len(&self) -> u64 {
        self.inner.tree.len
    }

    /// The file's metadata.
    pub fn metadata(&self) -> Metadata {
        self.inner.metadata
    }

    pub(crate) fn target(&self) -> &Target {
        self.inner.tree.target()
    }

    /// The file's CID.
    pub fn cid(&self) -> RootCid {
        RootCid::of(self.inner.tree.target())
    }

    /// The file's identity, which is the same for the same content on every host.
    pub fn identity(&self) -> Identity {
        match self.inner.tree.target() {
            Target::Block(cid) => Identity::of(cid),
            Target::Inline { bytes, .. } => Identity::of_bytes(bytes),
        }
    }

    /// Reads up to `len` bytes from `offset`, as many as are available without waiting. The result has at least one
    /// byte, except at or past the end. Returns `None` if a block has to be fetched, or if the read has to wait for the
    /// disk.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let mut filling = self.filling(offset, len, Gathered::default());
        let filled = self.try_fill(&mut filling)?;
        Some(filled.map(|()| self.served(filling).into_bytes()))
    }

    /// Like [`try_read_at`](Self::try_read_at), but reads into the caller's slice. Returns the number of bytes read.
    /// Staged bytes are copied once, out of the page cache, without an allocation. The rest of the slice is
    /// unspecified.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn try_read_into(&self, offset: u64, into: &mut [u8]) -> Option<Result<usize, Error>> {
        let mut filling = self.filling(offset, into.len(), Slice::new(into));
        let filled = self.try_fill(&mut filling)?;
        Some(filled.map(|()| self.served(filling).filled()))
    }

    /// Reads `len` bytes from `offset`, or fewer if the file ends before (I7).
    ///
    /// Fetches the blocks that hold the bytes and the tree's nodes on the way. Read-ahead may fetch more for a
    /// sequential reader. Dropping the future does not affect other readers.
    ///
    /// # Errors
    /// The errors of fetching: [`Error::Fetch`], [`Error::Corrupt`], [`Error::Malformed`], [`Error::Unsupported`],
    /// [`Error::Staging`], [`Error::LimitReached`], [`Error::Closed`].
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut filling = self.filling(offset, len, Gathered::default());
        if let Some(missing) = self.fill(&mut filling)? {
            Box::pin(self.fill_waiting(&mut filling, missing)).await?;
        }
        Ok(self.served(filling).into_bytes())
    }

    /// Like [`read_at`](Self::read_at), but reads into the caller's slice, up to the slice's end or the file's. Returns
    /// the number of bytes read. After an error, or when the future is dropped, the slice's content is unspecified.
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

    /// Like [`read_at`](Self::read_at), but returns the bytes before a block that cannot be loaded, as a disk would.
    /// The result is empty only at or past the end.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), if not a single byte precedes the error.
    pub async fn read_up_to(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut filling = self.filling(offset, len, Gathered::default());
        let filled = match self.fill(&mut filling) {
            // Boxed, so that a read that does not wait has a small future. Nearly all reads do not wait.
            Ok(Some(missing)) => Box::pin(self.fill_waiting(&mut filling, missing)).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match filled {
            Err(error) if filling.is_empty() => Err(error),
            // The next read starts at the error's offset and returns it.
            Ok(()) | Err(_) => Ok(self.served(filling).into_bytes()),
        }
    }

    /// Waits until [`try_read_at`](Self::try_read_at) can return bytes at `offset`, up to 4 KiB of which this handle keeps
    /// for it. They count towards [`Limits::memory_bytes`](crate::Limits::memory_bytes) until they are read, or until the
    /// handle is ready elsewhere.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn ready(&self, offset: u64) -> Result<(), Error> {
        let memory = self.session().allowance().keep(READY_BYTES as u64)?;
        let bytes = self.read_up_to(offset, READY_BYTES).await?;
        let ready = Ready {
            span: offset..offset + bytes.len() as u64,
            bytes: Bytes::copy_from_slice(&bytes),
            _memory: memory,
        };
        lock(&self.inner.cursor).ready = Some(ready);
        Ok(())
    }

    /// Takes the guest's advice about its future reads. It is a hint, so this never fails.
    pub fn advise(&self, offset: u64, len: u64, advice: Advice) {
        let mut cursor = lock(&self.inner.cursor);
        let Cursor { current, ahead, .. } = &mut *cursor;
        ahead.advise(self.reading(current), offset, len, advice);
    }

    /// Fetches the rest of a read over several blocks concurrently, while the reader waits for the first.
    fn want(&self, range: Range<u64>) {
        let mut cursor = lock(&self.inner.cursor);
        let Cursor { current, ahead, .. } = &mut *cursor;
        ahead.want(self.reading(current), range);
    }

    fn reading<'a>(&'a self, current: &'a Option<Current>) -> Reading<'a> {
        Reading {
            session: self.session(),
            tree: &self.inner.tree,
            above: current.as_ref().and_then(|it| it.above.as_ref()),
            unstaged: current.as_ref().is_some_and(|it| it.unstaged),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.inner.session
    }

    fn filling<S: Sink>(&self, offset: u64, len: usize, sink: S) -> Filling<S> {
        let left = self.len().saturating_sub(offset);
        let len = usize::try_from(left).map_or(len, |left| left.min(len));
        Filling::new(offset, len, sink)
    }

    /// Reports a finished read to read-ahead and the counters, and returns its bytes.
    fn served<S: Sink>(&self, filling: Filling<S>) -> S {
        let read = filling.offset()..filling.at();
        if filling.is_empty() {
            return filling.into_sink();
        }
        let sink = filling.into_sink();
        self.session().engine().counters.served(sink.filled());
        self.session().allowance().count_served(sink.filled());
        let mut cursor = lock(&self.inner.cursor);
        let Cursor {
            current,
            ready,
            ahead,
        } = &mut *cursor;
        if ready.as_ref().is_some_and(|it| it.span.end <= read.end) {
            *ready = None;
        }
        let leaf = current.as_ref().map(|current| current.span.clone());
        ahead.note(self.reading(current), read, leaf);
        sink
    }

    /// Fills as much as possible without waiting. Returns `None` if that is not a single byte, although the file has
    /// bytes there.
    fn try_fill<S: Sink>(&self, filling: &mut Filling<S>) -> Option<Result<(), Error>> {
        match self.fill(filling) {
            Ok(Some(_)) if filling.is_empty() => None,
            Err(error) if filling.is_empty() => Some(Err(error)),
            // The next read starts where this one ends, and meets the wait or the error.
            Ok(_) | Err(_) => Some(Ok(())),
        }
    }

    /// Fills as much as possible in one turn without waiting, block by block. Returns what to wait for, if the read is
    /// not complete.
    fn fill<S: Sink>(&self, filling: &mut Filling<S>) -> Result<Option<Missing>, Error> {
        for turn in 0.. {
            let Some(offset) = filling.next() else {
                break;
            };
            if turn == PIECES_A_TURN {
                return Ok(Some(Missing::Turn));
            }
            self.session().engine().ensure_open()?;
            self.session().allowance().ensure_open()?;
            let piece = match self.piece_at(offset)? {
                Sought::Here(piece) => piece,
                Sought::Missing(descent) => return Ok(Some(Missing::Block(descent))),
            };
            if !self.try_take(&piece, filling)? && !self.take_blocking(&piece, filling)? {
                return Ok(Some(Missing::Disk(piece)));
            }
        }
        Ok(None)
    }

    /// Waits for the missing block or disk read, and fills to the end.
    async fn fill_waiting<S: Sink>(
        &self,
        filling: &mut Filling<S>,
        mut missing: Missing,
    ) -> Result<(), Error> {
        let mut wanted = false;
        loop {
            if matches!(missing, Missing::Turn) {
                tokio::task::yield_now().await;
                missing = match self.fill(filling)? {
                    Some(missing) => missing,
                    None => return Ok(()),
                };
                continue;
            }
            if !filling.is_empty() && !wanted {
                // The rest of a read over several blocks is fetched concurrently.
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

    /// Returns the piece of the file that contains `offset` if its block is here, or else the descent towards it, as
    /// far as it got.
    fn piece_at(&self, offset: u64) -> Result<Sought, Error> {
        let mut cursor = lock(&self.inner.cursor);
        if let Some(piece) = cursor.piece_at(offset) {
            return Ok(Sought::Here(piece));
        }
        let above = cursor.above();
        let mut descent = self.inner.tree.descent(offset, Purpose::Read, above);
        Ok(match descent.step(self.session().engine())? {
            Some(piece) => Sought::Here(cursor.now_at(piece, self.session())),
            None => Sought::Missing(Box::new(descent)),
        })
    }

    /// Takes the next bytes out of a piece, unless this would have to wait for the disk. Returns whether it took them.
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

    /// Takes the next bytes out of a staged block on the current thread, if this may wait for the disk. Returns whether
    /// it took them.
    fn take_blocking<S: Sink>(
        &self,
        piece: &Piece,
        filling: &mut Filling<S>,
    ) -> Result<bool, Error> {
        let engine = self.session().engine();
        let Source::Staged { block, at: start } = &piece.source else {
            return Ok(false);
        };
        if !engine.may_block() {
            return Ok(false);
        }
        let (at, len) = filling.within(piece);
        let read = block.extent().read_blocking((start + at) as usize, len);
        let bytes = read.map_err(|error| engine.unreadable(block, error))?;
        filling.push(bytes.into());
        Ok(true)
    }

    /// Waits for the missing block or disk read, and returns the next bytes. The wait holds no block, so a reader that is
    /// not polled keeps none in staging.
    async fn wait_for<S: Sink>(
        &self,
        missing: Missing,
        filling: &Filling<S>,
    ) -> Result<Bytes, Error> {
        let session = self.session();
        let latency = lock(&self.inner.cursor).ahead.waits_at(filling.at());
        let start = Instant::now();
        let was_here = matches!(missing, Missing::Disk(_));
        let piece = match missing {
            Missing::Turn => return Ok(Bytes::new()),
            Missing::Disk(piece) => piece,
            Missing::Block(descent) => {
                let origin = &self.inner.tree.linked.origin;
                let piece = descent.fetch(session, origin, &latency).await;
                let mut cursor = lock(&self.inner.cursor);
                cursor.ahead.waited(start.elapsed());
                cursor.now_at(piece?, session)
            }
        };
        let (at, len) = filling.within(&piece);
        let reading = match piece.source {
            Source::Memory(bytes) => return Ok(bytes.slice(at as usize..at as usize + len)),
            Source::Staged { block, at: start } => {
                let engine = session.engine();
                // A block that was just written is in the page cache.
                if !was_here && len <= OFF_THREAD {
                    match block.try_read(start + at, len) {
                        Ok(Some(bytes)) => return Ok(bytes),
                        Ok(None) => {}
                        Err(error) => return Err(engine.unreadable(&block, error)),
                    }
                }
                engine.read_staged(block, start + at, len)
            }
        };
        reading.await
    }
}

/// The result of looking up the bytes at an offset.
enum Sought {
    Here(Piece),
    /// A block is not here. This is the descent towards the bytes, as far as it got.
    Missing(Box<Descent>),
}

/// The reason why a read has to wait.
enum Missing {
    /// A block has to be fetched. The descent continues there.
    Block(Box<Descent>),
    /// Bytes of a staged block are not in the page cache.
    Disk(Piece),
    /// This turn has taken enough pieces.
    Turn,
}

impl Missing {
    /// The offset in the file at which the missing bytes end, if it is known.
    fn end(&self) -> Option<u64> {
        match self {
            Self::Block(descent) => descent.leaf_end(),
            Self::Disk(piece) => Some(piece.span.end),
            Self::Turn => None,
        }
    }
}

impl Cursor {
    /// Returns the current block, if `offset` is in it and it is still here.
    fn piece_at(&self, offset: u64) -> Option<Piece> {
        if let Some(ready) = self.ready.as_ref().filter(|it| it.span.contains(&offset)) {
            return Some(Piece {
                span: ready.span.clone(),
                source: Source::Memory(ready.bytes.clone()),
                above: None,
            });
        }
        let current = self.current.as_ref()?;
        if !current.span.contains(&offset) {
            return None;
        }
        let source = match &current.memory {
            Some((bytes, _)) => Source::Memory(bytes.clone()),
            None => Source::Staged {
                block: current.block.upgrade()?,
                at: current.at,
            },
        };
        Some(Piece {
            span: current.span.clone(),
            source,
            above: None,
        })
    }

    /// The nodes above the current block, from which the search for another block starts.
    fn above(&self) -> Option<&Arc<Above>> {
        self.current.as_ref()?.above.as_ref()
    }

    /// Makes the piece's block the current one.
    fn now_at(&mut self, mut piece: Piece, session: &Session) -> Piece {
        // The memory of the block before is free for this one.
        self.current = None;
        let (block, at, memory) = match &piece.source {
            Source::Staged { block, at } => (Arc::downgrade(block), *at, None),
            Source::Memory(bytes) => {
                let memory = session.allowance().keep(bytes.len() as u64);
                (Weak::new(), 0, memory.ok().map(|it| (bytes.clone(), it)))
            }
        };
        self.current = Some(Current {
            span: piece.span.clone(),
            block,
            at,
            above: piece.above.take(),
            unstaged: matches!(piece.source, Source::Memory(_)),
            memory,
        });
        piece
    }
}
