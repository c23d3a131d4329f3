//! One call of Kubo's RPC: a POST with its arguments in the query, and the meaning of a refusal.
//!
//! This module knows no command by name. A call with an absolute deadline also sends it to the node, so that the node
//! does not work on after the caller has stopped waiting.

use std::{fmt, time::Duration};

use block_hash::HashFunction;
use cid::Cid;
use kubo_protocol::{Reason, Refusal};
use pinner_api::{Cause, PinnerError};
use pinner_http::{Answer, Client, HttpError, Request, Streamed};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// The longest answer that is neither a block nor a listing, in bytes.
const SHORT_ANSWER: usize = 64 * 1024;

/// One call, before it is made.
#[derive(Debug)]
pub(crate) struct Call {
    request: Request,
    /// The command and its subject, for errors.
    operation: String,
}

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) struct CallError {
    operation: String,
    /// The time that the call had.
    after: Duration,
    /// Whether that time had passed when the call failed: the head of the node's answer may have arrived, but not its
    /// message.
    late: bool,
    pub(crate) http: HttpError,
}

/// Prepares a call of `command` (`pin/add`). The `subject` is only named in errors.
pub(crate) fn call(client: &Client, command: &str, subject: impl fmt::Display) -> Call {
    Call {
        request: client.post(&format!("api/v0/{command}")),
        operation: format!("{command} {subject}"),
    }
}

impl Call {
    /// Adds `arg=value`, a positional argument.
    pub(crate) fn arg(self, value: impl ToString) -> Self {
        self.option("arg", value)
    }

    /// Adds an option.
    pub(crate) fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.request = self.request.query(name, &value.to_string());
        self
    }

    /// Adds a file as the body.
    pub(crate) fn file(mut self, bytes: &[u8]) -> Self {
        self.request = self.request.file(bytes);
        self
    }

    /// Makes the call and returns the whole answer, of at most `limit` bytes, by the deadline.
    pub(crate) async fn whole(self, limit: usize, deadline: Instant) -> Result<Answer, CallError> {
        let after = deadline.saturating_duration_since(Instant::now());
        // Kubo parses a duration as Go does, with its unit. Without a unit, it answers with status 200 and no body.
        let told = self
            .request
            .query("timeout", &format!("{}ms", after.as_millis().max(1)));
        told.whole(limit, deadline).await.map_err(|http| CallError {
            operation: self.operation,
            after,
            late: Instant::now() >= deadline,
            http,
        })
    }

    /// Makes the call and parses the answer as JSON.
    ///
    /// # Errors
    /// The outer error is that of the call. The inner one is `Corrupt` if the answer cannot be parsed.
    pub(crate) async fn json<T: DeserializeOwned>(
        self,
        limit: usize,
        deadline: Instant,
    ) -> Result<Result<T, PinnerError>, CallError> {
        let operation = self.operation.clone();
        let answer = self.whole(limit, deadline).await?;
        Ok(parsed(&operation, &answer.body))
    }

    /// Makes the call for its effect. The answer to a successful call is read and ignored.
    pub(crate) async fn done(self, deadline: Instant) -> Result<(), CallError> {
        self.whole(SHORT_ANSWER, deadline).await.map(|_| ())
    }

    /// Makes the call and returns the answer as a stream. It must begin within `stall`, and each further piece must
    /// arrive within `stall`.
    ///
    /// No deadline is sent to the node: the call may legitimately take hours, and closing the connection ends it.
    pub(crate) async fn stream(self, stall: Duration) -> Result<Lines, CallError> {
        let operation = self.operation;
        match self.request.stream(Instant::now() + stall, stall).await {
            Ok(streamed) => Ok(Lines {
                streamed,
                operation,
                stall,
            }),
            Err(http) => Err(CallError {
                operation,
                after: stall,
                late: false,
                http,
            }),
        }
    }
}

/// The lines of an answer, each of them JSON.
#[derive(Debug)]
pub(crate) struct Lines {
    streamed: Streamed,
    operation: String,
    stall: Duration,
}

impl Lines {
    /// Returns the next line, or `None` at the end of a complete answer.
    pub(crate) async fn next<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Result<T, PinnerError>>, CallError> {
        match self.streamed.line(SHORT_ANSWER).await {
            Ok(Some(line)) => Ok(Some(parsed(&self.operation, &line))),
            Ok(None) => Ok(None),
            Err(http) => Err(CallError {
                operation: self.operation.clone(),
                after: self.stall,
                late: false,
                http,
            }),
        }
    }
}

fn parsed<T: DeserializeOwned>(operation: &str, json: &[u8]) -> Result<T, PinnerError> {
    serde_json::from_slice(json).map_err(|error| PinnerError::Corrupt {
        operation: operation.to_owned(),
        reason: format!("the answer is not one of a Kubo node: {error}"),
    })
}

impl CallError {
    /// The meaning of the refusal, if it was the node that refused.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if let Some(status) = self.http.status() {
            let code = status.status.as_u16();
            return Some(Refusal::new(Some(code), status.body.as_bytes()));
        }
        match &self.http {
            // Status 200 and some lines, followed by a trailer that says that the call failed.
            HttpError::StreamError { message, .. } => Some(Refusal::from_message(message)),
            _ => None,
        }
    }

    /// Whether the node refused for this reason.
    pub(crate) fn is(&self, reason: Reason) -> bool {
        self.refusal()
            .is_some_and(|refusal| refusal.reason == reason)
    }

    /// Converts it to the trait's error; `about` is the block that the call was about, if there is one.
    pub(crate) fn into_pinner(self, about: Option<&Cid>) -> PinnerError {
        let Some(refusal) = self.refusal() else {
            return self.http.into_pinner(self.operation);
        };
        let operation = format!("{} at {}", self.operation, self.http.endpoint());
        match refusal.reason {
            Reason::BlockAbsent { cid } => match cid.as_ref().or(about) {
                Some(cid) => PinnerError::NotFound { cid: *cid },
                None => unavailable(operation, refusal),
            },
            Reason::DeadlineExceeded => PinnerError::TimedOut {
                operation,
                after: self.after,
            },
            Reason::Other if self.late => PinnerError::TimedOut {
                operation,
                after: self.after,
            },
            Reason::Denied => PinnerError::Denied {
                operation,
                reason: format!(
                    "{refusal}; the secret must be one of the node's API.Authorizations, and this call among its \
                     AllowedPaths"
                ),
            },
            Reason::NotUnixFs | Reason::BadRequest => PinnerError::Denied {
                operation,
                reason: refusal.message,
            },
            Reason::RateLimited | Reason::NoSuchCommand => self.http.into_pinner(self.operation),
            Reason::NameAbsent
            | Reason::NameUnresolved
            | Reason::NotPinned
            | Reason::UpdateFromGone
            | Reason::UpdateToThere
            | Reason::EntryThere
            | Reason::EntryAbsent
            | Reason::Other => unavailable(operation, refusal),
        }
    }
}

/// The error for a failure inside the node, with the node's own words.
fn unavailable(operation: String, refusal: Refusal) -> PinnerError {
    PinnerError::Unavailable {
        operation,
        source: Some(Cause::new(refusal)),
    }
}

/// Whether the empty block can have this CID. An unknown hash function counts as yes.
pub(crate) fn may_be_empty(cid: &Cid) -> bool {
    match HashFunction::of(cid.hash()) {
        Ok(function) => function.matches(b"", cid.hash()),
        Err(_) => cid.hash().code() != 0 || cid.hash().digest().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    #[test]
    fn only_the_hash_of_nothing_is_a_hash_of_nothing() {
        let empty = Cid::new_v1(0x55, Code::Sha2_256.digest(b""));
        assert!(may_be_empty(&empty));
        assert!(!may_be_empty(&Cid::new_v1(
            0x55,
            Code::Blake3_256.digest(b"x")
        )));
        let identity = |data: &[u8]| {
            Cid::new_v1(
                0x55,
                cid::multihash::Multihash::wrap(0, data).expect("short"),
            )
        };
        assert!(may_be_empty(&identity(b"")) && !may_be_empty(&identity(b"x")));
    }
}
