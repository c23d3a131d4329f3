//! [`WithNames`]: a backend, and a resolver beside it.

use std::sync::Arc;

use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Cid, Holder, Names, Pin, PinDepth, Pinner,
    PinnerError, SourceId, Verdict, async_trait,
};

use crate::IpnsResolver;

/// A backend whose names are resolved by an [`IpnsResolver`] in place of its own resolver, if it has one. Everything else
/// is the backend's.
#[derive(Debug)]
pub struct WithNames {
    pinner: Arc<dyn Pinner>,
    names: IpnsResolver,
}

impl WithNames {
    /// The backend `pinner` with the names of `names`.
    pub fn new(pinner: Arc<dyn Pinner>, names: IpnsResolver) -> Self {
        Self { pinner, names }
    }
}

#[async_trait]
#[deny(
    clippy::missing_trait_methods,
    reason = "a method that is not forwarded would fall back to the trait's default"
)]
impl Pinner for WithNames {
    fn capabilities(&self) -> Capabilities {
        self.pinner.capabilities().with_names()
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        self.pinner.block(request).await
    }

    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        self.pinner.verdict(request, source, verdict);
    }

    fn concurrency(&self) -> usize {
        self.pinner.concurrency()
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        self.pinner.pin(holder, root, depth).await
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.pinner.unpin(holder, root).await
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        self.pinner.pins()
    }

    fn names(&self) -> Option<&dyn Names> {
        Some(&self.names)
    }
}
