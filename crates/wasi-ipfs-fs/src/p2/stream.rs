//! A file's bytes as the guest pulls them, by stream or by position.
//!
//! Invariant (I7): a stream is `Closed` at the end of the file and nowhere else. After an error it stays where it was
//! and tries again at the next read: a preview 1 guest keeps its stream after an error and would take `Closed` for
//! the end of the file.

use std::pin::Pin;

use bytes::Bytes;
use pinset::{Advice, Error, File};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::errno;

/// The most bytes that one call gives, as in wasmtime-wasi: what a guest asks for is no size to allocate by (I9).
pub(crate) const MAX_READ: usize = 64 * 1024;

/// Up to `len` bytes (at most [`MAX_READ`]) from `offset` on: fewer only where the file ends, or where what comes
/// next cannot be had; empty only at or past the end.
///
/// What is staged is copied on the current thread without waiting. Such reads count against tokio's cooperative
/// budget, so that a guest that reads for ever lets others run.
pub(crate) async fn read_at(file: &File, offset: u64, len: usize) -> Result<Bytes, Error> {
    let read = file.read_up_to(offset, len.min(MAX_READ)).await;
    tokio::task::coop::consume_budget().await;
    read
}

/// How much a wait brings: wasmtime-wasi's own measure.
const READY_BYTES: usize = 4096;

/// What a stream has to hand out, or waits for.
enum Ahead {
    /// A wait that the guest has begun. It outlives the poll that began it: a guest that polls with a short timer
    /// beside it would else start the fetch anew each time, and never get a byte.
    Waiting(Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>),
    /// What a wait brought, bytes or error, for the next read. The bytes are kept, since a block for which there was
    /// no room in staging is gone by then.
    Ready(Result<Bytes, Error>),
}

/// `read-via-stream` on a file of ours.
pub(crate) struct FileStream {
    file: File,
    position: u64,
    /// Boxed: a guest that seeks makes a stream for each read, and nearly none has anything ahead.
    ahead: Option<Box<Ahead>>,
}

impl FileStream {
    pub(crate) fn new(file: File, position: u64) -> Self {
        Self {
            file,
            position,
            ahead: None,
        }
    }

    fn at_end(&self) -> bool {
        self.position >= self.file.len()
    }

    /// Hands out what a wait brought, if one did.
    fn take_ahead(&mut self, size: usize) -> Option<StreamResult<Bytes>> {
        match *self.ahead.take()? {
            Ahead::Ready(Err(error)) => Some(Err(errno::stream_failed(error))),
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

    /// Hands out what was read at the position; nothing read is the end.
    fn advance(&mut self, bytes: Bytes) -> StreamResult<Bytes> {
        if bytes.is_empty() {
            return Err(StreamError::Closed);
        }
        self.move_by(bytes.len());
        Ok(bytes)
    }

    /// What is ahead, or waited for, belongs to the old position.
    fn move_by(&mut self, len: usize) {
        self.position = self.position.saturating_add(len as u64);
        self.ahead = None;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileStream {
    async fn ready(&mut self) {
        if self.at_end() {
            return;
        }
        let ahead = self.ahead.get_or_insert_with(|| {
            let (file, position) = (self.file.clone(), self.position);
            Box::new(Ahead::Waiting(Box::pin(async move {
                read_at(&file, position, READY_BYTES).await
            })))
        });
        if let Ahead::Waiting(wait) = &mut **ahead {
            **ahead = Ahead::Ready(wait.await);
        }
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
        match self.file.try_read_at(self.position, size.min(MAX_READ)) {
            Some(Ok(bytes)) => self.advance(bytes),
            Some(Err(error)) => Err(errno::stream_failed(error)),
            None => {
                // Not to wait is this call's contract; the fetch may start all the same, as wasmtime-wasi's read does.
                self.file.advise(self.position, 1, Advice::WillNeed);
                Ok(Bytes::new())
            }
        }
    }

    /// What a preview 1 guest's every read is: filled up to `size` across the blocks' boundaries.
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        if let Some(given) = self.take_ahead(size) {
            return given;
        }
        match read_at(&self.file, self.position, size).await {
            Ok(bytes) => self.advance(bytes),
            Err(error) => Err(errno::stream_failed(error)),
        }
    }

    /// Skipping reads nothing: what is skipped is never fetched.
    fn skip(&mut self, size: usize) -> StreamResult<usize> {
        if size == 0 {
            return Ok(0);
        }
        if self.at_end() {
            return Err(StreamError::Closed);
        }
        let left = self.file.len() - self.position;
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(size);
        self.move_by(skipped);
        Ok(skipped)
    }

    async fn blocking_skip(&mut self, size: usize) -> StreamResult<usize> {
        self.skip(size)
    }
}
