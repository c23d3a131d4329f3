//! The node as a [`Pinner`] and as [`Names`]: each call is logged, fails as scripted, and takes effect at once.
//!
//! Invariant: a call waits only before its effect, and has its effect under one lock. So a call that is dropped while
//! it waits has had no effect.

use async_trait::async_trait;
use cid::Cid;
use futures_util::{StreamExt, stream};
use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Holder, MAX_BLOCK, Names, Pin, PinDepth, Pinner,
    PinnerError, Resolved, SourceId, Verdict,
};
use tokio::time::Instant;

use crate::{
    journal::{Call, Judged},
    node::MockNode,
    script::{Orders, Subject, too_large},
};

impl MockNode {
    /// Waits and fails as scripted. Returns the orders that still apply to the answer.
    async fn obey(&self, subject: Subject<'_>) -> Result<Orders, PinnerError> {
        let faults = self.state().script.next(&subject);
        Orders::follow(faults, &subject).await
    }

    fn refuse(&self, depth: PinDepth) -> Result<(), PinnerError> {
        match (self.can().pins(depth), depth) {
            (true, _) => Ok(()),
            (false, PinDepth::Lazy) => Err(PinnerError::Unsupported {
                operation: "lazy pins",
            }),
            (false, PinDepth::Recursive) => Err(PinnerError::Unsupported {
                operation: "recursive pins",
            }),
        }
    }

    fn refuse_any(&self) -> Result<(), PinnerError> {
        match self.can().any_pins() {
            true => Ok(()),
            false => Err(PinnerError::Unsupported { operation: "pins" }),
        }
    }

    /// The pins as `pins` streams them, and the error that may end the stream.
    async fn listing(&self) -> Vec<Result<Pin, PinnerError>> {
        let _in_flight = InFlight::begin(self, Call::Pins);
        if let Err(unsupported) = self.refuse_any() {
            return vec![Err(unsupported)];
        }
        match self.obey(Subject::Pins).await {
            Ok(orders) => {
                let mut pins: Vec<_> = self.pinned().into_iter().map(Ok).collect();
                if let Err(lost) = orders.answer() {
                    pins.truncate(pins.len() / 2);
                    pins.push(Err(lost));
                }
                pins
            }
            Err(error) => vec![Err(error)],
        }
    }
}

#[async_trait]
impl Pinner for MockNode {
    fn capabilities(&self) -> Capabilities {
        self.can()
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        let call = Call::Block {
            cid: *cid,
            origin: request.origin().clone(),
            deadline: request.deadline(),
            avoid: request.avoid().to_vec(),
        };
        let _in_flight = InFlight::begin(self, call);
        request.in_time(Instant::now().into_std())?;
        let orders = self.obey(Subject::Block(request)).await?;
        let stored = self.state().fetch(cid);
        // Outside the lock: generating a block may take its time.
        let genuine = stored.map(|stored| stored.bytes());
        let genuine = match genuine {
            Some(bytes) if bytes.len() > MAX_BLOCK => Err(too_large(cid, bytes.len())),
            Some(bytes) => Ok(bytes),
            None => Err(PinnerError::NotFound { cid: *cid }),
        };
        let bytes = orders.bytes(cid, genuine)?;
        self.state().journal.counters.bytes += bytes.len() as u64;
        let answer = Answer::new(bytes);
        Ok(match self.named_source() {
            Some(source) => answer.with_source(source.clone()),
            None => answer,
        })
    }

    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        self.state().journal.judge(Judged {
            cid: *request.cid(),
            source: source.cloned(),
            verdict,
        });
    }

    fn concurrency(&self) -> usize {
        self.at_once()
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        let pin = Pin::new(*holder, *root, depth);
        let call = Call::Pin {
            holder: *holder,
            root: *root,
            depth,
        };
        let _in_flight = InFlight::begin(self, call);
        self.refuse(depth)?;
        let orders = self.obey(Subject::Pin(root)).await?;
        {
            let mut state = self.state();
            match depth {
                PinDepth::Recursive => state.complete(root)?,
                PinDepth::Lazy => {
                    let there = state.fetch(root);
                    there.ok_or(PinnerError::NotFound { cid: *root })?;
                }
            }
            state.pins.insert(pin);
        }
        orders.answer()
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let call = Call::Unpin {
            holder: *holder,
            root: *root,
        };
        let _in_flight = InFlight::begin(self, call);
        self.refuse_any()?;
        let orders = self.obey(Subject::Unpin(root)).await?;
        self.state()
            .pins
            .retain(|pin| (pin.holder, pin.root) != (*holder, *root));
        orders.answer()
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        stream::once(self.listing()).flat_map(stream::iter).boxed()
    }

    fn names(&self) -> Option<&dyn Names> {
        self.can().names.then_some(self as &dyn Names)
    }
}

#[async_trait]
impl Names for MockNode {
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError> {
        let call = Call::Resolve {
            name: name.to_owned(),
        };
        let _in_flight = InFlight::begin(self, call);
        if !self.can().names {
            return Err(PinnerError::Unsupported { operation: "names" });
        }
        let orders = self.obey(Subject::Resolve(name)).await?;
        let resolved = self.state().names.get(name).cloned();
        orders.answer()?;
        resolved.ok_or_else(|| PinnerError::NameNotFound {
            name: name.to_owned(),
        })
    }
}

/// Counts a call as in flight until this is dropped.
#[derive(Debug)]
struct InFlight<'a>(&'a MockNode);

impl<'a> InFlight<'a> {
    fn begin(node: &'a MockNode, call: Call) -> Self {
        node.state().journal.begin(call);
        Self(node)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().journal.end();
    }
}
