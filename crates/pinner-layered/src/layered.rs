//! [`Layered`]: the order in which the sources are asked, and what their answers mean together.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Cid, Holder, Names, Pin, PinDepth, Pinner,
    PinnerError, SourceId, Verdict, async_trait,
};
use tokio::time::Instant;

use crate::{
    HEDGE,
    breaker::Readiness,
    kept::Kept,
    layer::{Layer, Miss, Role},
    race::{race, share},
};

/// Several sources of blocks as one backend.
///
/// # Order
/// **Archives** are asked first, one after the other; a block in one of them is not asked for elsewhere while it works.
/// Then come the other sources, in the order in which they were added. The next one is asked when one fails or does not
/// have the block, or beside it when it takes longer than the [hedge](LayeredBuilder::hedge). Sources that rest, after
/// failures or lies, are asked last; and so are those that had this block wrong.
///
/// # Time
/// The deadline is that of the request. Each source may use all that is left of it, but an archive only an equal share.
/// A request without a deadline ends when its sources end it.
///
/// # Absence and errors
/// A block is [`NotFound`](PinnerError::NotFound) only if every source says so. Otherwise the error is the gravest of
/// all: one that may pass before a refusal, and a refusal before a corrupt answer. An archive that fails is in the log,
/// since another source may hide it.
///
/// # Pins and names
/// They are those of the **keeper**; without one there are none. A pin on a root that an archive has is kept in this
/// value: a node that has never seen the root would search for it in vain, and archives lose nothing. The blocks that
/// the archives lack below such a root come from the other sources, without the protection of a pin.
pub struct Layered {
    pub(crate) layers: Vec<Layer>,
    pub(crate) kept: Mutex<Kept>,
    hedge: Duration,
}

impl Layered {
    /// Returns a builder without sources.
    pub fn builder() -> LayeredBuilder {
        LayeredBuilder {
            layers: Vec::new(),
            hedge: HEDGE,
        }
    }

    pub(crate) fn keeper(&self) -> Option<&dyn Pinner> {
        let keeper = self.layers.iter().find(|layer| layer.role == Role::Keeper);
        keeper.map(|layer| &*layer.pinner)
    }

    pub(crate) fn archives(&self) -> impl Iterator<Item = &dyn Pinner> {
        let archives = self.layers.iter();
        archives
            .filter(|layer| layer.role == Role::Archive)
            .map(|layer| &*layer.pinner)
    }

    async fn fetch(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        let deadline = request.deadline().map(Instant::from_std);
        let Order {
            archives,
            others,
            barred,
        } = self.order(request);
        let mut misses = Vec::new();
        for (place, layer) in archives.iter().enumerate() {
            let among = archives.len() - place + usize::from(!others.is_empty());
            let share = deadline.map(|_| share(Instant::now(), deadline, among));
            match layer.ask(request, share).await {
                Ok(answer) => return Ok(answer),
                Err(miss) => misses.push(miss),
            }
        }
        let asked = race(others.len(), deadline, self.hedge, |place| {
            others[place].ask(request, deadline)
        });
        match asked.await {
            Ok(won) => {
                for slow in won.overtaken {
                    others[slow.source].overtaken(cid, slow.began);
                }
                return Ok(won.answer);
            }
            Err(failures) => misses.extend(failures.into_iter().map(|(_, miss)| miss)),
        }
        if let Some(until) = barred {
            misses.push(Miss::Failed(PinnerError::RateLimited {
                operation: format!("block {cid} at a source that may have it"),
                retry_after: Some(until.saturating_duration_since(Instant::now())),
            }));
        }
        together(cid, misses)
    }

    /// Which sources to ask for a block now, in their order.
    fn order(&self, request: &BlockRequest) -> Order<'_> {
        let (mut archives, mut ready, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let mut barred: Option<Instant> = None;
        for layer in &self.layers {
            let wrong = layer.is_wrong_for(request);
            match layer.readiness() {
                Readiness::Barred(until) => {
                    barred = Some(barred.map_or(until, |other| other.min(until)));
                }
                Readiness::Ready if wrong => last.push((wrong, None, layer)),
                Readiness::Ready if layer.role == Role::Archive => archives.push(layer),
                Readiness::Ready => ready.push(layer),
                Readiness::Resting(until) => last.push((wrong, Some(until), layer)),
            }
        }
        // The sort is stable: equals keep their order. Those that had this block wrong come last.
        last.sort_by_key(|(wrong, until, _)| (*wrong, *until));
        ready.extend(last.into_iter().map(|(_, _, layer)| layer));
        Order {
            archives,
            others: ready,
            barred,
        }
    }
}

struct Order<'a> {
    archives: Vec<&'a Layer>,
    others: Vec<&'a Layer>,
    /// The earliest end of a rest that a source asked for. It is not asked.
    barred: Option<Instant>,
}

/// The outcome of a call that no source answered as wished: the gravest error, or an answer of a source to avoid, if all
/// others have failed for good.
fn together(cid: &Cid, misses: Vec<Miss>) -> Result<Answer, PinnerError> {
    let mut gravest = PinnerError::NotFound { cid: *cid };
    let mut avoided = None;
    for miss in misses {
        match miss {
            Miss::Avoided(answer) => avoided = avoided.or(Some(answer)),
            Miss::Failed(error) if gravity(&error) > gravity(&gravest) => gravest = error,
            Miss::Failed(_) => {}
        }
    }
    match avoided {
        Some(answer) if !gravest.may_pass() => Ok(answer),
        Some(_) | None => Err(gravest),
    }
}

fn gravity(error: &PinnerError) -> u8 {
    match error {
        PinnerError::NotFound { .. } | PinnerError::NameNotFound { .. } => 0,
        PinnerError::Unsupported { .. } => 1,
        PinnerError::Corrupt { .. } => 2,
        PinnerError::Denied { .. } => 3,
        _ => 4,
    }
}

#[async_trait]
#[deny(
    clippy::missing_trait_methods,
    reason = "a method that is not forwarded would fall back to the trait's default"
)]
impl Pinner for Layered {
    fn capabilities(&self) -> Capabilities {
        self.keeper()
            .map_or(Capabilities::blocks_only(), Pinner::capabilities)
    }

    /// The source of an answer is the layer, counted from one, followed by the name that its backend gave, if it gave
    /// one.
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        request.in_time(Instant::now().into_std())?;
        self.fetch(request).await
    }

    /// A verdict without a source changes nothing, since every answer names one.
    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        let Some(source) = source else { return };
        for layer in &self.layers {
            layer.verdict(request, source, verdict);
        }
    }

    /// The largest of the sources that are not archives, since blocks of archives come at once.
    fn concurrency(&self) -> usize {
        let of = |wanted: fn(Role) -> bool| {
            let layers = self.layers.iter().filter(|layer| wanted(layer.role));
            layers.map(|layer| layer.pinner.concurrency()).max()
        };
        let others = of(|role| role != Role::Archive);
        others.or_else(|| of(|_| true)).unwrap_or(1).max(1)
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        self.make_pin(holder, root, depth).await
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.release_pin(holder, root).await
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        self.list_pins()
    }

    fn names(&self) -> Option<&dyn Names> {
        self.keeper()?.names()
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered")
            .field("layers", &self.layers)
            .field("hedge", &self.hedge)
            .finish_non_exhaustive()
    }
}

/// Sets up a [`Layered`].
#[derive(Debug)]
pub struct LayeredBuilder {
    layers: Vec<Layer>,
    hedge: Duration,
}

impl LayeredBuilder {
    /// Adds an archive: a source that loses no block that it has, such as a CAR file. It must not collect garbage.
    pub fn archive(self, pinner: Arc<dyn Pinner>) -> Self {
        self.with(pinner, Role::Archive)
    }

    /// Adds a source of blocks, such as gateways. Its pins and names, if it has any, are not used.
    pub fn source(self, pinner: Arc<dyn Pinner>) -> Self {
        self.with(pinner, Role::Source)
    }

    /// Adds the source that has the pins and the names, such as a node. One that was added before becomes a source of
    /// blocks.
    pub fn keeper(mut self, pinner: Arc<dyn Pinner>) -> Self {
        for layer in &mut self.layers {
            if layer.role == Role::Keeper {
                layer.role = Role::Source;
            }
        }
        self.with(pinner, Role::Keeper)
    }

    /// How long a source other than an archive is waited for before the next one is asked beside it. [`HEDGE`] unless
    /// set; [`Duration::MAX`] means that each has an equal share of the time, and is not overtaken before.
    pub fn hedge(self, hedge: Duration) -> Self {
        Self { hedge, ..self }
    }

    /// Returns the sources as one backend. Without any, every block is proven absent.
    pub fn build(self) -> Layered {
        Layered {
            layers: self.layers,
            kept: Mutex::default(),
            hedge: self.hedge,
        }
    }

    fn with(mut self, pinner: Arc<dyn Pinner>, role: Role) -> Self {
        let place = self.layers.len() + 1;
        self.layers.push(Layer::new(place, pinner, role));
        self
    }
}
