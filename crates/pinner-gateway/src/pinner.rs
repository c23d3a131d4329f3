//! [`GatewayPinner`]: several gateways in order, behind the `Pinner` trait.
//!
//! This module decides which gateways are asked, in which order and for how long. `gateway` interprets the answer of
//! one gateway.

use std::{fmt, time::Duration};

use pinner_api::{
    Answer, BlockRequest, Bytes, Pinner, PinnerError, SourceId, Verdict, async_trait,
};
use pinner_http::{Auth, Client, ClientBuilder, Endpoint, Progress, Redirects, RetryPolicy};
use pinner_layered::{HEDGE, Readiness, race};
use tokio::time::{Instant, sleep_until};

use crate::{Gateway, GatewayError, SharedGateway, error::Gravity, ranked::Ranked};

/// The multihash code of identity: the digest is the data.
const IDENTITY: u64 = 0x00;

/// Trustless gateways in the order of preference.
///
/// It serves blocks only and refuses every pin. Identity CIDs are answered without a request.
///
/// A request for a block goes to the first gateway that is not resting. If that gateway fails or does not have the
/// block, the request goes to the next, until one returns the block, all have given a final answer, or the deadline
/// passes. If the gateway takes longer than the [hedge](GatewayPinnerBuilder::hedge), or than an equal share of the time
/// that is left, the next one is asked beside it, and the first block wins. If gateways failed in a way that may pass,
/// they are asked again, by the [`RetryPolicy`]. The gateways that a request avoids are asked last.
///
/// A gateway rests, and is asked last, after a failure, after a block that was wrong, and after an answer that it had
/// begun when another gateway had overtaken it. An answer that did not begin, and status 504, count only if several
/// different blocks in a row come to that: one block may be nowhere.
///
/// A block is [`NotFound`](PinnerError::NotFound) only if every gateway says so.
pub struct GatewayPinner {
    gateways: Vec<SharedGateway>,
    deadline: Duration,
    hedge: Duration,
    in_flight: usize,
    retry: RetryPolicy,
}

impl GatewayPinner {
    /// Returns a builder without gateways.
    pub fn builder() -> GatewayPinnerBuilder {
        GatewayPinnerBuilder::default()
    }

    /// The gateways, in their order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.gateways.iter().map(SharedGateway::endpoint)
    }

    async fn fetch(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let started = Instant::now();
        let deadline = Instant::from_std(request.ends_by(started.into_std(), self.deadline));
        let time = (started, deadline);
        let all = self.gateways.iter().map(|shared| &*shared.0);
        let (avoided, wanted): (Vec<_>, Vec<_>) =
            all.partition(|ranked| request.avoids(&ranked.source));
        if avoided.is_empty() || wanted.is_empty() {
            let all = self.gateways.iter().map(|shared| &*shared.0).collect();
            return self.fetch_from(all, request, time).await;
        }
        // An answer to avoid must not overtake one of another gateway, so it is not asked for before these are done.
        let error = match self.fetch_from(wanted, request, time).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if error.may_pass() {
            return Err(error);
        }
        match self.fetch_from(avoided, request, time).await {
            Err(absent) if absent.is_absence() => Err(error),
            answer => answer,
        }
    }

    /// Asks these gateways for the block, in their order, as often as the policy of retries says.
    async fn fetch_from(
        &self,
        mut open: Vec<&Ranked>,
        request: &BlockRequest,
        (started, deadline): (Instant, Instant),
    ) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        let fail = |error: GatewayError| match error.into_pinner(cid) {
            // The gateway asked last had less time; if the deadline has passed, report the whole of it.
            PinnerError::TimedOut { operation, after } => PinnerError::TimedOut {
                operation,
                after: match Instant::now() >= deadline {
                    true => deadline - started,
                    false => after,
                },
            },
            error => error,
        };
        // `open` are those without a final answer; this is the gravest of the final answers.
        let mut settled: Option<GatewayError> = None;
        let mut rounds = 0;
        loop {
            let turn = match order(&open) {
                Order::Ask(turn) => turn,
                Order::Wait(until) if until < deadline => {
                    sleep_until(until).await;
                    continue;
                }
                Order::Wait(until) => {
                    return Err(PinnerError::RateLimited {
                        operation: format!("block {cid} at every gateway that may have it"),
                        retry_after: Some(until.saturating_duration_since(Instant::now())),
                    });
                }
                Order::Nobody => return Err(fail(settled.unwrap_or(GatewayError::NoGateway))),
            };
            // The failure that allows the next round the soonest.
            let mut passing: Option<(Option<Duration>, GatewayError)> = None;
            rounds += 1;
            let failures = match self.ask(&turn, request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failures) => failures,
            };
            for (place, error) in failures {
                tracing::debug!(%cid, %error, "a gateway returned no block");
                if error.gravity() == Gravity::MayPass {
                    let wait = match &error {
                        GatewayError::Http(error) => self.retry.wait(rounds, error),
                        GatewayError::NoGateway
                        | GatewayError::Absent { .. }
                        | GatewayError::NotABlock { .. } => None,
                    };
                    let sooner = |other: &Option<Duration>| match (wait, other) {
                        (Some(wait), Some(other)) => wait < *other,
                        (Some(_), None) => true,
                        (None, Some(_)) => false,
                        // Neither allows another round: keep the latest.
                        (None, None) => true,
                    };
                    if passing.as_ref().is_none_or(|(other, _)| sooner(other)) {
                        passing = Some((wait, error));
                    }
                } else {
                    open.retain(|other| !std::ptr::eq(*other, turn[place]));
                    if settled
                        .as_ref()
                        .is_none_or(|other| other.gravity() < error.gravity())
                    {
                        settled = Some(error);
                    }
                }
            }
            let Some((wait, error)) = passing else {
                // The gateways that remain, if any, asked to be left alone.
                continue;
            };
            // A gateway may ask for more time than a clock can count.
            match wait.and_then(|wait| Instant::now().checked_add(wait)) {
                Some(again) if again < deadline => sleep_until(again).await,
                Some(_) | None => return Err(fail(error)),
            }
        }
    }

    /// Asks these gateways once, until one returns the block. Returns their failures, with their places in `turn`.
    async fn ask(
        &self,
        turn: &[&Ranked],
        request: &BlockRequest,
        deadline: Instant,
    ) -> Result<Answer, Vec<(usize, GatewayError)>> {
        let progress: Vec<_> = turn.iter().map(|_| Progress::default()).collect();
        let won = race(turn.len(), Some(deadline), self.hedge, |place| {
            turn[place].ask(request.cid(), deadline, &progress[place])
        })
        .await?;
        for slow in won.overtaken {
            let waited_for = progress[slow.source].waiting();
            turn[slow.source].overtaken(request.cid(), slow.began, waited_for);
        }
        Ok(Answer::new(won.answer).with_source(turn[won.source].source.clone()))
    }
}

/// Which gateways to ask now, of those without a final answer.
enum Order<'a> {
    /// These, one after the other.
    Ask(Vec<&'a Ranked>),
    /// None before this instant: all have asked to be left alone.
    Wait(Instant),
    /// None: all have given a final answer.
    Nobody,
}

/// Returns the ready gateways in their order, then the resting ones, earliest end of rest first.
fn order<'a>(open: &[&'a Ranked]) -> Order<'a> {
    let now = Instant::now();
    let (mut ready, mut resting, mut barred) = (Vec::new(), Vec::new(), None);
    for ranked in open {
        match ranked.breaker().readiness(now) {
            Readiness::Ready => ready.push(*ranked),
            Readiness::Resting(until) => resting.push((until, *ranked)),
            Readiness::Barred(until) => {
                barred = Some(barred.map_or(until, |other: Instant| other.min(until)));
            }
        }
    }
    // The sort is stable: equals keep their order.
    resting.sort_by_key(|(until, _)| *until);
    ready.extend(resting.into_iter().map(|(_, ranked)| ranked));
    match (ready.is_empty(), barred) {
        (false, _) => Order::Ask(ready),
        (true, Some(until)) => Order::Wait(until),
        (true, None) => Order::Nobody,
    }
}

#[async_trait]
impl Pinner for GatewayPinner {
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
        // One gateway may have been given twice.
        for gateway in &self.gateways {
            if Some(gateway.source()) == source {
                gateway.judged(verdict);
            }
        }
    }

    /// The limit in flight.
    fn concurrency(&self) -> usize {
        self.in_flight
    }
}

impl fmt::Debug for GatewayPinner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayPinner")
            .field("gateways", &self.endpoints().collect::<Vec<_>>())
            .field("deadline", &self.deadline)
            .field("hedge", &self.hedge)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// A gateway as it was given to the builder.
#[derive(Clone, Debug)]
enum Given {
    Named(Endpoint, Auth),
    Shared(SharedGateway),
}

/// Sets up a [`GatewayPinner`].
#[derive(Clone, Debug)]
pub struct GatewayPinnerBuilder {
    gateways: Vec<Given>,
    deadline: Duration,
    hedge: Duration,
    connect_timeout: Duration,
    in_flight: usize,
    retry: RetryPolicy,
    /// Certificates in DER.
    trusted: Vec<Vec<u8>>,
}

impl Default for GatewayPinnerBuilder {
    fn default() -> Self {
        Self {
            gateways: Vec::new(),
            deadline: Duration::from_secs(30),
            hedge: HEDGE,
            connect_timeout: Duration::from_secs(5),
            in_flight: 32,
            retry: RetryPolicy::default(),
            trusted: Vec::new(),
        }
    }
}

impl GatewayPinnerBuilder {
    /// Adds a gateway, after those already added.
    pub fn gateway(self, endpoint: Endpoint) -> Self {
        self.gateway_with(endpoint, Auth::None)
    }

    /// Adds a gateway, after those already added, with credentials that are sent to this gateway only.
    pub fn gateway_with(mut self, endpoint: Endpoint, auth: Auth) -> Self {
        self.gateways.push(Given::Named(endpoint, auth));
        self
    }

    /// Adds a gateway that other backends use too, after those already added. The client that it was made with has its
    /// limit in flight and its other settings.
    pub fn shared(mut self, gateway: SharedGateway) -> Self {
        self.gateways.push(Given::Shared(gateway));
        self
    }

    /// Adds these gateways, after those already added.
    pub fn gateways(self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        endpoints.into_iter().fold(self, Self::gateway)
    }

    /// How long one block may take, over all gateways and retries, unless its request says less. 30 seconds unless
    /// set.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a gateway is waited for before the next one is asked beside it. A second unless set.
    /// [`Duration::MAX`] means an equal share of the time that is left.
    pub fn hedge(mut self, hedge: Duration) -> Self {
        self.hedge = hedge;
        self
    }

    /// How long connecting may take. 5 seconds unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many blocks may be requested at once from each gateway. 32 unless set; zero means one.
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls.max(1);
        self
    }

    /// How often the gateways that may still succeed are asked, and how long to wait between rounds. Three times
    /// unless set ([`RetryPolicy::default`]).
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Trusts gateways whose certificate is this one or was signed by it (X.509, in DER), in addition to those that the
    /// system trusts. May be called several times.
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.trusted.push(certificate.into());
        self
    }

    /// Returns the gateways as a backend. It does not connect to any of them yet.
    ///
    /// # Errors
    /// [`GatewayError::NoGateway`]. [`GatewayError::Http`] for credentials that cannot be sent, for a certificate to trust
    /// that is not one, and for an `https` gateway on a machine that trusts no certificates.
    pub fn build(self) -> Result<GatewayPinner, GatewayError> {
        if self.gateways.is_empty() {
            return Err(GatewayError::NoGateway);
        }
        let gateways = self.gateways.into_iter().map(|given| {
            let (endpoint, auth) = match given {
                Given::Named(endpoint, auth) => (endpoint, auth),
                Given::Shared(gateway) => return Ok(gateway),
            };
            let client = Client::builder(endpoint)
                .auth(auth)
                .connect_timeout(self.connect_timeout)
                .in_flight(self.in_flight)
                .retry(self.retry)
                .redirects(Redirects::WithinSite);
            let client = self
                .trusted
                .iter()
                .cloned()
                .fold(client, ClientBuilder::trust);
            Ok(SharedGateway::new(Gateway::new(client.build()?)))
        });
        Ok(GatewayPinner {
            gateways: gateways.collect::<Result<_, GatewayError>>()?,
            deadline: self.deadline,
            hedge: self.hedge,
            in_flight: self.in_flight,
            retry: self.retry,
        })
    }
}
