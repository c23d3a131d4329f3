//! [`RoutedPinner`]: the gateways that routers name, behind the `Pinner` trait.
//!
//! This module decides for what routers are asked, and in which order the gateways that they name come. `pinner-gateway`
//! asks the gateways.

use std::{sync::Arc, time::Duration};

use pinner_api::{
    Answer, BlockRequest, Bytes, Capabilities, Cid, Names, Pinner, PinnerError, SourceId, Verdict,
    async_trait,
};
use pinner_gateway::{GatewayPinner, SharedGateway};
use pinner_http::{Addresses, RetryPolicy};
use pinner_layered::HEDGE;
use tokio::time::Instant;

use crate::{IpnsResolver, Routing, error::unavailable, hosts::Hosts};

/// The multihash code of identity: the digest is the data.
const IDENTITY: u64 = 0x00;

/// Blocks from the trustless gateways that routers name.
///
/// It serves blocks, and names if it has a [resolver](RoutedPinnerBuilder::names). It refuses every pin. Identity CIDs
/// are answered without a request.
///
/// For a block, routers are asked for the gateways of the root that led to it, since most providers announce roots
/// alone, and for those of the block itself if no gateway of the root has it. The gateways are asked as
/// [`GatewayPinner`] does: one after the other, beside each other if one takes long, and those that failed or sent a
/// wrong block rest. One deadline covers it all. The gateways that a request avoids are asked last.
///
/// A gateway is asked without credentials, and at addresses of the internet alone
/// ([`Addresses::Internet`]) unless the host allows others.
///
/// No block is proven absent, since there may be providers that no router knows: it is
/// [`Unavailable`](PinnerError::Unavailable).
#[derive(Debug)]
pub struct RoutedPinner {
    routing: Routing,
    hosts: Hosts,
    names: Option<IpnsResolver>,
    deadline: Duration,
    hedge: Duration,
    in_flight: usize,
    retry: RetryPolicy,
}

impl RoutedPinner {
    /// Starts to set up a backend of gateways that `routing` finds.
    pub fn builder(routing: Routing) -> RoutedPinnerBuilder {
        RoutedPinnerBuilder {
            routing,
            names: None,
            addresses: Addresses::Internet,
            deadline: Duration::from_secs(30),
            hedge: HEDGE,
            connect_timeout: Duration::from_secs(5),
            in_flight: 16,
            retry: RetryPolicy::default().with_attempts(2),
        }
    }

    async fn fetch(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        let own = request.ends_by(Instant::now().into_std(), self.deadline);
        let deadline = Instant::from_std(own);
        let mut seen = Seen::default();
        let keys = keys(request);
        for (place, key) in keys.iter().enumerate() {
            // The gateways of the root leave as much time to those of the block.
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            let end = match place + 1 < keys.len() {
                true => now + left / 2,
                false => deadline,
            };
            let found = match self.routing.providers(key, end).await {
                Ok(found) => found,
                Err(error) => {
                    seen.failed(unavailable(format!("providers of {key}"), error));
                    continue;
                }
            };
            let gateways = found.iter().filter_map(|endpoint| self.hosts.at(endpoint));
            let fresh = seen.fresh(gateways, request);
            match self.ask(fresh, request, end).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => seen.failed(error),
                None => {}
            }
        }
        // Those to avoid come last, and only if no other may have the block later.
        let avoided = std::mem::take(&mut seen.avoided);
        let may_pass = seen.error.as_ref().is_some_and(PinnerError::may_pass);
        if !may_pass && let Some(Ok(answer)) = self.ask(avoided, request, deadline).await {
            return Ok(answer);
        }
        Err(match seen.error {
            None | Some(PinnerError::NotFound { .. }) => nobody(cid),
            Some(error) => error,
        })
    }

    /// Asks these gateways; `None` if there are none.
    async fn ask(
        &self,
        gateways: Vec<SharedGateway>,
        request: &BlockRequest,
        end: Instant,
    ) -> Option<Result<Answer, PinnerError>> {
        if gateways.is_empty() {
            return None;
        }
        let builder = GatewayPinner::builder()
            .deadline(self.deadline)
            .hedge(self.hedge)
            .retry(self.retry);
        let pinner = gateways.into_iter().fold(builder, |it, one| it.shared(one));
        let request = request.clone().with_deadline(end.into_std());
        Some(match pinner.build() {
            Ok(pinner) => pinner.block(&request).await,
            Err(error) => Err(error.into_pinner(request.cid())),
        })
    }
}

/// The CIDs of which the providers are asked for, in their order.
fn keys(request: &BlockRequest) -> Vec<Cid> {
    let (cid, root) = (*request.cid(), request.origin().root);
    match root.hash() == cid.hash() || root.hash().code() == IDENTITY {
        true => vec![cid],
        false => vec![root, cid],
    }
}

/// The gateways that were met for one block, and what they came to.
#[derive(Default)]
struct Seen {
    sources: Vec<SourceId>,
    avoided: Vec<SharedGateway>,
    /// The gravest failure.
    error: Option<PinnerError>,
}

impl Seen {
    /// The gateways among these that were not met before and are not to be avoided.
    fn fresh(
        &mut self,
        gateways: impl Iterator<Item = SharedGateway>,
        request: &BlockRequest,
    ) -> Vec<SharedGateway> {
        let mut fresh = Vec::new();
        for gateway in gateways {
            if self.sources.contains(gateway.source()) {
                continue;
            }
            self.sources.push(gateway.source().clone());
            match request.avoids(gateway.source()) {
                true => self.avoided.push(gateway),
                false => fresh.push(gateway),
            }
        }
        fresh
    }

    /// Records a failure. One that may pass is the gravest, and an absence the least.
    fn failed(&mut self, error: PinnerError) {
        let gravity = |error: &PinnerError| match error {
            PinnerError::NotFound { .. } => 0,
            error if error.may_pass() => 2,
            _ => 1,
        };
        if self
            .error
            .as_ref()
            .is_none_or(|other| gravity(other) < gravity(&error))
        {
            self.error = Some(error);
        }
    }
}

fn nobody(cid: &Cid) -> PinnerError {
    PinnerError::Unavailable {
        operation: format!("block {cid}: no gateway that a router names has it"),
        source: None,
    }
}

#[async_trait]
impl Pinner for RoutedPinner {
    fn capabilities(&self) -> Capabilities {
        match self.names {
            Some(_) => Capabilities::blocks_only().with_names(),
            None => Capabilities::blocks_only(),
        }
    }

    /// The source of an answer is the gateway's address.
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        request.in_time(Instant::now().into_std())?;
        let hash = request.cid().hash();
        if hash.code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(hash.digest()).into());
        }
        self.fetch(request).await
    }

    /// A gateway whose block was wrong rests.
    fn verdict(&self, _request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        if let Some(source) = source {
            self.hosts.judged(source, verdict);
        }
    }

    /// The limit in flight.
    fn concurrency(&self) -> usize {
        self.in_flight
    }

    fn names(&self) -> Option<&dyn Names> {
        self.names.as_ref().map(|names| names as &dyn Names)
    }
}

/// Sets up a [`RoutedPinner`].
#[derive(Debug)]
pub struct RoutedPinnerBuilder {
    routing: Routing,
    names: Option<IpnsResolver>,
    addresses: Addresses,
    deadline: Duration,
    hedge: Duration,
    connect_timeout: Duration,
    in_flight: usize,
    retry: RetryPolicy,
}

impl RoutedPinnerBuilder {
    /// Sets the resolver of names. None unless set.
    pub fn names(mut self, resolver: IpnsResolver) -> Self {
        self.names = Some(resolver);
        self
    }

    /// Sets the addresses at which the gateways that are found may be. [`Addresses::Internet`] unless set.
    pub fn addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// How long one block may take, over routers, gateways and retries, unless its request says less. 30 seconds unless
    /// set.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a gateway is waited for before the next one is asked beside it. A second unless set.
    pub fn hedge(mut self, hedge: Duration) -> Self {
        self.hedge = hedge;
        self
    }

    /// How long connecting to a gateway may take. 5 seconds unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many blocks may be requested at once from each gateway. 16 unless set; zero means one.
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls.max(1);
        self
    }

    /// How often the gateways that may still succeed are asked, and how long to wait between rounds. Twice unless set.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Returns the backend. It connects to nobody yet.
    pub fn build(self) -> RoutedPinner {
        RoutedPinner {
            hosts: Hosts::new(
                self.addresses,
                self.connect_timeout,
                self.in_flight,
                self.retry,
            ),
            routing: self.routing,
            names: self.names,
            deadline: self.deadline,
            hedge: self.hedge,
            in_flight: self.in_flight,
            retry: self.retry,
        }
    }
}

// `Arc<dyn Pinner>` is what hosts hold.
const _: fn(RoutedPinner) -> Arc<dyn Pinner> = |pinner| Arc::new(pinner);
