//! [`GatewayPinner`]: several gateways in order, behind the `Pinner` trait.
//!
//! This module decides which gateways are asked, in which order and for how long. `gateway` interprets the answer of
//! one gateway.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cid::Cid;
use pinner_api::{Answer, BlockRequest, Bytes, Pinner, PinnerError, SourceId, async_trait};
use pinner_http::{Auth, Client, Endpoint, Redirects, RetryPolicy};
use tokio::time::{Instant, sleep_until};

use crate::{
    Gateway, GatewayError,
    error::{Gravity, Verdict},
    rest::{Readiness, Rest},
};

/// The multihash code of identity: the digest is the data.
const IDENTITY: u64 = 0x00;

/// Trustless gateways in the order of preference.
///
/// It serves blocks only and refuses every pin. Identity CIDs are answered without a request.
///
/// A request for a block goes to the first gateway that is not resting. If that gateway fails or does not have the
/// block, the request goes to the next, until one returns the block, all have given a final answer, or the deadline
/// passes. The last gateway in the order gets all the time that is left; each one before it gets an equal share. If
/// gateways failed in a way that may pass, they are asked again, by the [`RetryPolicy`]. The gateways that a request
/// avoids are asked last.
///
/// A block is [`NotFound`](PinnerError::NotFound) only if every gateway says so.
pub struct GatewayPinner {
    gateways: Vec<Ranked>,
    deadline: Duration,
    in_flight: usize,
    retry: RetryPolicy,
}

struct Ranked {
    gateway: Gateway,
    source: SourceId,
    rest: Mutex<Rest>,
}

impl GatewayPinner {
    /// Returns a builder without gateways.
    pub fn builder() -> GatewayPinnerBuilder {
        GatewayPinnerBuilder::default()
    }

    /// The gateways, in their order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.gateways.iter().map(|ranked| ranked.gateway.endpoint())
    }

    async fn fetch(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        let started = Instant::now();
        let deadline = Instant::from_std(request.ends_by(started.into_std(), self.deadline));
        let fail = |error: GatewayError| match error.into_pinner(cid) {
            // The error has the last gateway's share; if the deadline has passed, report the whole of it.
            PinnerError::TimedOut { operation, after } => PinnerError::TimedOut {
                operation,
                after: match Instant::now() >= deadline {
                    true => deadline - started,
                    false => after,
                },
            },
            error => error,
        };
        // The gateways without a final answer, and the gravest of the final answers.
        let mut open: Vec<&Ranked> = self.gateways.iter().collect();
        let mut settled: Option<GatewayError> = None;
        let mut rounds = 0;
        loop {
            let turn = match order(&open) {
                Order::Ask(mut turn) => {
                    // The sort is stable: equals keep their order.
                    turn.sort_by_key(|ranked| request.avoids(&ranked.source));
                    turn
                }
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
            for (place, ranked) in turn.iter().enumerate() {
                let error = match ranked.ask(cid, share(deadline, turn.len() - place)).await {
                    Ok(block) => return Ok(Answer::new(block).with_source(ranked.source.clone())),
                    Err(error) => error,
                };
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
                    open.retain(|other| !std::ptr::eq(*other, *ranked));
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
        match ranked.rest().readiness(now) {
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

/// The end of an equal share of the time that is left, divided among this many gateways.
fn share(deadline: Instant, among: usize) -> Instant {
    let now = Instant::now();
    let left = deadline.saturating_duration_since(now);
    match u32::try_from(among) {
        Ok(among) if among > 1 => now + left / among,
        Ok(_) | Err(_) => deadline,
    }
}

impl Ranked {
    async fn ask(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, GatewayError> {
        let began = Instant::now();
        // No retry here: the caller decides on retries with all gateways in view.
        let answer = self
            .gateway
            .ask(cid, deadline, Some(RetryPolicy::NEVER))
            .await;
        let verdict = match &answer {
            Ok(_) => Verdict::Works,
            Err(error) => error.verdict(),
        };
        match verdict {
            Verdict::Works => self.rest().worked(began),
            Verdict::Fails(asked) => self.rest().failed(began, Instant::now(), asked),
            Verdict::Unknown => {}
        }
        answer
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        // The values are plain and stay consistent even if a thread panicked while it held the lock.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
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
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// Sets up a [`GatewayPinner`].
#[derive(Clone, Debug)]
pub struct GatewayPinnerBuilder {
    gateways: Vec<(Endpoint, Auth)>,
    deadline: Duration,
    connect_timeout: Duration,
    in_flight: usize,
    retry: RetryPolicy,
}

impl Default for GatewayPinnerBuilder {
    fn default() -> Self {
        Self {
            gateways: Vec::new(),
            deadline: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            in_flight: 32,
            retry: RetryPolicy::default(),
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
        self.gateways.push((endpoint, auth));
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

    /// Returns the gateways as a backend. It does not connect to any of them yet.
    ///
    /// # Errors
    /// [`GatewayError::NoGateway`]. [`GatewayError::Http`] for credentials that cannot be sent, and for an `https`
    /// gateway on a machine that trusts no certificates.
    pub fn build(self) -> Result<GatewayPinner, GatewayError> {
        if self.gateways.is_empty() {
            return Err(GatewayError::NoGateway);
        }
        let ranked = self.gateways.into_iter().map(|(endpoint, auth)| {
            let client = Client::builder(endpoint)
                .auth(auth)
                .connect_timeout(self.connect_timeout)
                .in_flight(self.in_flight)
                .retry(self.retry)
                .redirects(Redirects::WithinSite)
                .build()?;
            let gateway = Gateway::new(client);
            Ok(Ranked {
                source: SourceId::new(gateway.endpoint().to_string()),
                gateway,
                rest: Mutex::default(),
            })
        });
        Ok(GatewayPinner {
            gateways: ranked.collect::<Result<_, GatewayError>>()?,
            deadline: self.deadline,
            in_flight: self.in_flight,
            retry: self.retry,
        })
    }
}
