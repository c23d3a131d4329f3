//! A backend under test, with the assertions that many cases share.
//!
//! Invariant: every holder it makes belongs to this case alone, and it ignores the pins of other holders, so that
//! cases may share one node.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use cid::Cid;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use pinner_api::{Answer, BlockRequest, Capabilities, Holder, Pin, PinDepth, Pinner, PinnerError};

use crate::{
    Abilities, Absence, Backend, Block, Content, Failure, Start,
    dag::{self, RAW},
    failure::{Outcome, ensure, ensure_eq},
};

/// Both depths, for the cases that loop over them.
pub(crate) const DEPTHS: [PinDepth; 2] = [PinDepth::Lazy, PinDepth::Recursive];

/// When an abandoned call is dropped: at the first places where it waits, whatever the machine's load, and at several
/// times, which find a server in the middle of its work.
pub(crate) const PATIENCE: [Patience; 10] = [
    Patience::Waits(1),
    Patience::Waits(2),
    Patience::Waits(3),
    Patience::Waits(5),
    Patience::Waits(8),
    Patience::Time(Duration::from_micros(20)),
    Patience::Time(Duration::from_micros(200)),
    Patience::Time(Duration::from_millis(1)),
    Patience::Time(Duration::from_millis(3)),
    Patience::Time(Duration::from_millis(10)),
];

/// How long a call is polled before it is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Until it has been polled so often without being done. At least once.
    Waits(u32),
    /// For so long.
    Time(Duration),
}

/// A backend under test.
pub(crate) struct Subject {
    pub(crate) fixture: Box<dyn Backend>,
    pub(crate) pinner: Arc<dyn Pinner>,
    number: [u8; 16],
}

impl Subject {
    /// Starts a backend over `content`.
    pub(crate) async fn over(start: &Start, content: Content) -> Outcome<Self> {
        let fixture = start.over(content).await?;
        Ok(Self {
            pinner: fixture.pinner(),
            fixture,
            number: dag::unique_number(),
        })
    }

    pub(crate) fn can(&self) -> Capabilities {
        self.pinner.capabilities()
    }

    pub(crate) fn abilities(&self) -> Abilities {
        self.fixture.abilities()
    }

    /// The backend as another process sees it, or the same handle where there can be no other.
    pub(crate) async fn second(&self) -> Outcome<Arc<dyn Pinner>> {
        let second = self.fixture.second().await;
        let second = second.map_err(cannot("open a second handle"))?;
        Ok(second.unwrap_or_else(|| self.pinner.clone()))
    }

    /// The `n`-th holder of this case.
    pub(crate) fn holder(&self, n: u8) -> Holder {
        let mut unique = self.number;
        unique[15] = n;
        let mut lock_dir = [0; 8];
        for (i, byte) in self.number.iter().enumerate() {
            lock_dir[i % 8] ^= byte.rotate_left(i as u32);
        }
        Holder::new(lock_dir, unique)
    }

    fn is_ours(&self, holder: &Holder) -> bool {
        let ours = self.holder(0);
        holder.as_bytes()[..23] == ours.as_bytes()[..23]
    }

    /// Asks the backend for the block, with the block itself as the origin.
    pub(crate) async fn ask(&self, cid: &Cid) -> Result<Bytes, PinnerError> {
        let answer = self.pinner.block(&BlockRequest::new(*cid)).await?;
        Ok(answer.bytes)
    }

    /// Asks for all of the blocks side by side, as many at once as the backend serves well.
    pub(crate) fn ask_all<'a>(
        &'a self,
        requests: &'a [BlockRequest],
    ) -> impl Stream<Item = (Cid, Result<Answer, PinnerError>)> + Unpin + 'a {
        let at_once = self.pinner.concurrency().max(1);
        stream::iter(requests)
            .map(async |request| (*request.cid(), self.pinner.block(request).await))
            .buffer_unordered(at_once)
            .boxed()
    }

    /// Asserts that the block comes back as it was put.
    pub(crate) async fn reads(&self, block: &Block) -> Outcome {
        let got = self.ask(&block.cid).await;
        same_bytes(&block.cid, got, &block.bytes)
    }

    /// Asserts that all of the blocks come back.
    pub(crate) async fn reads_all(&self, blocks: &[Block]) -> Outcome {
        for block in blocks {
            self.reads(block).await?;
        }
        Ok(())
    }

    /// Asserts that the error reports an absent block in the way that this backend can.
    pub(crate) fn says_absent(&self, operation: &str, error: &PinnerError) -> Outcome {
        match self.abilities().absence {
            Absence::Proven => ensure!(
                matches!(error, PinnerError::NotFound { .. }),
                "{operation}: wanted NotFound, got {error:?}"
            ),
            Absence::Unproven => ensure!(
                error.may_pass() || matches!(error, PinnerError::NotFound { .. }),
                "{operation}: wanted NotFound or an error that may pass, got {error:?}"
            ),
        }
        Ok(())
    }

    /// Asserts that the backend reports the block as absent.
    pub(crate) async fn is_absent(&self, cid: &Cid) -> Outcome {
        match self.ask(cid).await {
            Ok(bytes) => Err(Failure::Broken(format!(
                "block {cid}, which is nowhere, was answered with {} bytes",
                bytes.len()
            ))),
            Err(error) => self.says_absent(&format!("asking for the absent {cid}"), &error),
        }
    }

    /// Asserts that a pin succeeds.
    pub(crate) async fn pins_it(&self, holder: u8, root: &Cid, depth: PinDepth) -> Outcome {
        must(
            self.pinner.pin(&self.holder(holder), root, depth).await,
            || format!("pin({holder}, {root}, {depth:?})"),
        )
    }

    /// Asserts that an unpin succeeds.
    pub(crate) async fn unpins(&self, holder: u8, root: &Cid) -> Outcome {
        must(self.pinner.unpin(&self.holder(holder), root).await, || {
            format!("unpin({holder}, {root})")
        })
    }

    /// The pins of this case as `pinner` lists them, sorted, with repetitions.
    pub(crate) async fn listed_by(&self, pinner: &dyn Pinner) -> Outcome<Vec<Pin>> {
        let pins: Result<Vec<_>, _> = pinner.pins().try_collect().await;
        let mut pins = must(pins, || "pins()".into())?;
        pins.retain(|pin| self.is_ours(&pin.holder));
        pins.sort();
        Ok(pins)
    }

    /// Asserts that the pins of this case are exactly these.
    pub(crate) async fn lists(&self, wanted: &[(u8, Cid, PinDepth)]) -> Outcome {
        let mut wanted: Vec<_> = wanted
            .iter()
            .map(|(holder, root, depth)| Pin::new(self.holder(*holder), *root, *depth))
            .collect();
        wanted.sort();
        let second = self.second().await?;
        for (view, pinner) in [
            ("pins()", &self.pinner),
            ("the other handle's pins()", &second),
        ] {
            ensure_eq(view, self.listed_by(pinner.as_ref()).await?, wanted.clone())?;
        }
        Ok(())
    }

    /// Asserts that the pin is listed, whatever else is.
    pub(crate) async fn still_lists(&self, holder: u8, root: &Cid, depth: PinDepth) -> Outcome {
        let listed = self.listed_by(self.pinner.as_ref()).await?;
        let (holder, root) = (self.holder(holder), *root);
        let pin = Pin::new(holder, root, depth);
        ensure!(
            listed.contains(&pin),
            "{pin:?} is gone, but nobody released it"
        );
        Ok(())
    }

    /// Releases a pin after a call for it was abandoned. That call may still be on its way to a node, and take effect
    /// after the release. So the release is repeated for a while, until the pin is no longer listed.
    pub(crate) async fn forgets(&self, holder: u8, root: &Cid) -> Outcome {
        const TRIES: usize = 50;
        let gone = |pins: &[Pin]| pins.iter().all(|pin| pin.holder != self.holder(holder));
        for _ in 0..TRIES {
            self.unpins(holder, root).await?;
            if gone(&self.listed_by(self.pinner.as_ref()).await?) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Failure::Broken(format!(
            "holder {holder} released {root} {TRIES} times, but its pin is still listed"
        )))
    }

    /// Whether the backend denies pins of this depth. If so, asserts that it refuses them without effect.
    pub(crate) async fn denies(&self, depth: PinDepth, root: &Cid) -> Outcome<bool> {
        if self.can().pins(depth) {
            return Ok(false);
        }
        let refused = self.pinner.pin(&self.holder(0), root, depth).await;
        is_unsupported(&format!("pin of the denied depth {depth:?}"), refused)?;
        if self.can().any_pins() {
            self.lists(&[]).await?;
        } else {
            let refused = self.pinner.unpin(&self.holder(0), root).await;
            is_unsupported("unpin on a backend without pins", refused)?;
            let mut pins = self.pinner.pins();
            match pins.next().await {
                Some(first) => is_unsupported("pins() on a backend without pins", first)?,
                None => return Err(Failure::Broken("pins() ends where it has to refuse".into())),
            }
            ensure!(
                pins.next().await.is_none(),
                "pins() goes on after its error"
            );
        }
        Ok(true)
    }

    /// Runs a collection, if the backend collects.
    pub(crate) async fn collect(&self) -> Outcome {
        let ran = self.fixture.collect().await;
        let ran = ran.map_err(cannot("collect garbage"))?;
        match (ran, self.can().collects) {
            (Some(()), true) | (None, false) => Ok(()),
            (ran, collects) => Err(Failure::Disagrees(format!(
                "the capability `collects` is {collects}, but the fixture's collect() returns {ran:?}"
            ))),
        }
    }

    /// Whether the block is on the backend, if the fixture can tell.
    pub(crate) async fn holds(&self, cid: &Cid) -> Outcome<Option<bool>> {
        let held = self.fixture.holds(cid).await;
        held.map_err(cannot("tell what the backend holds"))
    }

    /// Asserts that a collection keeps these blocks, byte by byte.
    pub(crate) async fn collect_keeps(&self, blocks: &[Block]) -> Outcome {
        self.collect().await?;
        for block in blocks {
            ensure!(
                self.holds(&block.cid).await? != Some(false),
                "block {} is protected, but a collection removed it",
                block.cid
            );
        }
        self.reads_all(blocks).await
    }

    /// Asserts that a collection removes these unprotected blocks. A backend that does not collect keeps them.
    pub(crate) async fn collect_takes(&self, blocks: &[Block]) -> Outcome {
        if !self.can().collects {
            return self.collect_keeps(blocks).await;
        }
        self.collect().await?;
        for block in blocks {
            match self.holds(&block.cid).await? {
                Some(held) => ensure!(
                    !held,
                    "block {} is not protected, but a collection left it",
                    block.cid
                ),
                None => self.is_absent(&block.cid).await?,
            }
        }
        Ok(())
    }

    /// A raw CID of a block that exists nowhere.
    pub(crate) fn nowhere(&self) -> Cid {
        Block::absent(RAW)
    }
}

/// Asserts that the answer is these bytes.
pub(crate) fn same_bytes(cid: &Cid, got: Result<Bytes, PinnerError>, wanted: &Bytes) -> Outcome {
    let got = must(got, || format!("block({cid})"))?;
    ensure!(
        got == *wanted,
        "block({cid}) returns {} bytes that are not the {} bytes put",
        got.len(),
        wanted.len()
    );
    Ok(())
}

/// Returns the value of a call that has to succeed, or [`Failure::Refused`].
pub(crate) fn must<T>(
    result: Result<T, PinnerError>,
    operation: impl FnOnce() -> String,
) -> Outcome<T> {
    result.map_err(|source| Failure::Refused {
        operation: operation(),
        source,
    })
}

/// Asserts that the call was refused because the backend lacks the feature.
pub(crate) fn is_unsupported<T>(what: &str, result: Result<T, PinnerError>) -> Outcome {
    match result {
        Err(PinnerError::Unsupported { .. }) => Ok(()),
        Err(error) => Err(Failure::Broken(format!(
            "{what}: wanted Unsupported, got {error:?}"
        ))),
        Ok(_) => Err(Failure::Broken(format!(
            "{what}: wanted Unsupported, got Ok"
        ))),
    }
}

/// Polls the call until it is done or `patience` is at its end, then drops it.
pub(crate) async fn abandon<F: Future>(patience: Patience, call: F) -> Option<F::Output> {
    match patience {
        // `timeout` polls the call at least once, and then drops it with itself.
        Patience::Time(time) => tokio::time::timeout(time, call).await.ok(),
        Patience::Waits(waits) => {
            let mut call = pin!(call);
            let mut waited = 0;
            poll_fn(|context| match call.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => {
                    waited += 1;
                    match waited >= waits {
                        true => Poll::Ready(None),
                        false => Poll::Pending,
                    }
                }
            })
            .await
        }
    }
}

/// Turns a fixture's error into a failure of the fixture.
pub(crate) fn cannot(
    operation: &'static str,
) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Failure {
    move |source| Failure::Fixture { operation, source }
}
