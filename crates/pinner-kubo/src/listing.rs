//! Lists this library's pins on the node, read back from the node's list of recursive pins and from its own file
//! system.
//!
//! Invariant (I5): a pin that `kubo-protocol` does not recognise to the byte is not ours, and is not listed.
//!
//! A listing is read to its end before any of it is returned: the node holds its pins locked while it lists them, and
//! must not wait for our consumer. Foreign pins are dropped as they are read.

use futures_util::{StreamExt, TryStreamExt, stream};
use kubo_protocol::{Listing, PinLsLine, Reason, Wrapper, mfs};
use pinner_api::{BoxStream, Cid, Holder, Pin, PinDepth, PinnerError};
use tokio::time::Instant;

use crate::{pinner::KuboPinner, rpc::call};

/// The longest listing of one directory of MFS, in bytes: half a million entries.
const DIRECTORY: usize = 64 * 1024 * 1024;

impl KuboPinner {
    /// Lists both registries, one after the other. An error ends the stream.
    pub(crate) fn list(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        let registries = [PinDepth::Recursive, PinDepth::Lazy].into_iter();
        stream::try_unfold(registries, async |mut registries| {
            let pins = match registries.next() {
                None => return Ok(None),
                Some(PinDepth::Recursive) => self.wrapped().await?,
                Some(PinDepth::Lazy) if self.capabilities.lazy_pins => self.entries().await?,
                Some(PinDepth::Lazy) => Vec::new(),
            };
            Ok(Some((stream::iter(pins).map(Ok), registries)))
        })
        .try_flatten()
        .boxed()
    }

    /// The recursive pins.
    async fn wrapped(&self) -> Result<Vec<Pin>, PinnerError> {
        let pin = |wrapper: Wrapper| Pin::new(wrapper.holder, wrapper.root, PinDepth::Recursive);
        let wrappers = self.wrappers(|_| true).await?;
        Ok(wrappers.into_iter().map(pin).collect())
    }

    /// Returns the wrappers among the node's recursive pins that `wanted` accepts.
    pub(crate) async fn wrappers(
        &self,
        wanted: impl Fn(&Wrapper) -> bool,
    ) -> Result<Vec<Wrapper>, PinnerError> {
        // Without the type, the node would walk every DAG that it pins.
        let mut lines = call(&self.control, "pin/ls", "of the recursive pins")
            .option("type", "recursive")
            .option("stream", true)
            .stream(self.block_deadline)
            .await
            .map_err(|error| error.into_pinner(None))?;
        let mut found = Vec::new();
        while let Some(line) = lines
            .next::<PinLsLine>()
            .await
            .map_err(|error| error.into_pinner(None))?
        {
            found.extend(Wrapper::parse(&line?.cid).filter(&wanted));
        }
        Ok(found)
    }

    /// The lazy pins: one directory for each holder.
    async fn entries(&self) -> Result<Vec<Pin>, PinnerError> {
        let mut pins = Vec::new();
        for name in self.directory(mfs::REGISTRY).await? {
            let Some(holder) = mfs::parse_holder(&name) else {
                continue;
            };
            let roots = self.directory(&mfs::holder_path(&holder)).await?;
            let roots = roots.iter().filter_map(|name| mfs::parse_root(name));
            pins.extend(roots.map(|root: Cid| lazy_pin(holder, root)));
        }
        Ok(pins)
    }

    /// Returns the names in a directory of MFS; none if there is no such directory.
    async fn directory(&self, path: &str) -> Result<Vec<String>, PinnerError> {
        let deadline = Instant::now() + self.block_deadline;
        let listing = call(&self.control, "files/ls", path)
            .arg(path)
            .json::<Listing>(DIRECTORY, deadline)
            .await;
        match listing {
            Ok(listing) => Ok(listing?.names().map(str::to_owned).collect()),
            Err(error) if error.is(Reason::EntryAbsent) => Ok(Vec::new()),
            Err(error) => Err(error.into_pinner(None)),
        }
    }
}

fn lazy_pin(holder: Holder, root: Cid) -> Pin {
    Pin::new(holder, root, PinDepth::Lazy)
}
