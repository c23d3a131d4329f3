//! The trait's methods: the call behind each, and how far its answer is trusted.

use std::fmt;

use block_hash::HashFunction;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kubo_protocol::Version;
use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Cause, Cid, Holder, MAX_BLOCK, Names, Pin,
    PinDepth, Pinner, PinnerError, async_trait,
};
use tokio::time::Instant;

use crate::{
    error::{Asked, CallError, Subject},
    known::{Known, Turn},
    request,
    rpc::{Connector, Rpc},
};

/// The code of the identity hash: the digest is the block.
const IDENTITY: u64 = 0x00;
/// The most bytes that are hashed on an asynchronous thread. Larger blocks are hashed on a blocking thread.
const HASHED_AT_ONCE: usize = 64 * 1024;

/// A Kubo node, through the host's client.
///
/// The crate's documentation says what the client cannot do, and what follows from it.
pub struct IpfsApiPinner<C: Connector> {
    pub(crate) rpc: Rpc<C>,
    version: Version,
    pub(crate) recursive: Known,
    pub(crate) lazy: Turn,
}

impl<C: Connector> IpfsApiPinner<C> {
    pub(crate) fn over(rpc: Rpc<C>, version: Version) -> Self {
        Self {
            rpc,
            version,
            recursive: Known::default(),
            lazy: Turn::default(),
        }
    }

    /// The node's version, as it was when the pinner was made.
    pub fn node_version(&self) -> String {
        self.version.to_string()
    }

    pub(crate) fn has_lazy_pins(&self) -> bool {
        self.version.has_lazy_pins()
    }
}

// By hand: the derived implementation would require `Debug` of the connector.
impl<C: Connector> fmt::Debug for IpfsApiPinner<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpfsApiPinner")
            .field("rpc", &self.rpc)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Connector> Pinner for IpfsApiPinner<C> {
    fn capabilities(&self) -> Capabilities {
        let all = Capabilities::blocks_only()
            .with_recursive_pins()
            .with_collection()
            .with_names();
        match self.has_lazy_pins() {
            true => all.with_lazy_pins(),
            false => all,
        }
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let started = Instant::now().into_std();
        request.in_time(started)?;
        let cid = request.cid();
        if cid.hash().code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(cid.hash().digest()).into());
        }
        let text = cid.to_string();
        let call = request::BlockGet(&[("arg", &text)]);
        let asked = || Asked {
            operation: format!("{} {cid}", request::name_of(&call)),
            subject: Subject::Block(*cid),
        };
        let own = self.rpc.limits().block_deadline;
        let deadline = request.ends_by(started, own) - started;
        let bytes = self.rpc.whole(call, MAX_BLOCK, deadline).await;
        let bytes = bytes.map_err(|error| error.about(asked(), deadline))?;
        whole_block(*cid, bytes, asked()).await.map(Answer::from)
    }

    /// As many as [`Builder::in_flight`](crate::Builder::in_flight) allows.
    fn concurrency(&self) -> usize {
        self.rpc.limits().in_flight.get()
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        match depth {
            PinDepth::Recursive => self.pin_recursively(holder, root).await,
            PinDepth::Lazy => self.pin_lazily(holder, root).await,
        }
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.unpin_recursive(holder, root).await?;
        self.unpin_lazy(holder, root).await
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        let pins = self.recursive_pins().chain(self.lazy_pins());
        up_to_first_error(pins).boxed()
    }

    fn names(&self) -> Option<&dyn Names> {
        Some(self)
    }
}

/// Ends the stream after its first error.
fn up_to_first_error<T, E>(
    stream: impl Stream<Item = Result<T, E>>,
) -> impl Stream<Item = Result<T, E>> {
    stream.scan(false, |failed, item| {
        let item = (!*failed).then_some(item);
        *failed = matches!(item, Some(Err(_)));
        std::future::ready(item)
    })
}

/// Checks that these bytes are the whole block and not its beginning. Only the hash tells an answer that broke off
/// from a complete one.
///
/// The caller will hash the block again, since backends are not trusted. This hash exists to report what happened.
async fn whole_block(cid: Cid, bytes: Bytes, asked: Asked) -> Result<Bytes, PinnerError> {
    let Asked { operation, .. } = asked;
    let Ok(function) = HashFunction::of(cid.hash()) else {
        // The caller cannot prove anything by such a hash either, and will refuse the block.
        return Ok(bytes);
    };
    let length = bytes.len();
    let hashes_to = move |bytes: &Bytes| function.matches(bytes, cid.hash());
    let (bytes, is_whole) = match length > HASHED_AT_ONCE {
        false => (bytes.clone(), hashes_to(&bytes)),
        true => {
            let hashed = tokio::task::spawn_blocking(move || {
                let is_whole = hashes_to(&bytes);
                (bytes, is_whole)
            });
            hashed.await.map_err(|stopped| PinnerError::Unavailable {
                operation: operation.clone(),
                source: Some(Cause::new(stopped)),
            })?
        }
    };
    match is_whole {
        true => Ok(bytes),
        false => Err(CallError::Garbled(format!(
            "{length} bytes came that do not hash to the CID: the answer was cut short, or is another block"
        ))
        .about(
            Asked {
                operation,
                subject: Subject::Block(cid),
            },
            std::time::Duration::ZERO,
        )),
    }
}
