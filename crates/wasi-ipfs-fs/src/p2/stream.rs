//! A file's bytes as the guest pulls them, by stream or by position.
//!
//! Invariant (I7): a stream is `Closed` at the end of the file and nowhere else. After an error it stays where it was
//! and tries again at the next read: a preview 1 guest keeps its stream after an error and would take `Closed` for
//! the end of the file.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::errno;
use crate::{
    errno::Failures,
    node::{Advice, Error, FileNode, Waiting},
};

/// The most bytes that one call returns, as in wasmtime-wasi. The guest's own number is not a size to allocate (I9).
pub(crate) const MAX_READ: usize = 64 * 1024;

/// Reads up to `len` bytes (at most [`MAX_READ`]) from `offset` on. Returns fewer only if the file ends or the next
/// block cannot be read, and none only at or past the end.
///
/// Staged bytes are copied on the current thread without waiting. Such reads count against tokio's cooperative budget,
/// so that a guest that reads for ever lets others run.
pub(crate) async fn read_at(file: &dyn FileNode, offset: u64, len: usize) -> Result<Bytes, Error> {
    let read = file.read(offset, len.min(MAX_READ)).await;
    tokio::task::coop::consume_budget().await;
    read
}

/// How many bytes a wait loads, as in wasmtime-wasi.
pub(crate) const READY_BYTES: usize = 4096;

/// Bytes that a stream has ready, or waits for.
enum Ahead {
    /// A wait that the guest has begun. It outlives the poll that began it. Otherwise, a guest that polls with a short
    /// timer beside it would start the fetch anew each time and never get a byte. In IPFS it goes on in a task of its
    /// own, since the guest may never poll it again.
    Waiting(Waiting<Bytes>),
    /// The result of a wait, bytes or an error, for the next read. The bytes are kept because a block that found no
    /// room in staging is gone by then.
    Ready(Result<Bytes, Error>),
}

/// `read-via-stream` on a file of ours.
pub(crate) struct FileStream {
    file: Arc<dyn FileNode>,
    position: u64,
    /// Boxed, because a guest that seeks makes a stream for each read, and nearly none of them waits.
    ahead: Option<Box<Ahead>>,
    failures: Arc<Failures>,
}

impl FileStream {
    pub(crate) fn new(file: Arc<dyn FileNode>, position: u64, failures: Arc<Failures>) -> Self {
        Self {
            file,
            position,
            ahead: None,
            failures,
        }
    }

    /// The number of bytes from the position to the end.
    fn left(&self) -> u64 {
        self.file.metadata().len.saturating_sub(self.position)
    }

    /// Returns the result of a finished wait, if there is one.
    fn take_ahead(&mut self, size: usize) -> Option<StreamResult<Bytes>> {
        match *self.ahead.take()? {
            Ahead::Ready(Err(error)) => Some(Err(errno::stream_failed(error, &self.failures))),
            Ahead::Ready(Ok(mut bytes)) => {
                let given = bytes.split_to(size.min(bytes.len()));
                let given = self.advance(given);
                if !bytes.is_empty() {
                    self.ahead = Some(Box::new(Ahead::Ready(Ok(bytes))));
                }
                Some(given)
            }
            unfinished => {
                self.ahead = Some(Box::new(unfinished));
                None
            }
        }
    }

    /// Returns the bytes read at the position, and moves it. No bytes mean the end.
    fn advance(&mut self, bytes: Bytes) -> StreamResult<Bytes> {
        if bytes.is_empty() {
            return Err(StreamError::Closed);
        }
        self.move_by(bytes.len());
        Ok(bytes)
    }

    /// Moves the position. Bytes that are ready, or waited for, belong to the old position and are dropped.
    fn move_by(&mut self, len: usize) {
        self.position = self.position.saturating_add(len as u64);
        self.ahead = None;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileStream {
    async fn ready(&mut self) {
        if self.left() == 0 {
            return;
        }
        let ahead = self.ahead.get_or_insert_with(|| {
            let read = self.file.clone().begin_read(self.position, READY_BYTES);
            Box::new(match read {
                Ok(waiting) => Ahead::Waiting(waiting),
                Err(limit) => Ahead::Ready(Err(limit)),
            })
        });
        if let Ahead::Waiting(wait) = &mut **ahead {
            **ahead = Ahead::Ready(wait.await);
        }
        tokio::task::coop::consume_budget().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        if let Some(given) = self.take_ahead(size) {
            return given;
        }
        match self.file.try_read(self.position, size.min(MAX_READ)) {
            Some(Ok(bytes)) => self.advance(bytes),
            Some(Err(error)) => Err(errno::stream_failed(error, &self.failures)),
            None => {
                // This call must not wait. It may still start the fetch, as wasmtime-wasi's read does.
                self.file.advise(self.position, 1, Advice::WillNeed);
                Ok(Bytes::new())
            }
        }
    }

    /// Every read of a preview 1 guest comes here. It is filled up to `size` across the boundaries of blocks.
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        if let Some(given) = self.take_ahead(size) {
            return given;
        }
        match read_at(&*self.file, self.position, size).await {
            Ok(bytes) => self.advance(bytes),
            Err(error) => Err(errno::stream_failed(error, &self.failures)),
        }
    }

    /// Skipping reads nothing: skipped blocks are never fetched.
    fn skip(&mut self, size: usize) -> StreamResult<usize> {
        if size == 0 {
            return Ok(0);
        }
        let left = self.left();
        if left == 0 {
            return Err(StreamError::Closed);
        }
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(size);
        self.move_by(skipped);
        Ok(skipped)
    }

    async fn blocking_skip(&mut self, size: usize) -> StreamResult<usize> {
        self.skip(size)
    }
}
