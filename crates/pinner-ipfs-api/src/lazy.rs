//! Counted lazy pins: one entry in MFS for each `(holder, root)`; see [`mfs`].
//!
//! Invariants: writes to MFS happen one at a time, since each syncs MFS's root on the node and concurrent ones would
//! only wait there. A holder's directory is removed with its last entry, so that processes that come and go leave
//! nothing behind.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use kubo_protocol::{Listing, Reason, mfs};
use pinner_api::{BlockRequest, Cid, Holder, Pin, PinDepth, Pinner, PinnerError};

use crate::{
    error::{Asked, CallError, Subject},
    pinner::IpfsApiPinner,
    request,
    rpc::Connector,
};

impl<C: Connector> IpfsApiPinner<C> {
    pub(crate) async fn pin_lazily(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        if !self.has_lazy_pins() {
            return Err(PinnerError::Unsupported {
                operation: "lazy pins (they need Kubo 0.43 or newer)",
            });
        }
        // Fetch the block first: `files/cp` resolves its source while it holds a lock that a collection waits for.
        self.block(&BlockRequest::new(*root)).await?;
        let (source, entry) = (format!("/ipfs/{root}"), mfs::pin_path(holder, root));
        let _turn = self.lazy.0.lock().await;
        let call = request::FilesCp(&[
            ("arg", &source),
            ("arg", &entry),
            ("parents", "true"),
            // Do not fetch a block that a collection has just removed while that lock is held.
            ("offline", "true"),
        ]);
        match self.rpc.silence(call).await {
            Ok(()) => Ok(()),
            Err(error) if error.reason() == Some(Reason::EntryThere) => Ok(()),
            Err(error) => Err(self.fails(error, &call, &entry, Subject::Block(*root))),
        }
    }

    pub(crate) async fn unpin_lazy(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        if !self.has_lazy_pins() {
            return Ok(());
        }
        let _turn = self.lazy.0.lock().await;
        if !self.remove(&mfs::pin_path(holder, root), "false").await? {
            return Ok(());
        }
        // Only this value writes into the holder's directory, and it is this call's turn.
        let directory = mfs::holder_path(holder);
        if self.list(&directory).await?.names().next().is_none() {
            self.remove(&directory, "true").await?;
        }
        Ok(())
    }

    /// Removes an entry. Returns whether there was one.
    async fn remove(&self, path: &str, recursive: &str) -> Result<bool, PinnerError> {
        let call = request::FilesRm(&[("arg", path), ("recursive", recursive)]);
        match self.rpc.silence(call).await {
            Ok(()) => Ok(true),
            Err(error) if error.reason() == Some(Reason::EntryAbsent) => Ok(false),
            Err(error) => Err(self.fails(error, &call, path, Subject::Node)),
        }
    }

    /// Lists a directory; empty if there is no such directory.
    async fn list(&self, path: &str) -> Result<Listing, PinnerError> {
        let call = request::FilesLs(&[("arg", path)]);
        match self.rpc.document(call).await {
            Ok(listing) => Ok(listing),
            Err(error) if error.reason() == Some(Reason::EntryAbsent) => Ok(Listing::default()),
            Err(error) => Err(self.fails(error, &call, path, Subject::Node)),
        }
    }

    fn fails<R: ipfs_api_prelude::ApiRequest>(
        &self,
        error: CallError,
        call: &R,
        path: &str,
        subject: Subject,
    ) -> PinnerError {
        let asked = Asked {
            operation: format!("{} {path}", request::name_of(call)),
            subject,
        };
        error.about(asked, self.rpc.limits().call_deadline)
    }

    /// Lists every entry, one holder's directory after another.
    pub(crate) fn lazy_pins(&self) -> impl Stream<Item = Result<Pin, PinnerError>> + Send + '_ {
        let holders = stream::once(async {
            match self.has_lazy_pins() {
                true => self.list(mfs::REGISTRY).await,
                false => Ok(Listing::default()),
            }
        });
        holders
            .map_ok(|listing| {
                let holders: Vec<_> = listing.names().filter_map(mfs::parse_holder).collect();
                stream::iter(holders).map(Ok)
            })
            .try_flatten()
            .and_then(async |holder| {
                let listing = self.list(&mfs::holder_path(&holder)).await?;
                let pins: Vec<_> = listing
                    .names()
                    .filter_map(mfs::parse_root)
                    .map(|root| Ok(Pin::new(holder, root, PinDepth::Lazy)))
                    .collect();
                Ok(stream::iter(pins))
            })
            .try_flatten()
    }
}
