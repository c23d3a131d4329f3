//! One call of Kubo's RPC: a POST with its arguments in the query, and what a refusal of it means.
//!
//! Knows no command by name. Every call that has an absolute deadline tells it to the node as well, so that the node
//! does not go on for nobody.

use std::{fmt, time::Duration};

use cid::Cid;
use kubo_protocol::{Reason, Refusal};
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Cause, PinnerError};
use pinner_http::{Answer, Client, HttpError, Request, Streamed};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// The longest answer that is no block and no listing, in bytes.
const SHORT_ANSWER: usize = 64 * 1024;

/// One call, before it is made.
#[derive(Debug)]
pub(crate) struct Call {
    request: Request,
    /// Said in errors: the command and what it is about.
    operation: String,
}

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) struct CallError {
    operation: String,
    /// How long it could take.
    after: Duration,
    /// Whether that was over when it failed: the node's answer may have come, and its words not any more.
    late: bool,
    pub(crate) http: HttpError,
}

/// A call of `command` (`pin/add`), about `subject`, which only errors name.
pub(crate) fn call(client: &Client, command: &str, subject: impl fmt::Display) -> Call {
    Call {
        request: client.post(&format!("api/v0/{command}")),
        operation: format!("{command} {subject}"),
    }
}

impl Call {
    /// With `arg=value`: a positional argument.
    pub(crate) fn arg(self, value: impl ToString) -> Self {
        self.option("arg", value)
    }

    /// With an option.
    pub(crate) fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.request = self.request.query(name, &value.to_string());
        self
    }

    /// With a file as its body.
    pub(crate) fn file(mut self, bytes: &[u8]) -> Self {
        self.request = self.request.file(bytes);
        self
    }

    /// Makes it; the answer has at most `limit` bytes, and is there by the deadline.
    pub(crate) async fn whole(self, limit: usize, deadline: Instant) -> Result<Answer, CallError> {
        let after = deadline.saturating_duration_since(Instant::now());
        // Kubo reads a duration as Go does: with its unit. One without gets an empty answer of status 200.
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

    /// Makes it; the answer is JSON.
    ///
    /// # Errors
    /// As what this becomes; `Corrupt` where the answer is something else.
    pub(crate) async fn json<T: DeserializeOwned>(
        self,
        limit: usize,
        deadline: Instant,
    ) -> Result<Result<T, PinnerError>, CallError> {
        let operation = self.operation.clone();
        let answer = self.whole(limit, deadline).await?;
        Ok(parsed(&operation, &answer.body))
    }

    /// Makes it for its effect. What the node says of a success is read and not looked at.
    pub(crate) async fn done(self, deadline: Instant) -> Result<(), CallError> {
        self.whole(SHORT_ANSWER, deadline).await.map(|_| ())
    }

    /// Makes it; the answer begins within `stall`, and comes in steps that take no longer.
    ///
    /// The node is told no deadline: such a call may rightly take hours, and a connection that is closed ends it.
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
    /// The next, or `None` at an end that is a good one.
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
        reason: format!("the answer is not what a Kubo node gives: {error}"),
    })
}

impl CallError {
    /// What the node means, where it was the node that refused.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if let Some(status) = self.http.status() {
            let code = status.status.as_u16();
            return Some(Refusal::new(Some(code), status.body.as_bytes()));
        }
        match &self.http {
            // Status 200, some lines, and behind them that it failed.
            HttpError::StreamError { message, .. } => Some(Refusal::from_message(message)),
            _ => None,
        }
    }

    /// Whether the node refused for this reason.
    pub(crate) fn is(&self, reason: Reason) -> bool {
        self.refusal()
            .is_some_and(|refusal| refusal.reason == reason)
    }

    /// As the trait's error; `about` is the block that the call was about, if there is one.
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

/// The node fails for reasons of its own, in its own words.
fn unavailable(operation: String, refusal: Refusal) -> PinnerError {
    PinnerError::Unavailable {
        operation,
        source: Some(Cause::new(refusal)),
    }
}

/// Whether a block of no bytes can have this CID, as far as its hash function is known.
pub(crate) fn may_be_empty(cid: &Cid) -> bool {
    match Code::try_from(cid.hash().code()) {
        Ok(code) => code.digest(b"").digest() == cid.hash().digest(),
        Err(_) => cid.hash().code() != 0 || cid.hash().digest().is_empty(),
    }
}

#[cfg(test)]
mod tests {
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
