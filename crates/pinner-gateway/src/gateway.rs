//! [`Gateway`]: one trustless gateway, one request for each block.
//!
//! This module interprets a gateway's answers. It knows nothing of other gateways.

use std::sync::Arc;

use cid::Cid;
use pinner_api::{Bytes, MAX_BLOCK};
use pinner_http::{
    Answer, Client, Endpoint, HeaderName, HeaderValue, HttpError, Progress, RetryPolicy,
    StatusError, header,
};
use tokio::time::Instant;

use crate::GatewayError;

/// The media type of a raw block.
const RAW: &str = "application/vnd.ipld.raw";
/// The media type of bytes that the server does not know, as simple servers and caches of blocks give it. The hash
/// decides whether they are the block.
const BYTES: &str = "application/octet-stream";
/// The header in which a gateway repeats the path that it looked up. A 404 with this header is about the content; a
/// 404 without it is not.
const IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");

/// One trustless gateway.
///
/// It can be used by itself, by backends whose node has a gateway beside its own interface.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: Client,
    endpoint: Arc<Endpoint>,
    /// The value of `Host`, if it differs from the endpoint's own.
    host: Option<HeaderValue>,
}

impl Gateway {
    /// The gateway that `client` asks. The client's limits, credentials, redirects and retries apply.
    pub fn new(client: Client) -> Self {
        Self {
            endpoint: Arc::new(client.endpoint().clone()),
            host: path_host(client.endpoint()),
            client,
        }
    }

    /// The gateway's address.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the block's bytes, **unverified**, by `deadline`. It reads at most [`MAX_BLOCK`] of them.
    ///
    /// # Errors
    /// * [`GatewayError::Absent`]: the gateway looked for the block and does not have it (404 with `X-Ipfs-Path`,
    ///   410). A 404 without that header says only that there is no such page.
    /// * [`GatewayError::NotABlock`]: the answer is not a raw block.
    /// * [`GatewayError::Http`]: everything else; a block over the limit is
    ///   [`TooLarge`](pinner_http::HttpError::TooLarge).
    ///
    /// # Cancellation
    /// The request is cancelled and its connection closed.
    pub async fn block(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, GatewayError> {
        self.ask(cid, deadline, None, None).await
    }

    /// The same, with `retry` in place of the client's own policy, while `progress` tells how far the call has come.
    pub(crate) async fn ask(
        &self,
        cid: &Cid,
        deadline: Instant,
        retry: Option<RetryPolicy>,
        progress: Option<&Progress>,
    ) -> Result<Bytes, GatewayError> {
        let mut request = self
            .client
            .get(&format!("ipfs/{cid}"))
            // The format is given twice: some gateways read the query, some caches before them the header.
            .query("format", "raw")
            .header(header::ACCEPT, HeaderValue::from_static(RAW))
            // The hash shows whether the body is whole.
            .until_closed();
        if let Some(host) = &self.host {
            request = request.header(header::HOST, host.clone());
        }
        if let Some(retry) = retry {
            request = request.retry(retry);
        }
        if let Some(progress) = progress {
            request = request.progress(progress.clone());
        }
        match request.whole(MAX_BLOCK, deadline).await {
            Ok(answer) => self.block_of(answer),
            Err(HttpError::Status(status)) if proves_absence(&status) => {
                Err(GatewayError::Absent {
                    cid: *cid,
                    endpoint: self.endpoint.clone(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn block_of(&self, answer: Answer) -> Result<Bytes, GatewayError> {
        let media_type = answer.media_type();
        if answer.status == 200 && (media_type == RAW || media_type == BYTES) {
            return Ok(answer.body);
        }
        Err(GatewayError::NotABlock {
            endpoint: self.endpoint.clone(),
            media_type: match answer.status.as_u16() {
                200 if media_type.is_empty() => "something of no type".to_owned(),
                200 => media_type.escape_debug().to_string(),
                status => format!("status {status}"),
            },
        })
    }
}

/// Whether a failure proves that the gateway looked for the block and does not have it.
fn proves_absence(status: &StatusError) -> bool {
    match status.status.as_u16() {
        404 => status.headers.contains_key(IPFS_PATH),
        410 => true,
        _ => false,
    }
}

/// The `Host` header that avoids a redirect. A node's gateway that is addressed as `localhost` redirects every path
/// to a subdomain, which costs a second request and a connection for each block. Addressed by IP, it answers at once.
fn path_host(endpoint: &Endpoint) -> Option<HeaderValue> {
    match (endpoint.host(), endpoint.port()) {
        (Some("localhost"), Some(port)) if !endpoint.is_https() => {
            HeaderValue::try_from(format!("127.0.0.1:{port}")).ok()
        }
        (_, _) => None,
    }
}
