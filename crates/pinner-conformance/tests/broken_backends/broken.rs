//! A backend that is sound except for one flaw: a wrapper around the mock that breaks it in exactly one way.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use pinner_api::{
    Answer, BlockRequest, BoxStream, Bytes, Capabilities, Cid, Holder, MAX_BLOCK, Names, Pin,
    PinDepth, Pinner, PinnerError, Resolved, SourceId, Verdict, async_trait,
};
use pinner_conformance::{
    Abilities, Absence, Backend, Content, Elsewhere, FixtureResult, Oversize,
};
use pinner_mock::{Fault, MockNode, When};

/// The one flaw of a backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    None,
    /// One bit is wrong in blocks asked for under this codec.
    SpoilsCodec(u64),
    /// One bit is wrong in blocks of this length; an empty block gets one byte.
    SpoilsLength(usize),
    /// A block is returned that is one byte larger than allowed.
    NoLimit,
    /// A block is found only under the CID it was put under.
    CodecMatters,
    /// Absence is reported as failure.
    AbsenceAsFailure,
    /// The backend makes up absent blocks and absent roots.
    MakesUp,
    IdentityIsHashed,
    OriginMatters,
    /// Answers are mixed up when two calls overlap.
    MixesUp,
    /// An abandoned read keeps its permit for ever.
    LosesPermits,
    IgnoresDeadlines,
    /// A deadline that passes is taken for a proof of absence.
    DeadlineIsAbsence,
    /// An answer that has begun is waited for, whatever the deadline.
    DripsForEver,
    /// A request with any source to avoid fails.
    AvoidsEverything,
    /// A wrong answer has no source.
    NamesNoLiar,
    /// The source to avoid is asked first.
    AsksTheLiarAgain,
    /// A source is asked first again, although its answer was wrong.
    ForgetsVerdicts,
    VerdictPanics,
    VerdictBlocks,
    ServesNothingAtOnce,
    FetchesNothing,
    /// The backend claims to have no pins, but makes them.
    PinsDespiteDenial,
    ListsTwice,
    ListsOneHolder,
    ListsOneDepth,
    ListsForeign,
    /// A listing that is not read to its end blocks the next one.
    ListingLocks,
    UnpinWantsAPin,
    /// Roots are pinned by their CIDv1.
    NormalisesRoots,
    LazyIsRecursive,
    RecursiveIsLazy,
    /// There is one pin for each root, and the last writer wins, as with Kubo's own pins.
    OnePinARoot,
    /// The old pin is removed first, and put back once the new one is complete, as Kubo's `pin/add` does.
    TakesOutFirst,
    /// A release removes everybody's pins, and puts back those of the others.
    ReleasesAllFirst,
    /// The set is read, and written back later, which is a race.
    ReadsThenWrites,
    CollectsNothing,
    CollectsAll,
    /// The collector fails if there are lazy pins.
    LazyStopsCollector,
    /// A release removes the owner's pin too.
    ReleasesForeign,
    /// The fixture has no collector, but the capabilities claim one.
    ClaimsToCollect,
    NamesLosePath,
    NamesMakeUp,
}

#[derive(Clone, Debug)]
pub(crate) struct Broken {
    node: MockNode,
    flaw: Flaw,
    /// Calls that have taken a permit and not given it back, however they ended.
    permits: Arc<AtomicUsize>,
    /// The last block that was asked for.
    last: Arc<Mutex<Option<Cid>>>,
    /// Listings that were begun and not read to their end.
    open: Arc<AtomicUsize>,
    /// Whether the source drips.
    drips: Arc<AtomicBool>,
    /// Whether the first of two sources lies, and whether it rests.
    lies: Arc<AtomicBool>,
    rests: Arc<AtomicBool>,
}

/// The source that lies once it is spoilt.
fn liar() -> SourceId {
    SourceId::new("the liar")
}

fn failing(operation: &str) -> PinnerError {
    PinnerError::Unavailable {
        operation: operation.into(),
        source: None,
    }
}

/// Waits as long as a call to a node takes, so that calls overlap and are dropped half-way.
async fn a_while() {
    tokio::time::sleep(Duration::from_micros(500)).await;
}

impl Broken {
    /// Starts a backend over `content`.
    pub(crate) async fn over(flaw: Flaw, content: Content) -> FixtureResult<Self> {
        let node = MockNode::new();
        for block in content.blocks {
            node.put_block(block.cid, block.bytes)?;
        }
        for block in content.elsewhere {
            node.put_remote(block.cid, block.bytes);
        }
        for block in content.oversize {
            node.put_unchecked(block.cid, block.bytes);
        }
        Ok(Self {
            node,
            flaw,
            permits: Arc::default(),
            last: Arc::default(),
            open: Arc::default(),
            drips: Arc::default(),
            lies: Arc::default(),
            rests: Arc::default(),
        })
    }

    /// The error that the flaw turns an absence into.
    fn absence(&self, error: PinnerError) -> PinnerError {
        match self.flaw {
            Flaw::AbsenceAsFailure if error.is_absence() => failing("absent"),
            _ => error,
        }
    }

    /// Whether the source that lies is asked.
    fn asks_the_liar(&self, request: &BlockRequest) -> bool {
        let avoided = request.avoids(&liar()) || self.rests.load(SeqCst);
        self.lies.load(SeqCst) && (!avoided || self.flaw == Flaw::AsksTheLiarAgain)
    }

    async fn others_of(&self, root: &Cid, holder: &Holder) -> Vec<Pin> {
        let mut pins = self.node.pinned();
        pins.retain(|pin| pin.root == *root && pin.holder != *holder);
        pins
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Pinner for Broken {
    fn capabilities(&self) -> Capabilities {
        match self.flaw {
            Flaw::PinsDespiteDenial => Capabilities::blocks_only(),
            _ => self.node.capabilities(),
        }
    }

    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        let mut asked = *cid;
        match self.flaw {
            Flaw::IdentityIsHashed if cid.hash().code() == 0 => {
                return Ok(Bytes::from("hashed").into());
            }
            Flaw::CodecMatters if !self.node.blocks().contains(cid) => {
                return Err(PinnerError::NotFound { cid: *cid });
            }
            Flaw::OriginMatters if !self.node.contains(&request.origin().root) => {
                return Err(PinnerError::NotFound {
                    cid: request.origin().root,
                });
            }
            Flaw::AvoidsEverything if !request.avoid().is_empty() => {
                return Err(failing("no source is left"));
            }
            Flaw::FetchesNothing if !self.node.contains(cid) => {
                return Err(PinnerError::NotFound { cid: *cid });
            }
            Flaw::LosesPermits => {
                if self.permits.fetch_add(1, SeqCst) > 50 {
                    return Err(failing("no permit left"));
                }
                a_while().await;
                self.permits.fetch_sub(1, SeqCst);
            }
            Flaw::MixesUp => {
                *self.last.lock().expect("no panics") = Some(*cid);
                tokio::task::yield_now().await;
                asked = self.last.lock().expect("no panics").unwrap_or(*cid);
            }
            _ => {}
        }
        let mut passed_on = BlockRequest::new(asked);
        match request.deadline() {
            Some(_) if self.flaw == Flaw::DripsForEver && self.drips.load(SeqCst) => {}
            Some(deadline) if self.flaw != Flaw::IgnoresDeadlines => {
                passed_on = passed_on.with_deadline(deadline);
            }
            Some(_) | None => {}
        }
        let mut bytes = match (self.flaw, self.node.block(&passed_on).await) {
            (Flaw::NoLimit, Err(PinnerError::Corrupt { .. })) => vec![0; MAX_BLOCK + 1],
            (Flaw::MakesUp, Err(PinnerError::NotFound { .. })) => b"made up".to_vec(),
            (Flaw::DeadlineIsAbsence, Err(PinnerError::TimedOut { .. })) => {
                return Err(PinnerError::NotFound { cid: *cid });
            }
            (_, answer) => {
                let answer = answer.map_err(|error| self.absence(error))?;
                answer.bytes.to_vec()
            }
        };
        let by_liar = self.asks_the_liar(request);
        let spoil = match self.flaw {
            _ if by_liar => true,
            Flaw::SpoilsCodec(codec) => cid.codec() == codec,
            Flaw::SpoilsLength(len) => bytes.len() == len,
            _ => false,
        };
        match bytes.last_mut() {
            Some(byte) if spoil => *byte ^= 1,
            None if spoil => bytes.push(0),
            _ => {}
        }
        let answer = Answer::from(Bytes::from(bytes));
        Ok(match by_liar && self.flaw != Flaw::NamesNoLiar {
            true => answer.with_source(liar()),
            false => answer,
        })
    }

    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        match self.flaw {
            Flaw::VerdictPanics => panic!("a verdict on nothing that it knows"),
            // Once is enough: longer than the suite waits, and not for ever.
            Flaw::VerdictBlocks => std::thread::sleep(Duration::from_secs(6)),
            Flaw::ForgetsVerdicts => {}
            _ => {
                if (source, verdict) == (Some(&liar()), Verdict::Wrong) {
                    self.rests.store(true, SeqCst);
                }
                self.node.verdict(request, source, verdict);
            }
        }
    }

    fn concurrency(&self) -> usize {
        match self.flaw {
            Flaw::ServesNothingAtOnce => 0,
            _ => self.node.concurrency(),
        }
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        let pin = |depth| self.node.pin(holder, root, depth);
        match (self.flaw, depth) {
            (Flaw::MakesUp, _) => {
                if !self.node.contains(root) {
                    self.node.put_unchecked(*root, "");
                }
                pin(depth).await
            }
            (Flaw::FetchesNothing, PinDepth::Recursive) => pin(PinDepth::Lazy).await,
            (Flaw::NormalisesRoots, _) => {
                let root = Cid::new_v1(0x70, *root.hash());
                self.node.pin(holder, &root, depth).await
            }
            (Flaw::LazyIsRecursive, PinDepth::Lazy) => {
                pin(PinDepth::Recursive).await?;
                self.node.unpin(holder, root).await?;
                pin(PinDepth::Lazy).await
            }
            (Flaw::RecursiveIsLazy, PinDepth::Recursive) => pin(PinDepth::Lazy).await,
            (Flaw::OnePinARoot, _) => {
                for other in self.others_of(root, holder).await {
                    self.node.unpin(&other.holder, root).await?;
                }
                pin(depth).await
            }
            (Flaw::TakesOutFirst, _) => {
                let others = self.others_of(root, holder).await;
                for other in &others {
                    self.node.unpin(&other.holder, root).await?;
                }
                a_while().await;
                for other in &others {
                    self.node.pin(&other.holder, root, other.depth).await?;
                }
                pin(depth).await
            }
            (Flaw::ReadsThenWrites, _) => {
                let read = self.node.pinned();
                a_while().await;
                for lost in self.node.pinned() {
                    if !read.contains(&lost) {
                        self.node.unpin(&lost.holder, &lost.root).await?;
                    }
                }
                pin(depth).await
            }
            _ => pin(depth).await.map_err(|error| self.absence(error)),
        }
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        let root = match self.flaw {
            Flaw::NormalisesRoots => &Cid::new_v1(0x70, *root.hash()),
            _ => root,
        };
        match self.flaw {
            Flaw::UnpinWantsAPin => {
                let pinned = self.node.pinned();
                if !pinned
                    .iter()
                    .any(|pin| (pin.holder, pin.root) == (*holder, *root))
                {
                    return Err(PinnerError::NotFound { cid: *root });
                }
            }
            Flaw::ReleasesForeign => {
                self.node.foreign_unpin(root);
            }
            Flaw::ReleasesAllFirst => {
                let others = self.others_of(root, holder).await;
                for other in &others {
                    self.node.unpin(&other.holder, root).await?;
                }
                a_while().await;
                for other in &others {
                    self.node.pin(&other.holder, root, other.depth).await?;
                }
            }
            _ => {}
        }
        self.node.unpin(holder, root).await
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        let mut pins = self.node.pinned();
        match self.flaw {
            Flaw::ListsTwice => pins.extend(pins.clone()),
            Flaw::ListsOneHolder => pins.dedup_by_key(|pin| pin.holder.lock_dir()),
            Flaw::ListsOneDepth => {
                let mut seen = BTreeSet::new();
                pins.retain(|pin| seen.insert((pin.holder, pin.root)));
            }
            Flaw::ListsForeign => {
                let holder = pins.first().map(|pin| pin.holder);
                let foreign = self.node.foreign_pins();
                pins.extend(
                    foreign
                        .into_iter()
                        .zip(holder)
                        .map(|(root, holder)| Pin::new(holder, root, PinDepth::Recursive)),
                );
            }
            Flaw::ListingLocks => {
                if self.open.fetch_add(1, SeqCst) > 0 {
                    return stream::iter([Err(failing("locked"))]).boxed();
                }
                let open = self.open.clone();
                let end = stream::once(async move { open.fetch_sub(1, SeqCst) });
                let pins = stream::iter(pins).map(Ok);
                return pins.chain(end.filter_map(async |_| None)).boxed();
            }
            _ => {}
        }
        stream::iter(pins).map(Ok).boxed()
    }

    fn names(&self) -> Option<&dyn Names> {
        self.capabilities().names.then_some(self as &dyn Names)
    }
}

#[async_trait]
impl Names for Broken {
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError> {
        match (self.flaw, self.node.resolve(name).await) {
            (Flaw::NamesMakeUp, Err(_)) => Ok(Resolved::new(Cid::default(), "")),
            (Flaw::NamesLosePath, Ok(mut resolved)) => {
                resolved.path.clear();
                Ok(resolved)
            }
            (_, answer) => answer.map_err(|error| self.absence(error)),
        }
    }
}

#[async_trait]
impl Backend for Broken {
    fn pinner(&self) -> Arc<dyn Pinner> {
        Arc::new(self.clone())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            absence: Absence::Proven,
            elsewhere: Elsewhere::Reachable,
            oversize: Oversize::Held,
        }
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok(Some(self.node.contains(cid)))
    }

    async fn stall(&self) -> FixtureResult<Option<()>> {
        let an_hour = Fault::Delay(Duration::from_secs(3600));
        self.node.script(When::any_block(), an_hour);
        Ok(Some(()))
    }

    async fn drip(&self) -> FixtureResult<Option<()>> {
        self.drips.store(true, SeqCst);
        self.stall().await
    }

    async fn spoil(&self) -> FixtureResult<Option<()>> {
        self.lies.store(true, SeqCst);
        Ok(Some(()))
    }

    async fn collect(&self) -> FixtureResult<Option<()>> {
        match self.flaw {
            Flaw::PinsDespiteDenial | Flaw::ClaimsToCollect => return Ok(None),
            Flaw::CollectsNothing => {}
            Flaw::CollectsAll => self.node.blocks().iter().for_each(|cid| {
                self.node.remove(cid);
            }),
            Flaw::LazyStopsCollector if !self.node.pinned().is_empty() => {
                return Err("a lazy pin is in the way".into());
            }
            _ => drop(self.node.collect_garbage()?),
        }
        Ok(Some(()))
    }

    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        Ok(Some(self.node.foreign_pin(root)?))
    }

    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        if !self.capabilities().names {
            return Ok(None);
        }
        self.node.set_name("example.org", *root, path, None);
        Ok(Some("example.org".into()))
    }
}
