//! One version of one object, which is read by ranges.
//!
//! Invariant: every byte is of the version that was opened. Each request names its ETag where that is a strong one, and
//! each answer must have the same ETag and size.

use std::{fmt, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use pinner_api::PinnerError;
use tokio::time::{Instant, timeout_at};

use crate::{
    error::RemoteError,
    failure::{changed, from_store, reading},
    service::By,
};

/// One version of an object.
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    name: String,
    etag: String,
    size: u64,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("name", &self.name)
            .field("etag", &self.etag)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Object {
    /// Opens the object as it is now, and returns its first bytes, `first` of them if it has as many.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        path: Path,
        name: String,
        first: u64,
        by: Instant,
    ) -> Result<(Self, Bytes), RemoteError> {
        let mut object = Self {
            store,
            path,
            name,
            etag: String::new(),
            size: 0,
        };
        let (version, bytes) = match object.get(0..first, None, by).await {
            Ok(got) => got,
            Err(source) => {
                let name = object.name;
                return Err(RemoteError::Read { name, source });
            }
        };
        let Some(etag) = version.etag else {
            return Err(RemoteError::NoEtag { name: object.name });
        };
        (object.etag, object.size) = (etag, version.size);
        Ok((object, bytes))
    }

    /// The name of the object in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }

    /// The length of the object in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes in `range`, all of them, by `by`.
    pub(crate) async fn read(&self, range: Range<u64>, by: Instant) -> Result<Bytes, PinnerError> {
        let operation = || reading(&self.name, &range);
        if range.end > self.size {
            return Err(PinnerError::Corrupt {
                operation: operation(),
                reason: format!("the archive has {} bytes", self.size),
            });
        }
        // A weak ETag never matches by the rules of HTTP, so it is only compared.
        let strong = (!self.etag.starts_with("W/")).then(|| self.etag.clone());
        let (version, bytes) = self.get(range.clone(), strong, by).await?;
        if version.etag.as_deref() != Some(&self.etag) || version.size != self.size {
            return Err(changed(operation()));
        }
        if bytes.len() as u64 != range.end - range.start {
            return Err(PinnerError::Corrupt {
                operation: operation(),
                reason: format!("{} bytes came", bytes.len()),
            });
        }
        Ok(bytes)
    }

    /// One answer of the store. No more than the range is read.
    async fn get(
        &self,
        range: Range<u64>,
        if_match: Option<String>,
        by: Instant,
    ) -> Result<(Version, Bytes), PinnerError> {
        let started = Instant::now();
        let operation = || reading(&self.name, &range);
        let failed = |error| from_store(&error, operation());
        let limit = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut options = GetOptions {
            if_match,
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        options.extensions.insert(By(by));
        let whole = async {
            let answer = self.store.get_opts(&self.path, options).await;
            let answer = answer.map_err(failed)?;
            let version = Version {
                etag: answer.meta.e_tag.clone(),
                size: answer.meta.size,
            };
            let mut chunks = answer.into_stream();
            let mut bytes = BytesMut::new();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(failed)?;
                if bytes.len() + chunk.len() > limit {
                    return Err(PinnerError::Corrupt {
                        operation: operation(),
                        reason: "more came than was asked for".to_owned(),
                    });
                }
                if bytes.is_empty() && chunk.len() == limit {
                    // It came at once: nothing is copied.
                    bytes = BytesMut::from(chunk);
                } else {
                    bytes.extend_from_slice(&chunk);
                }
            }
            Ok((version, bytes.freeze()))
        };
        match timeout_at(by, whole).await {
            Ok(done) => done,
            Err(_) => Err(PinnerError::TimedOut {
                operation: operation(),
                after: by.saturating_duration_since(started),
            }),
        }
    }
}

/// The version of the object that an answer names.
struct Version {
    etag: Option<String>,
    size: u64,
}
