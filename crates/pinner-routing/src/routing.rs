//! [`Routing`]: several routers, asked at once, and what they said.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cid::Cid;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared, WeakShared},
    stream::FuturesUnordered,
};
use pinner_http::{Client, Endpoint, Redirects};
use pinner_layered::Readiness;
use tokio::time::{Instant, timeout_at};

use crate::{
    RoutingError,
    answer::Plain,
    remembered::Remembered,
    router::{LINGER, MOST_PROVIDERS, Router, merge},
};

/// How long gateways that were found are remembered, and how long it is that there were none. The specification
/// suggests these times to servers.
const FOUND_FOR: Duration = Duration::from_secs(300);
const NONE_FOR: Duration = Duration::from_secs(15);

/// The longest time that a call gets, so that adding it to the current time cannot overflow: a year.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The largest number of CIDs of which the gateways are remembered, of some kilobytes each at most.
const MOST_REMEMBERED: usize = 4096;

/// Servers of delegated routing, by HTTP (<https://specs.ipfs.tech/routing/http-routing-v1/>): they say which gateways
/// provide a CID, and have IPNS records. A clone is the same value.
///
/// All routers are asked at once. Their answers are remembered, for five minutes, or for 15 seconds if no gateway was
/// found. A router that fails rests for a while, and is then asked only if all rest. No answer of more than 64 KiB is
/// read, and no more than eight gateways are taken for a CID.
///
/// A router is trusted with nothing: blocks and records are verified, and the gateways that it names are asked only at
/// addresses of the internet. It learns which CIDs and names are asked for.
#[derive(Clone)]
pub struct Routing(Arc<Inner>);

struct Inner {
    routers: Vec<Router>,
    /// How long one look-up may take.
    lookup: Duration,
    remembered: Mutex<Remembered<Key, Arc<[Endpoint]>>>,
    /// The look-ups under way.
    flying: Mutex<HashMap<Key, WeakShared<Lookup>>>,
}

/// The bytes of a multihash.
type Key = Vec<u8>;
type Lookup = BoxFuture<'static, Result<Arc<[Endpoint]>, Arc<RoutingError>>>;

impl Routing {
    /// Returns a builder without routers.
    pub fn builder() -> RoutingBuilder {
        RoutingBuilder {
            routers: Vec::new(),
            lookup: Duration::from_secs(10),
            plain: Plain::Never,
        }
    }

    /// The routers' addresses.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.routers().iter().map(|router| &**router.endpoint())
    }

    /// Returns the addresses of gateways that are said to provide the CID, at most eight, by `deadline`. Callers that
    /// ask for the same CID at once share one look-up.
    ///
    /// # Errors
    /// If no router answered, and why one did not. An empty list is what the routers said.
    ///
    /// # Cancellation
    /// The look-up ends with the last caller that waits for it.
    pub async fn providers(
        &self,
        cid: &Cid,
        deadline: Instant,
    ) -> Result<Arc<[Endpoint]>, Arc<RoutingError>> {
        let key = cid.hash().to_bytes();
        let remembered = lock(&self.0.remembered).get(&key, Instant::now());
        if let Some(found) = remembered {
            return Ok(found);
        }
        let lookup = self.lookup(key, *cid);
        let found = timeout_at(deadline, lookup).await;
        found.unwrap_or_else(|_| Err(Arc::new(RoutingError::TimedOut)))
    }

    pub(crate) fn routers(&self) -> &[Router] {
        &self.0.routers
    }

    /// The look-up of a CID that is under way, or else a new one.
    fn lookup(&self, key: Key, cid: Cid) -> Shared<Lookup> {
        let mut flying = lock(&self.0.flying);
        let under_way = flying.get(&key).and_then(WeakShared::upgrade);
        if let Some(lookup) = under_way {
            return lookup;
        }
        // Those that nobody waits for have ended.
        flying.retain(|_, lookup| lookup.upgrade().is_some());
        let inner = self.0.clone();
        let of = key.clone();
        let lookup = async move { inner.look_up(of, &cid).await }
            .boxed()
            .shared();
        if let Some(weak) = lookup.downgrade() {
            flying.insert(key, weak);
        }
        lookup
    }
}

impl Inner {
    async fn look_up(&self, key: Key, cid: &Cid) -> Result<Arc<[Endpoint]>, Arc<RoutingError>> {
        let found = self
            .ask(cid, Instant::now() + self.lookup.min(LONGEST))
            .await;
        let found: Arc<[Endpoint]> = found.map_err(Arc::new)?.into();
        tracing::debug!(%cid, gateways = ?found, "routers were asked");
        let time = match found.is_empty() {
            true => NONE_FOR,
            false => FOUND_FOR,
        };
        lock(&self.remembered).put(key, found.clone(), Instant::now(), time);
        Ok(found)
    }

    /// Asks the routers at once. Once one has named a gateway, the others have a moment left.
    async fn ask(&self, cid: &Cid, deadline: Instant) -> Result<Vec<Endpoint>, RoutingError> {
        let asked = self.routers_now();
        let began = Instant::now();
        let mut open: Vec<_> = (0..asked.len()).collect();
        let calls = asked.iter().enumerate();
        let mut calls: FuturesUnordered<_> = calls
            .map(|(place, router)| async move { (place, router.providers(cid, deadline).await) })
            .collect();
        let (mut found, mut failed, mut end) = (Vec::new(), None, deadline);
        let all_ended = loop {
            let (place, answer) = match timeout_at(end, calls.next()).await {
                Err(_) => break false,
                Ok(None) => break true,
                Ok(Some(ended)) => ended,
            };
            open.retain(|it| *it != place);
            match answer {
                Ok(named) => merge(&mut found, named),
                Err(error) => {
                    tracing::debug!(%cid, %error, "a router fails");
                    failed = Some(error);
                }
            }
            if found.len() >= MOST_PROVIDERS {
                break true;
            }
            if !found.is_empty() {
                end = end.min(Instant::now() + LINGER);
            }
        };
        // Whoever is late again and again has no part in the next look-ups.
        for place in open {
            asked[place].overtaken(cid, began);
        }
        match failed {
            _ if !found.is_empty() => Ok(found),
            Some(error) => Err(error),
            None if !all_ended || asked.is_empty() => Err(RoutingError::TimedOut),
            None => Ok(found),
        }
    }

    /// The routers that do not rest; if all do, those that have not asked for it.
    fn routers_now(&self) -> Vec<&Router> {
        let of = |wanted: fn(Readiness) -> bool| -> Vec<&Router> {
            let routers = self.routers.iter();
            routers.filter(|it| wanted(it.readiness())).collect()
        };
        let ready = of(|readiness| readiness == Readiness::Ready);
        match ready.is_empty() {
            true => of(|readiness| !matches!(readiness, Readiness::Barred(_))),
            false => ready,
        }
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing")
            .field("routers", &self.endpoints().collect::<Vec<_>>())
            .field("lookup", &self.0.lookup)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The values stay consistent even if a thread panicked while it held the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets up a [`Routing`].
#[derive(Clone, Debug)]
pub struct RoutingBuilder {
    routers: Vec<Endpoint>,
    lookup: Duration,
    plain: Plain,
}

impl RoutingBuilder {
    /// Adds a router: the address below which `/routing/v1` is.
    pub fn router(mut self, endpoint: Endpoint) -> Self {
        self.routers.push(endpoint);
        self
    }

    /// How long one look-up may take. 10 seconds unless set. Callers may give up earlier.
    pub fn lookup(mut self, time: Duration) -> Self {
        self.lookup = time;
        self
    }

    /// Allows routers and gateways on this machine, over http too: for a router of one's own, and for tests. Anybody who
    /// answers for a router can then lead requests to servers of this machine.
    pub fn allow_loopback(mut self) -> Self {
        self.plain = Plain::OnLoopback;
        self
    }

    /// Returns the routers. It connects to none of them yet.
    ///
    /// # Errors
    /// * [`RoutingError::Nobody`].
    /// * [`RoutingError::NotEncrypted`]: a router that is neither at an https address nor on this machine while that is
    ///   allowed.
    /// * [`RoutingError::Http`]: a machine that trusts no certificates.
    pub fn build(self) -> Result<Routing, RoutingError> {
        if self.routers.is_empty() {
            return Err(RoutingError::Nobody);
        }
        let routers = self.routers.into_iter().map(|endpoint| {
            let client = client(endpoint, self.plain)?;
            Ok(Router::new(client, self.plain))
        });
        Ok(Routing(Arc::new(Inner {
            routers: routers.collect::<Result<_, RoutingError>>()?,
            lookup: self.lookup,
            remembered: Mutex::new(Remembered::at_most(MOST_REMEMBERED)),
            flying: Mutex::default(),
        })))
    }
}

/// The client of a server that the host named, without credentials.
pub(crate) fn client(endpoint: Endpoint, plain: Plain) -> Result<Client, RoutingError> {
    let on_loopback = plain == Plain::OnLoopback && endpoint.is_local();
    if endpoint.socket().is_some() || !(endpoint.is_https() || on_loopback) {
        return Err(RoutingError::NotEncrypted {
            endpoint: Box::new(endpoint),
        });
    }
    let client = Client::builder(endpoint).redirects(Redirects::WithinSite);
    Ok(client.build()?)
}
