//! A file's bytes as the guest pulls them. Staged bytes are read straight into the guest's memory.
//!
//! Nothing is read that no read of the guest's asked for, and at most [`MAX_READ`] bytes at a time. A stream that waits
//! keeps at most [`READY_BYTES`] bytes, which count towards the session's memory (I9).

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use wasmtime::{
    StoreContextMut,
    component::{Destination, StreamProducer, StreamResult, VecBuffer},
};

use super::outcome::Outcome;
use crate::{
    node::{Error, FileNode, Waiting},
    p2::stream::{MAX_READ, READY_BYTES},
    streams::StreamGuard,
};

/// Bytes that a stream has ready, or waits for.
enum Ahead {
    /// A wait that the guest has begun. It outlives a read that the guest cancels, since a guest that reads with a short
    /// timer beside it would otherwise start the fetch anew each time and never get a byte. In IPFS it goes on in a task
    /// of its own, since the guest may never read again.
    Waiting(Waiting<Bytes>),
    /// The result of a wait, for the next read. The bytes are kept because a block that found no room in staging is gone
    /// by then.
    Ready(Result<Bytes, Error>),
}

/// `read-via-stream` on a file of ours.
pub(crate) struct FileProducer {
    file: Arc<dyn FileNode>,
    position: u64,
    ahead: Option<Ahead>,
    outcome: Outcome,
    _counted: Option<StreamGuard>,
}

impl FileProducer {
    pub(crate) fn new(
        file: Arc<dyn FileNode>,
        position: u64,
        outcome: Outcome,
        counted: Option<StreamGuard>,
    ) -> Self {
        Self {
            file,
            position,
            ahead: None,
            outcome,
            _counted: counted,
        }
    }

    /// Reads as much as is there without waiting. `None` means that not a single byte is there, and that the file goes
    /// on. No bytes mean the end.
    fn read(&mut self, into: &mut [u8]) -> Option<Result<usize, Error>> {
        match self.ahead.take() {
            None => self.file.try_read_into(self.position, into),
            Some(Ahead::Ready(Err(error))) => Some(Err(error)),
            Some(Ahead::Ready(Ok(bytes))) => Some(Ok(self.read_behind(bytes, into))),
            waiting @ Some(Ahead::Waiting(_)) => {
                self.ahead = waiting;
                None
            }
        }
    }

    /// Reads the bytes of a wait, and what else is there behind them.
    fn read_behind(&mut self, mut bytes: Bytes, into: &mut [u8]) -> usize {
        let first = bytes.split_to(into.len().min(bytes.len()));
        let (begin, rest) = into.split_at_mut(first.len());
        begin.copy_from_slice(&first);
        if !bytes.is_empty() {
            self.ahead = Some(Ahead::Ready(Ok(bytes)));
        }
        if first.is_empty() || rest.is_empty() {
            return first.len();
        }
        let behind = self.position.saturating_add(first.len() as u64);
        match self.file.try_read_into(behind, rest) {
            Some(Ok(more)) => first.len() + more,
            // The next read meets the wait or the error.
            Some(Err(_)) | None => first.len(),
        }
    }

    /// Waits until the next read has bytes, an error, or the end.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ahead = self.ahead.get_or_insert_with(|| {
            match self.file.clone().begin_read(self.position, READY_BYTES) {
                Ok(waiting) => Ahead::Waiting(waiting),
                Err(limit) => Ahead::Ready(Err(limit)),
            }
        });
        if let Ahead::Waiting(wait) = ahead {
            *ahead = Ahead::Ready(ready!(Pin::new(wait).poll(context)));
        }
        Poll::Ready(())
    }
}

impl<D> StreamProducer<D> for FileProducer {
    type Item = u8;
    /// Always empty: bytes go straight into the guest's memory.
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let me = self.get_mut();
        if !finish {
            // A guest that reads for ever lets others run.
            ready!(pin!(tokio::task::coop::consume_budget()).poll(context));
        }
        let mut destination = destination.as_direct(store, MAX_READ);
        loop {
            let into = destination.remaining();
            let len = into.len().min(MAX_READ);
            // A read of no bytes only asks whether there are any.
            if len > 0
                && let Some(read) = me.read(&mut into[..len])
            {
                return Poll::Ready(Ok(match read {
                    Ok(0) => {
                        me.outcome.end();
                        StreamResult::Dropped
                    }
                    Ok(read) => {
                        me.position = me.position.saturating_add(read as u64);
                        destination.mark_written(read);
                        StreamResult::Completed
                    }
                    Err(error) => {
                        me.outcome.failed(&error);
                        StreamResult::Dropped
                    }
                }));
            }
            match me.poll_ready(context) {
                Poll::Ready(()) if len == 0 => return Poll::Ready(Ok(StreamResult::Completed)),
                Poll::Ready(()) => {}
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
