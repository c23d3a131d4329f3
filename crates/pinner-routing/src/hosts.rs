//! [`Hosts`]: the gateways that were found, with what is known of each.
//!
//! Whoever answers for a router chooses these servers. So they are asked at addresses of the internet alone, without
//! credentials, and their number is bounded.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pinner_api::{SourceId, Verdict};
use pinner_gateway::{Gateway, SharedGateway};
use pinner_http::{Addresses, Client, Endpoint, Redirects, RetryPolicy};
use tokio::time::Instant;

use crate::remembered::Remembered;

/// The largest number of gateways that are remembered. Each has a client of its own.
const MOST_HOSTS: usize = 128;

/// How long a gateway is remembered after it was last named.
const HOST_FOR: Duration = Duration::from_secs(3600);

/// The gateways that were found.
pub(crate) struct Hosts {
    addresses: Addresses,
    connect_timeout: Duration,
    in_flight: usize,
    retry: RetryPolicy,
    known: Mutex<Remembered<String, SharedGateway>>,
}

impl Hosts {
    pub(crate) fn new(
        addresses: Addresses,
        connect_timeout: Duration,
        in_flight: usize,
        retry: RetryPolicy,
    ) -> Self {
        Self {
            addresses,
            connect_timeout,
            in_flight,
            retry,
            known: Mutex::new(Remembered::at_most(MOST_HOSTS)),
        }
    }

    /// The gateway at an address; `None` if it may not be asked.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Option<SharedGateway> {
        let (name, now) = (endpoint.to_string(), Instant::now());
        let known = self.known().get(&name, now);
        let gateway = match known {
            Some(gateway) => gateway,
            None => self.make(endpoint)?,
        };
        self.known().put(name, gateway.clone(), now, HOST_FOR);
        Some(gateway)
    }

    /// Passes a verdict to the gateway that it is about.
    pub(crate) fn judged(&self, source: &SourceId, verdict: Verdict) {
        let known = self.known();
        for gateway in known.values().filter(|it| it.source() == source) {
            gateway.judged(verdict);
        }
    }

    fn make(&self, endpoint: &Endpoint) -> Option<SharedGateway> {
        let client = Client::builder(endpoint.clone())
            .addresses(self.addresses)
            .connect_timeout(self.connect_timeout)
            .in_flight(self.in_flight)
            .retry(self.retry)
            .redirects(Redirects::WithinSite)
            .build();
        match client {
            Ok(client) => Some(SharedGateway::new(Gateway::new(client))),
            Err(error) => {
                tracing::debug!(%endpoint, %error, "a gateway that was found is not asked");
                None
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Remembered<String, SharedGateway>> {
        // The values stay consistent even if a thread panicked while it held the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
