//! [`Answer`]: a whole body in memory, never more of it than was asked for.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};

use crate::{HttpError, body::Body, error::media_type};

/// A whole answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status, which is a success.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// The trailers, which come after the body.
    pub trailers: HeaderMap,
}

impl Answer {
    /// The media type, without its parameters, in lower case; empty if there is none.
    pub fn media_type(&self) -> String {
        media_type(&self.headers)
    }
}

/// Reads the whole of `body`, at most `limit` bytes.
pub(crate) async fn read_whole(
    body: &mut Body,
    headers: &HeaderMap,
    limit: usize,
    too_large: impl Fn() -> HttpError,
) -> Result<Bytes, HttpError> {
    let announced = announced_length(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let Some(first) = body.next().await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(too_large());
    }
    let Some(second) = body.next().await? else {
        // The whole body came at once: nothing is copied.
        return Ok(first);
    };
    // The announced length is trusted up to the limit, because the caller is ready to hold that much.
    let expected = announced.map_or(0, |length| length as usize);
    let mut whole = BytesMut::with_capacity(expected.max(first.len() + second.len()).min(limit));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(bytes) = next {
        if whole.len() + bytes.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&bytes);
        next = body.next().await?;
    }
    Ok(whole.freeze())
}

/// The length in the header, in bytes.
fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
