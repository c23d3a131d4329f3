//! [`Request`]: one call, retried as the policy says, within its deadline.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Url;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    address::Refused,
    answer::{Answer, read_whole},
    body::{Body, End, cause, without_url},
    client::Client,
    error::{HttpError, Source, StatusError, Waiting},
    progress::Progress,
    retry::RetryPolicy,
    stream::{Begun, Streamed},
};

/// How much of the body of a failure is kept, in bytes.
const EXCERPT: usize = 4096;

/// How long the body of a failure is waited for. The status has come, so the rest only explains it.
const EXCERPT_WITHIN: Duration = Duration::from_secs(1);

/// The longest wait that a server can ask for, so that whoever adds it to a time cannot overflow: a year.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One call to be made. Dropping the future that makes the call closes its connection, so the server sees that nobody
/// waits.
#[must_use = "nothing is sent before `whole` or `stream`"]
#[derive(Debug)]
pub struct Request {
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    retry: RetryPolicy,
    progress: Progress,
    end: End,
    wrong: Option<String>,
}

impl Client {
    /// A GET of `path` below the endpoint's own path. Its segments are joined by `/`, and each is escaped.
    pub fn get(&self, path: &str) -> Request {
        Request::new(self.clone(), Method::GET, path)
    }

    /// A GET of a path and query on the endpoint's server, both escaped as they are to be sent: where a signature covers
    /// them. The endpoint's own path does not count.
    pub fn get_escaped(&self, target: &str) -> Request {
        let mut request = Request::new(self.clone(), Method::GET, "");
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        request.url.set_path(path);
        request.url.set_query(query);
        request
    }

    /// A POST to `path`, which is as for [`get`](Self::get), with an empty body.
    pub fn post(&self, path: &str) -> Request {
        Request::new(self.clone(), Method::POST, path)
    }
}

impl Request {
    fn new(client: Client, method: Method, path: &str) -> Self {
        Self {
            url: client.endpoint.url(path),
            retry: client.retry,
            body: (method == Method::POST).then(Bytes::new),
            headers: HeaderMap::new(),
            progress: Progress::default(),
            end: End::Told,
            wrong: None,
            client,
            method,
        }
    }

    /// Adds `name=value` to the query. A name may occur several times.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets this header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, media_type: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, media_type);
        self.body = Some(bytes.into());
        self
    }

    /// Sets one file as the body, in a multipart form under the name `file`, as nodes expect files.
    pub fn file(self, bytes: &[u8]) -> Self {
        // A boundary must not occur in the content that it bounds.
        let mut boundary = String::from("a-file-ends-here");
        while bytes
            .windows(boundary.len())
            .any(|window| window == boundary.as_bytes())
        {
            boundary.push_str("-not");
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let whole = [head.as_bytes(), bytes, tail.as_bytes()].concat();
        match HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}")) {
            Ok(kind) => self.body(kind, whole),
            Err(error) => Self {
                wrong: Some(error.to_string()),
                ..self
            },
        }
    }

    /// Retries by this policy instead of the client's.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Keeps `progress` up to date while the call is made.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Accepts an answer that ends with its connection, as those of HTTP/1.0 do. The caller has to find out by itself
    /// whether such an answer is whole, as by a hash.
    pub fn until_closed(mut self) -> Self {
        self.end = End::MayBeClosed;
        self
    }

    /// Returns the whole answer, with at most `limit` bytes of body. It must end by `deadline`, which includes the
    /// wait for a turn, the connection and every further attempt.
    ///
    /// # Errors
    /// Every [`HttpError`]. A status that is not a success is [`HttpError::Status`].
    ///
    /// # Cancellation
    /// Closes the connection of a call in progress. The server may or may not have done what was asked.
    pub async fn whole(self, limit: usize, deadline: Instant) -> Result<Answer, HttpError> {
        let mut attempts = Attempts::by(deadline);
        loop {
            match self.attempt_whole(limit, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => attempts.wait_after(failed, &self).await?,
            }
        }
    }

    /// Returns the answer as a stream. It has to begin by `begin`. From then on, no step forward (a chunk of the body or
    /// a line, whichever is asked for, or the end) may take longer than `stall`. A failure after the beginning is not
    /// retried.
    ///
    /// # Errors
    /// Those of [`whole`](Self::whole). The stream returns later errors.
    ///
    /// # Cancellation
    /// As for [`whole`](Self::whole). A stream that is dropped before its end closes its connection.
    pub async fn stream(self, begin: Instant, stall: Duration) -> Result<Streamed, HttpError> {
        let mut attempts = Attempts::by(begin);
        loop {
            match self.begin(begin).await {
                Ok(begun) => return Ok(Streamed::new(begun, self.client.endpoint, stall)),
                Err(failed) => attempts.wait_after(failed, &self).await?,
            }
        }
    }

    /// Makes one attempt, up to the end of the body.
    async fn attempt_whole(&self, limit: usize, deadline: Instant) -> Result<Answer, Attempt> {
        let mut begun = self.begin(deadline).await?;
        let too_large = || HttpError::TooLarge {
            endpoint: self.client.endpoint.clone(),
            limit,
        };
        let read = read_whole(&mut begun.body, &begun.headers, limit, too_large);
        let body = timeout_at(deadline, read).await;
        Ok(Answer {
            body: body.map_err(|_| Late(Waiting::Rest))??,
            status: begun.status,
            trailers: begun.body.trailers().clone(),
            headers: begun.headers,
        })
    }

    /// Makes one attempt, up to the headers of a success.
    async fn begin(&self, deadline: Instant) -> Result<Begun, Attempt> {
        let endpoint = &self.client.endpoint;
        self.progress.has_come_to(Waiting::Turn);
        let turn = timeout_at(deadline, self.client.turns.clone().acquire_owned())
            .await
            .map_err(|_| Late(Waiting::Turn))?
            .map_err(|closed| self.unusable("the client is shutting down", Some(closed.into())))?;
        // A turn that is free at once is taken even after the deadline. Nothing is sent then.
        if Instant::now() >= deadline {
            return Err(Late(Waiting::Turn).into());
        }
        self.progress.has_come_to(Waiting::Answer);
        let sent = self.client.http.execute(self.message()?);
        let answer = match timeout_at(deadline, sent).await {
            Err(_) => return Err(Late(Waiting::Answer).into()),
            Ok(Err(error)) => return Err(self.not_sent(error).into()),
            Ok(Ok(answer)) => answer,
        };
        self.progress.has_come_to(Waiting::Rest);
        let answer = http::Response::<reqwest::Body>::from(answer);
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_redirection() {
            return Err(HttpError::Redirected {
                endpoint: endpoint.clone(),
                to: self.target(&headers),
            }
            .into());
        }
        if !status.is_success() {
            return Err(self.refused(answer, deadline).await.into());
        }
        Ok(Begun {
            status,
            headers,
            body: Body::new(answer, endpoint.clone(), self.end)?,
            turn,
        })
    }

    /// The message that is sent.
    fn message(&self) -> Result<reqwest::Request, HttpError> {
        if let Some(reason) = &self.wrong {
            return Err(self.unusable(reason, None));
        }
        let mut message = reqwest::Request::new(self.method.clone(), self.url.clone());
        *message.headers_mut() = self.headers.clone();
        if let Some(value) = &self.client.authorization {
            message
                .headers_mut()
                .insert(header::AUTHORIZATION, value.clone());
        }
        if self.body.as_ref().is_some_and(Bytes::is_empty) {
            // Otherwise no length is sent at all, and some proxies refuse a POST without one.
            let none = HeaderValue::from_static("0");
            message.headers_mut().insert(header::CONTENT_LENGTH, none);
        }
        *message.body_mut() = self.body.clone().map(Into::into);
        Ok(message)
    }

    /// The error for a status that is not a success, with the start of the body if that comes in time.
    async fn refused(&self, answer: http::Response<reqwest::Body>, deadline: Instant) -> HttpError {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        let by = deadline.min(Instant::now() + EXCERPT_WITHIN);
        // A failure of the rest does not matter.
        if let Ok(mut rest) = Body::new(answer, self.client.endpoint.clone(), End::MayBeClosed) {
            while body.len() <= EXCERPT
                && let Ok(Ok(Some(bytes))) = timeout_at(by, rest.next()).await
            {
                body.extend_from_slice(&bytes);
            }
        }
        body.truncate(EXCERPT);
        HttpError::Status(Box::new(StatusError {
            endpoint: self.client.endpoint.clone(),
            status,
            retry_after: retry_after(&headers),
            body: String::from_utf8_lossy(&body).into_owned(),
            headers,
        }))
    }

    /// The error for a call that got no answer at all.
    fn not_sent(&self, error: reqwest::Error) -> HttpError {
        let endpoint = self.client.endpoint.clone();
        if error.is_builder() {
            return self.unusable("the request is not valid", Some(without_url(error)));
        }
        // A server that does not speak TLS, or has another server's certificate, does not improve by waiting.
        if cause::<rustls::Error>(&error).is_some() {
            return self.unusable(
                "TLS failed; is the address right, and is its certificate trusted?",
                Some(without_url(error)),
            );
        }
        if cause::<Refused>(&error).is_some() {
            return self.unusable("its address may not be asked", Some(without_url(error)));
        }
        let garbled = cause::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse);
        let source = without_url(error);
        match garbled {
            true => HttpError::Malformed { endpoint, source },
            false => HttpError::Unreachable { endpoint, source },
        }
    }

    fn unusable(&self, reason: &str, source: Option<Source>) -> HttpError {
        HttpError::Unusable {
            endpoint: self.client.endpoint.clone(),
            reason: reason.to_owned(),
            source,
        }
    }

    /// The scheme and host of a redirect's target.
    fn target(&self, headers: &HeaderMap) -> String {
        let location = headers
            .get(header::LOCATION)
            .and_then(|to| to.to_str().ok());
        match location.map(|location| self.url.join(location)) {
            Some(Ok(url)) => match url.host_str() {
                Some(host) => format!("{}://{host}", url.scheme()),
                None => format!("{}:", url.scheme()),
            },
            Some(Err(_)) | None => "an unknown place".to_owned(),
        }
    }
}

/// The attempts at one call, up to its deadline.
struct Attempts {
    started: Instant,
    deadline: Instant,
    failed: u32,
}

impl Attempts {
    fn by(deadline: Instant) -> Self {
        Self {
            started: Instant::now(),
            deadline,
            failed: 0,
        }
    }

    /// Waits until the next attempt may be made. Returns the failure itself if there is no next attempt, or if it
    /// would come after the deadline.
    async fn wait_after(&mut self, failed: Attempt, request: &Request) -> Result<(), HttpError> {
        let error = match failed {
            Attempt::Failed(error) => error,
            Attempt::Late(Late(waiting)) => HttpError::TimedOut {
                endpoint: request.client.endpoint.clone(),
                after: self.deadline.saturating_duration_since(self.started),
                waiting,
            },
        };
        self.failed += 1;
        let Some(wait) = request.retry.wait(self.failed, &error) else {
            return Err(error);
        };
        // A server may ask for more time than a clock can count.
        let again = Instant::now().checked_add(wait);
        let Some(again) = again.filter(|again| *again < self.deadline) else {
            return Err(error);
        };
        tracing::debug!(%error, failed = self.failed, ?wait, "a call failed and is made again");
        sleep_until(again).await;
        Ok(())
    }
}

/// The deadline passed at this step.
pub(crate) struct Late(Waiting);

/// How an attempt failed.
enum Attempt {
    Late(Late),
    Failed(HttpError),
}

impl From<Late> for Attempt {
    fn from(late: Late) -> Self {
        Self::Late(late)
    }
}

impl From<HttpError> for Attempt {
    fn from(error: HttpError) -> Self {
        Self::Failed(error)
    }
}

/// `Retry-After`, in seconds or as a date, but no more than [`LONGEST_RETRY_AFTER`].
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let when = httpdate::parse_http_date(text).ok()?;
            // A date in the past means now.
            when.duration_since(std::time::SystemTime::now())
                .unwrap_or_default()
        }
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

// Backends make calls inside futures that move between threads.
const _: () = {
    const fn sent<F: Send>(_: &F) {}
    #[expect(dead_code, reason = "it is compiled, not called")]
    fn calls_can_be_sent(a: Request, b: Request, now: Instant) {
        sent(&a.whole(0, now));
        sent(&b.stream(now, Duration::ZERO));
    }
};
