//! [`Streamed`]: an answer that is read as it comes, with a deadline for each step forward.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_core::stream::Stream;
use http::{HeaderMap, StatusCode};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};

use crate::{
    body::Body,
    endpoint::Endpoint,
    error::{HttpError, Waiting},
};

/// An answer whose body has not been read, and the turn that it takes until then.
pub(crate) struct Begun {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) turn: OwnedSemaphorePermit,
}

/// An answer that is being read. It takes one of the client's turns until it is dropped.
///
/// Its end means success: a body that is cut off, or whose trailer reports a failure, ends with an error, and every
/// further call returns an error again. Only after [`HttpError::TimedOut`] may the caller ask again, because there
/// may be more to come.
pub struct Streamed {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    endpoint: Arc<Endpoint>,
    stall: Duration,
    /// The bytes received that were not returned yet.
    pending: BytesMut,
    /// The number of bytes of `pending` that are known to hold no end of line.
    searched: usize,
    _turn: OwnedSemaphorePermit,
}

impl Streamed {
    pub(crate) fn new(begun: Begun, endpoint: Arc<Endpoint>, stall: Duration) -> Self {
        Self {
            status: begun.status,
            headers: begun.headers,
            body: begun.body,
            endpoint,
            stall,
            pending: BytesMut::new(),
            searched: 0,
            _turn: begun.turn,
        }
    }

    /// The status, which is a success.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The trailers, which come after the body; empty before its end.
    pub fn trailers(&self) -> &HeaderMap {
        self.body.trailers()
    }

    /// Returns the next bytes as they came; `None` at the end.
    ///
    /// # Errors
    /// [`HttpError::TimedOut`] if nothing came for the stall time; [`HttpError::CutShort`];
    /// [`HttpError::StreamError`].
    ///
    /// # Cancellation
    /// Nothing is lost: the next call goes on from there.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        if !self.pending.is_empty() {
            self.searched = 0;
            return Ok(Some(self.pending.split().freeze()));
        }
        self.receive(self.stall).await
    }

    /// Returns the next line, without its end (`\n` or `\r\n`); `None` at the end. Bytes after the last end of line
    /// are a line too. This reads newline-delimited JSON.
    ///
    /// # Errors
    /// Those of [`chunk`](Self::chunk), where the line has to be whole within the stall time; and
    /// [`HttpError::TooLarge`] for a line of more than `limit` bytes.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call goes on from there.
    pub async fn line(&mut self, limit: usize) -> Result<Option<Bytes>, HttpError> {
        let asked = Instant::now();
        loop {
            let found = self.pending[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let end = found.map(|at| self.searched + at);
            if end.unwrap_or(self.pending.len()) > limit {
                return Err(HttpError::TooLarge {
                    endpoint: self.endpoint.clone(),
                    limit,
                });
            }
            if let Some(end) = end {
                let mut line = self.pending.split_to(end + 1);
                self.searched = 0;
                line.truncate(end);
                if line.ends_with(b"\r") {
                    line.truncate(end - 1);
                }
                return Ok(Some(line.freeze()));
            }
            self.searched = self.pending.len();
            // A line that drips does not count as a step forward.
            let left = self.stall.saturating_sub(asked.elapsed());
            match self.receive(left).await? {
                Some(bytes) => self.pending.extend_from_slice(&bytes),
                None if self.pending.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.pending.split().freeze()));
                }
            }
        }
    }

    /// The chunks as a stream, which ends after an error.
    pub fn into_chunks(self) -> impl Stream<Item = Result<Bytes, HttpError>> + Send {
        futures_util::stream::try_unfold(self, |mut streamed| async move {
            let chunk = streamed.chunk().await?;
            Ok(chunk.map(|chunk| (chunk, streamed)))
        })
    }

    /// The lines as a stream, which ends after an error; see [`line`](Self::line).
    pub fn into_lines(self, limit: usize) -> impl Stream<Item = Result<Bytes, HttpError>> + Send {
        futures_util::stream::try_unfold(self, move |mut streamed| async move {
            let line = streamed.line(limit).await?;
            Ok(line.map(|line| (line, streamed)))
        })
    }

    /// Returns the next bytes, if they come within this time.
    async fn receive(&mut self, within: Duration) -> Result<Option<Bytes>, HttpError> {
        match timeout(within, self.body.next()).await {
            Ok(next) => next,
            Err(_) => Err(HttpError::TimedOut {
                endpoint: self.endpoint.clone(),
                after: self.stall,
                waiting: Waiting::Rest,
            }),
        }
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("endpoint", &self.endpoint)
            .field("status", &self.status)
            .field("stall", &self.stall)
            .finish_non_exhaustive()
    }
}
