//! [`Gateway`]: one trustless gateway, one request a block.
//!
//! Owns what an answer means. Knows nothing of other gateways.

use std::sync::Arc;

use cid::Cid;
use pinner_api::{Bytes, MAX_BLOCK};
use pinner_http::{
    Answer, Client, Endpoint, HeaderName, HeaderValue, HttpError, RetryPolicy, StatusError, header,
};
use tokio::time::Instant;

use crate::GatewayError;

/// The media type of a block as it is.
const RAW: &str = "application/vnd.ipld.raw";
/// What a gateway looked for; that it looked at all is what makes its 404 an answer about content.
const IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");

/// One trustless gateway.
///
/// A source of blocks by itself, for backends whose node has a gateway beside its own interface.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: Client,
    endpoint: Arc<Endpoint>,
    /// What `Host` says, where that is not the endpoint's own.
    host: Option<HeaderValue>,
}

impl Gateway {
    /// The gateway that `client` asks. Its limits, credentials, redirects and retries hold.
    pub fn new(client: Client) -> Self {
        Self {
            endpoint: Arc::new(client.endpoint().clone()),
            host: path_host(client.endpoint()),
            client,
        }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The block's bytes, **unverified**, by `deadline`; at most [`MAX_BLOCK`] of them are read.
    ///
    /// # Errors
    /// * [`GatewayError::Absent`]: the gateway looked, and it is not there (404 with `X-Ipfs-Path`, 410). A 404
    ///   without that header says only that there is no such page.
    /// * [`GatewayError::NotABlock`]: something else came.
    /// * [`GatewayError::Http`]: everything else; a block over the limit is
    ///   [`TooLarge`](pinner_http::HttpError::TooLarge).
    ///
    /// # Cancellation
    /// The request is given up and its connection closed.
    pub async fn block(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, GatewayError> {
        self.ask(cid, deadline, None).await
    }

    /// The same, tried again by `retry` and not by the client's own policy.
    pub(crate) async fn ask(
        &self,
        cid: &Cid,
        deadline: Instant,
        retry: Option<RetryPolicy>,
    ) -> Result<Bytes, GatewayError> {
        let mut request = self
            .client
            .get(&format!("ipfs/{cid}"))
            // Said twice: some gateways look at the one, some caches before them at the other.
            .query("format", "raw")
            .header(header::ACCEPT, HeaderValue::from_static(RAW));
        if let Some(host) = &self.host {
            request = request.header(header::HOST, host.clone());
        }
        if let Some(retry) = retry {
            request = request.retry(retry);
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
        if answer.status == 200 && media_type == RAW {
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

/// Whether a failure says that the gateway looked for the block and has none.
fn proves_absence(status: &StatusError) -> bool {
    match status.status.as_u16() {
        404 => status.headers.contains_key(IPFS_PATH),
        410 => true,
        _ => false,
    }
}

/// A node's gateway that is called `localhost` sends every path to a name of its own below that, which costs a
/// second request and a connection a block; called by an address, it answers.
fn path_host(endpoint: &Endpoint) -> Option<HeaderValue> {
    match (endpoint.host(), endpoint.port()) {
        (Some("localhost"), Some(port)) if !endpoint.is_https() => {
            HeaderValue::try_from(format!("127.0.0.1:{port}")).ok()
        }
        (_, _) => None,
    }
}
