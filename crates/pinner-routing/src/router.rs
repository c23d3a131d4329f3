//! [`Router`]: one server that is asked for providers and for IPNS records.
//!
//! This module interprets one server's answers. It knows nothing of other servers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cid::Cid;
use pinner_api::Bytes;
use pinner_http::{Client, Endpoint, HeaderValue, HttpError, RetryPolicy, Streamed, header};
use pinner_layered::{Breaker, Readiness};
use tokio::time::{Instant, timeout_at};

use crate::{
    RoutingError,
    answer::{self, GATEWAY_PROTOCOL, Plain},
    ipns::{KeyName, MAX_RECORD},
};

/// The largest answer about providers that is read, in bytes.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// The largest number of gateways that are taken for a CID.
pub(crate) const MOST_PROVIDERS: usize = 8;

/// How long more providers, or a newer record, are waited for once there is one.
pub(crate) const LINGER: Duration = Duration::from_millis(500);

/// The media types of answers.
const LINES: &str = "application/x-ndjson";
const DOCUMENT: &str = "application/json";
pub(crate) const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// One router.
#[derive(Debug)]
pub(crate) struct Router {
    client: Client,
    endpoint: Arc<Endpoint>,
    plain: Plain,
    breaker: Mutex<Breaker>,
}

impl Router {
    /// The router that `client` asks.
    pub(crate) fn new(client: Client, plain: Plain) -> Self {
        Self {
            endpoint: Arc::new(client.endpoint().clone()),
            client,
            plain,
            breaker: Mutex::default(),
        }
    }

    /// Whether it is to be asked now.
    pub(crate) fn readiness(&self) -> Readiness {
        self.breaker().readiness(Instant::now())
    }

    /// Returns gateways that provide the CID, at most [`MOST_PROVIDERS`], by `deadline`. Of an answer that breaks off,
    /// those that had come count.
    pub(crate) async fn providers(
        &self,
        cid: &Cid,
        deadline: Instant,
    ) -> Result<Vec<Endpoint>, RoutingError> {
        let began = Instant::now();
        let found = self.ask(cid, deadline).await;
        let (now, mut breaker) = (Instant::now(), self.breaker());
        match &found {
            Ok(_) => breaker.worked(began),
            Err(RoutingError::TimedOut | RoutingError::Http(HttpError::TimedOut { .. })) => {
                breaker.missed(cid, began, now);
            }
            Err(RoutingError::Http(error)) => breaker.failed(began, now, error.retry_after()),
            Err(_) => breaker.failed(began, now, None),
        }
        drop(breaker);
        found
    }

    /// Records that others had found gateways, and this router, asked at `began`, had not answered.
    pub(crate) fn overtaken(&self, cid: &Cid, began: Instant) {
        self.breaker().missed(cid, began, Instant::now());
    }

    async fn ask(&self, cid: &Cid, deadline: Instant) -> Result<Vec<Endpoint>, RoutingError> {
        let path = format!("routing/v1/providers/{}", version_1(cid));
        let accepted = "application/x-ndjson, application/json;q=0.9";
        let request = self
            .client
            .get(&path)
            .query("filter-protocols", GATEWAY_PROTOCOL)
            .header(header::ACCEPT, HeaderValue::from_static(accepted))
            .retry(RetryPolicy::NEVER);
        let left = deadline.saturating_duration_since(Instant::now());
        let streamed = match request.stream(deadline, left).await {
            Ok(streamed) => streamed,
            // The specification: to be read as an answer without providers.
            Err(HttpError::Status(status)) if status.status == 404 => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        match media_type(&streamed).as_str() {
            LINES => self.lines(streamed, deadline).await,
            DOCUMENT => self.document(streamed, deadline).await,
            "" => Err(self.malformed("it has no media type")),
            other => Err(self.malformed(&format!("it is {}", other.escape_debug()))),
        }
    }

    async fn document(
        &self,
        mut streamed: Streamed,
        deadline: Instant,
    ) -> Result<Vec<Endpoint>, RoutingError> {
        let mut body = Vec::new();
        loop {
            let chunk = timeout_at(deadline, streamed.chunk()).await;
            let Some(chunk) = chunk.map_err(|_| RoutingError::TimedOut)?? else {
                break;
            };
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let mut found = Vec::new();
        let named = answer::in_document(&body, self.plain);
        merge(&mut found, named.map_err(|reason| self.malformed(&reason))?);
        Ok(found)
    }

    async fn lines(
        &self,
        mut streamed: Streamed,
        deadline: Instant,
    ) -> Result<Vec<Endpoint>, RoutingError> {
        let (mut found, mut end, mut left) = (Vec::new(), deadline, MAX_ANSWER);
        let failed = loop {
            let line = match timeout_at(end, streamed.line(left)).await {
                Err(_) => break RoutingError::TimedOut,
                Ok(Err(error)) => break error.into(),
                Ok(Ok(None)) => return Ok(found),
                Ok(Ok(Some(line))) => line,
            };
            match answer::in_line(&line, self.plain) {
                Ok(named) => merge(&mut found, named),
                Err(reason) => break self.malformed(&reason),
            }
            if found.len() >= MOST_PROVIDERS {
                return Ok(found);
            }
            if !found.is_empty() {
                end = end.min(Instant::now() + LINGER);
            }
            // The end of a line counts too, so that empty lines come to an end.
            left = match left.checked_sub(line.len() + 1) {
                Some(left) => left,
                None => break self.too_large(),
            };
        };
        match found.is_empty() {
            true => Err(failed),
            false => {
                tracing::debug!(router = %self.endpoint, error = %failed, "an answer broke off");
                Ok(found)
            }
        }
    }

    /// Returns the record of a name, unverified, by `deadline`; `None` if the router knows none.
    pub(crate) async fn record(
        &self,
        name: &KeyName,
        deadline: Instant,
    ) -> Result<Option<Bytes>, RoutingError> {
        let request = self.client.get(&format!("routing/v1/ipns/{name}"));
        record(request, deadline).await.map(|answer| {
            // The specification: any other type is to be read as no record.
            answer.and_then(|(kind, bytes)| (kind == RECORD).then_some(bytes))
        })
    }

    /// The server's address.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    fn malformed(&self, reason: &str) -> RoutingError {
        malformed(&self.endpoint, reason)
    }

    fn too_large(&self) -> RoutingError {
        RoutingError::Http(HttpError::TooLarge {
            endpoint: self.endpoint.clone(),
            limit: MAX_ANSWER,
        })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // The values stay consistent even if a thread panicked while it held the lock.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for an answer that is not a router's or, for a record, not a gateway's.
pub(crate) fn malformed(endpoint: &Arc<Endpoint>, reason: &str) -> RoutingError {
    RoutingError::Malformed {
        endpoint: endpoint.clone(),
        reason: reason.chars().take(200).collect(),
    }
}

/// Makes a request for a record. Returns the media type and the body; `None` if there is no record.
pub(crate) async fn record(
    request: pinner_http::Request,
    deadline: Instant,
) -> Result<Option<(String, Bytes)>, RoutingError> {
    let request = request
        .header(header::ACCEPT, HeaderValue::from_static(RECORD))
        // The signature shows whether the body is whole.
        .until_closed();
    match request.whole(MAX_RECORD, deadline).await {
        Ok(answer) => Ok(Some((answer.media_type(), answer.body))),
        Err(HttpError::Status(status)) if matches!(status.status.as_u16(), 404 | 410) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Adds gateways to those that were found, each once, up to [`MOST_PROVIDERS`].
pub(crate) fn merge(found: &mut Vec<Endpoint>, more: impl IntoIterator<Item = Endpoint>) {
    for endpoint in more {
        if found.len() < MOST_PROVIDERS && !found.contains(&endpoint) {
            found.push(endpoint);
        }
    }
}

/// The spelling that routers and the caches before them expect.
fn version_1(cid: &Cid) -> Cid {
    cid.into_v1().unwrap_or(*cid)
}

/// The media type of an answer, without its parameters.
fn media_type(streamed: &Streamed) -> String {
    let value = streamed.headers().get(header::CONTENT_TYPE);
    let value = value.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (kind, _) = value.split_once(';').unwrap_or((value, ""));
    kind.trim().to_ascii_lowercase()
}
