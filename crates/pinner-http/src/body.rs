//! A body that is being received: its frames, counted, and at its end the trailers. Every body is read here.

use std::{error::Error, io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Version, header};
use http_body_util::BodyExt;

use crate::{Endpoint, HttpError, error::Source};

/// The header in which a node reports that an answer failed after it had begun.
const STREAM_ERROR: HeaderName = HeaderName::from_static("x-stream-error");

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body {
    body: reqwest::Body,
    endpoint: Arc<Endpoint>,
    /// The number of bytes received.
    received: u64,
    trailers: HeaderMap,
    state: State,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By its length or its chunks.
    Told,
    /// If these are missing, the end of the connection is taken for the end of the body.
    MayBeClosed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The body was read to its end, without an error.
    Ended,
    /// An error was returned; nothing more will come.
    Failed,
}

impl Body {
    /// # Errors
    /// [`HttpError::CutShort`] if the end has to be told, and nothing says where the body ends. Such a body ends with the
    /// connection, whatever broke that.
    pub(crate) fn new(
        answer: http::Response<reqwest::Body>,
        endpoint: Arc<Endpoint>,
        end: End,
    ) -> Result<Self, HttpError> {
        let (head, body) = answer.into_parts();
        let delimited = head.version > Version::HTTP_11
            || head.headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING)
            || matches!(head.status.as_u16(), 204 | 304);
        if !delimited && end == End::Told {
            return Err(HttpError::CutShort {
                endpoint,
                received: 0,
                source: "neither its length nor its chunks say where the answer ends".into(),
            });
        }
        Ok(Self {
            body,
            endpoint,
            received: 0,
            trailers: HeaderMap::new(),
            state: State::Open,
        })
    }

    /// Returns the next bytes, never an empty chunk; `None` at the end.
    ///
    /// # Errors
    /// [`HttpError::CutShort`], and again on every later call; [`HttpError::StreamError`] at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match self.state {
                State::Open => {}
                State::Ended => return Ok(None),
                State::Failed => return Err(self.cut_short("it has failed before".into())),
            }
            // The state is set to failed only after the wait. A dropped future loses nothing, because a frame is
            // taken whole or not at all.
            match self.body.frame().await {
                None => {
                    self.state = State::Failed;
                    self.check_trailers()?;
                    self.state = State::Ended;
                }
                Some(Err(error)) => {
                    self.state = State::Failed;
                    return Err(self.cut_short(without_url(error)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => {
                        self.received += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.trailers.extend(trailers);
                        }
                    }
                },
            }
        }
    }

    /// The trailers, which come after the body; empty before its end.
    pub(crate) fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// Fails if the trailers say that the answer failed.
    fn check_trailers(&self) -> Result<(), HttpError> {
        match self.trailers.get(STREAM_ERROR) {
            None => Ok(()),
            Some(message) => Err(HttpError::StreamError {
                endpoint: self.endpoint.clone(),
                message: String::from_utf8_lossy(message.as_bytes()).into_owned(),
            }),
        }
    }

    fn cut_short(&self, source: Source) -> HttpError {
        HttpError::CutShort {
            endpoint: self.endpoint.clone(),
            received: self.received,
            source,
        }
    }
}

/// The error without its URL. The query may hold a secret, and the error's message would show it.
pub(crate) fn without_url(error: reqwest::Error) -> Source {
    Box::new(error.without_url())
}

/// The first error in the chain of causes that is a `T`.
pub(crate) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut error = Some(error);
    while let Some(this) = error {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        // The error that an I/O error wraps is not one of its sources, but the sources of the wrapped error are.
        let wrapped = this
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => this.source(),
        };
    }
    None
}
