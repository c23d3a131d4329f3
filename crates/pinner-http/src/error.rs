//! The crate's one error, and the one place where it becomes a `PinnerError`.
//!
//! Each variant is one way for the caller to react. Every variant names the endpoint. None holds credentials, a whole
//! URL (a token may be in its query) or more than a few lines of an answer.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header};
use pinner_api::{Cause, PinnerError};

use crate::Endpoint;

/// An error of another crate.
pub(crate) type Source = Box<dyn Error + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client cannot be made, or the request cannot be sent as it is: no header can hold the credentials, or the
    /// server speaks no TLS, or its certificate is not trusted. Nothing was sent, and asking again changes nothing.
    #[error("no call to {endpoint} can be made: {reason}")]
    Unusable {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The reason.
        reason: String,
        /// The cause, if there is one.
        source: Option<Source>,
    },
    /// There is no connection, or it went away before an answer came. The failure may pass.
    #[error("{endpoint} cannot be reached; is a server running there?")]
    Unreachable {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The cause.
        source: Source,
    },
    /// The deadline passed, or a stream made no progress. The failure may pass.
    #[error("{endpoint} did not answer within {after:?}: {waiting}")]
    TimedOut {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// How long the caller waited.
        after: Duration,
        /// The step that the caller waited for.
        waiting: Waiting,
    },
    /// The server answered with a status that is not a success.
    #[error("{endpoint} answered {0}", endpoint = .0.endpoint)]
    Status(Box<StatusError>),
    /// The server redirects the client, which is not allowed ([`Redirects`](crate::Redirects)).
    #[error(
        "{endpoint} redirects to {to}, which is not followed; if that is the right address, name it instead"
    )]
    Redirected {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The scheme and host of the redirect's target.
        to: String,
    },
    /// The answer ended too early, or nothing in it says where it ends. The failure may pass.
    #[error("the answer of {endpoint} was cut short after {received} bytes")]
    CutShort {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The number of bytes of the body that were received.
        received: u64,
        /// The cause.
        source: Source,
    },
    /// The answer is larger than was asked for. No more than the limit was read.
    #[error("the answer of {endpoint} is larger than {limit} bytes")]
    TooLarge {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer began well, but its trailer `X-Stream-Error` says that it failed.
    #[error("{endpoint} failed in the middle of its answer: {message}")]
    StreamError {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The server's own words.
        message: String,
    },
    /// The answer is not HTTP.
    #[error("{endpoint} does not speak HTTP, or garbles it")]
    Malformed {
        /// The server.
        endpoint: Arc<Endpoint>,
        /// The cause.
        source: Source,
    },
}

/// The step of a call that a deadline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// Waiting for a turn: for one of the calls in flight to end.
    Turn,
    /// Waiting for a connection and the first line of an answer.
    Answer,
    /// Waiting for the rest of an answer.
    Rest,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn => "the limit on calls in flight was reached",
            Self::Answer => "no answer began",
            Self::Rest => "the answer did not end",
        })
    }
}

/// An answer whose status is not a success.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatusError {
    /// The server.
    pub endpoint: Arc<Endpoint>,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The start of the body, at most 4 KiB, with bytes that are not UTF-8 replaced.
    pub body: String,
    /// How long to wait before the next call, if the server says.
    pub retry_after: Option<Duration>,
}

impl StatusError {
    /// The media type, without its parameters, in lower case; empty if there is none.
    pub fn media_type(&self) -> String {
        media_type(&self.headers)
    }

    /// The first line of the body, at most 200 characters, with control characters escaped. Shows nothing of a web
    /// page.
    fn words(&self) -> String {
        let line = self.body.trim().lines().next().unwrap_or_default();
        if self.media_type() == "text/html" || line.starts_with('<') {
            return "a web page".to_owned();
        }
        line.chars()
            .take(200)
            .collect::<String>()
            .escape_debug()
            .to_string()
            .replace("\\\"", "\"")
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words();
        match words.is_empty() {
            true => write!(f, "{}", self.status),
            false => write!(f, "{}: {words}", self.status),
        }
    }
}

/// The media type of an answer, without its parameters, in lower case; empty if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (kind, _) = value.split_once(';').unwrap_or((value, ""));
    kind.trim().to_ascii_lowercase()
}

impl HttpError {
    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Unusable { endpoint, .. }
            | Self::Unreachable { endpoint, .. }
            | Self::TimedOut { endpoint, .. }
            | Self::Redirected { endpoint, .. }
            | Self::CutShort { endpoint, .. }
            | Self::TooLarge { endpoint, .. }
            | Self::StreamError { endpoint, .. }
            | Self::Malformed { endpoint, .. } => endpoint,
            Self::Status(status) => &status.endpoint,
        }
    }

    /// The answer, if there was one and its status is not a success.
    pub fn status(&self) -> Option<&StatusError> {
        match self {
            Self::Status(status) => Some(status),
            Self::Unusable { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Redirected { .. }
            | Self::CutShort { .. }
            | Self::TooLarge { .. }
            | Self::StreamError { .. }
            | Self::Malformed { .. } => None,
        }
    }

    /// How long to wait before the next call, if the server says.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status().and_then(|status| status.retry_after)
    }

    /// Turns the error into a [`PinnerError`] about `operation`, which says what was asked for (`block bafy…`). The
    /// endpoint is added. A status may have a meaning to one backend alone (a 404 that proves an absence, a 500 with
    /// a message). That backend has to handle it before it calls this.
    ///
    /// | failure | result |
    /// |---|---|
    /// | 401, 403, 407, 451, and every 4xx not named here | `Denied` |
    /// | 429 | `RateLimited` |
    /// | 404, 405, 408, 410, 425, 5xx and every other status | `Unavailable` |
    /// | a redirect that is not followed, a request that cannot be sent | `Denied` |
    /// | no connection, a trailer that reports a failure | `Unavailable` |
    /// | a deadline | `TimedOut` |
    /// | cut short, too large, not HTTP | `Corrupt` |
    pub fn into_pinner(self, operation: impl fmt::Display) -> PinnerError {
        let operation = format!("{operation} at {}", self.endpoint());
        match self {
            Self::Unreachable { .. } | Self::StreamError { .. } => PinnerError::Unavailable {
                operation,
                source: Some(Cause::new(self)),
            },
            Self::TimedOut { after, .. } => PinnerError::TimedOut { operation, after },
            Self::Status(status) => status.into_pinner(operation),
            Self::Unusable { .. } | Self::Redirected { .. } => PinnerError::Denied {
                operation,
                reason: with_causes(&self),
            },
            Self::CutShort { .. } | Self::TooLarge { .. } | Self::Malformed { .. } => {
                PinnerError::Corrupt {
                    operation,
                    reason: with_causes(&self),
                }
            }
        }
    }
}

impl StatusError {
    fn into_pinner(self, operation: String) -> PinnerError {
        match self.status.as_u16() {
            429 => PinnerError::RateLimited {
                operation,
                retry_after: self.retry_after,
            },
            // The path is not there, or not yet. Most likely this is the wrong server, or one that is starting.
            404 | 405 | 408 | 410 | 425 => PinnerError::Unavailable {
                operation,
                source: Some(Cause::new(HttpError::Status(Box::new(self)))),
            },
            400..500 => PinnerError::Denied {
                operation,
                reason: self.to_string(),
            },
            _ => PinnerError::Unavailable {
                operation,
                source: Some(Cause::new(HttpError::Status(Box::new(self)))),
            },
        }
    }
}

/// An error's message and those of its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
