//! The HTTP below the object store: [`pinner_http`], with its limits, its retries and its rules for redirects.
//!
//! Invariant: nothing but a range is read, by one deadline, from one server. The store makes the requests, with
//! signatures; a failure passes through it as the [`PinnerError`] that it becomes here.

use async_trait::async_trait;
use bytes::BytesMut;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use pinner_api::PinnerError;
use pinner_http::{Client, HttpError as CallError, Streamed, header};
use tokio::time::{Duration, Instant};

use crate::failure::{Failed, changed, reading};

/// The deadline of a request, which the caller of the store attaches to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By(pub(crate) Instant);

/// How long a server may send nothing within an answer. The request is made again then, if there is time.
const STALL: Duration = Duration::from_secs(10);

/// The largest range that is asked for, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The HTTP of one server.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) client: Client,
    /// The name of the archive in messages.
    pub(crate) name: String,
}

impl HttpConnector for Service {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let range = self.range_of(&request)?;
        let operation = || reading(&self.name, &range);
        let Some(By(by)) = request.extensions().get::<By>().copied() else {
            return Err(self.refused("a request without a deadline"));
        };
        let target = request.uri().path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        let mut call = self.client.get_escaped(target);
        // Whoever asked knows how much there has to be.
        call = call.until_closed();
        for (name, value) in request.headers() {
            call = call.header(name.clone(), value.clone());
        }
        let mut answer = match call.stream(by, STALL).await {
            Ok(answer) => answer,
            Err(error) => {
                let error = match error.status().map(|status| status.status.as_u16()) {
                    Some(412) => changed(operation()),
                    Some(416) => PinnerError::Corrupt {
                        operation: operation(),
                        reason: "the server says that there are no such bytes".to_owned(),
                    },
                    _ => error.into_pinner(operation()),
                };
                return Err(finally(error));
            }
        };
        if answer.status().as_u16() != 206 {
            return Err(finally(PinnerError::Denied {
                operation: operation(),
                reason: format!(
                    "the server does not serve ranges (it answered {}), and an archive is not downloaded whole; \
                     copy it to a local file",
                    answer.status()
                ),
            }));
        }
        let bytes = body(&mut answer, range.end - range.start, &operation).await?;
        let mut response = HttpResponse::new(HttpResponseBody::from(bytes.freeze()));
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}

impl Service {
    /// The range that is asked for. Nothing else is ever asked.
    fn range_of(&self, request: &HttpRequest) -> Result<std::ops::Range<u64>, HttpError> {
        let range = request.headers().get(header::RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let range = range.and_then(|(first, last)| {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            Some(first..last.checked_add(1)?)
        });
        let is_read = request.method() == "GET";
        match range.filter(|range| is_read && range.start < range.end) {
            Some(range) if range.end - range.start <= LARGEST => Ok(range),
            Some(_) | None => Err(self.refused("a request that is not for a range")),
        }
    }

    fn refused(&self, what: &str) -> HttpError {
        finally(PinnerError::Denied {
            operation: format!("read '{}'", self.name),
            reason: what.to_owned(),
        })
    }
}

/// Reads the body, which has at most `limit` bytes. The caller of the store ends this at the deadline.
async fn body(
    answer: &mut Streamed,
    limit: u64,
    operation: &(dyn Fn() -> String + Sync),
) -> Result<BytesMut, HttpError> {
    let mut bytes = BytesMut::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > limit => {
                return Err(finally(PinnerError::Corrupt {
                    operation: operation(),
                    reason: "the server sent more than was asked for".to_owned(),
                }));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(broken(error, operation())),
        }
    }
}

/// An answer that broke off. The store asks again.
fn broken(error: CallError, operation: String) -> HttpError {
    let failed = Failed(error.into_pinner(operation));
    HttpError::new(HttpErrorKind::Interrupted, failed)
}

/// A failure after which the store does not ask again: what may pass has been retried already.
fn finally(error: PinnerError) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, Failed(error))
}
