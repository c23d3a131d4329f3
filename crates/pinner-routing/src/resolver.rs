//! [`IpnsResolver`]: names of keys, resolved by records that are verified here.

use std::{
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use pinner_api::{Bytes, Names, PinnerError, Resolved, async_trait};
use pinner_http::{Client, Endpoint};
use tokio::time::{Instant, timeout_at};

use crate::{
    Routing, RoutingError,
    answer::Plain,
    error::unavailable,
    ipns::{IpnsRecord, KeyName, RecordError, Target, is_domain},
    kept::{Kept, Newest},
    router::{LINGER, RECORD, malformed, record},
    routing::{LONGEST, client},
};

/// How many records may point to each other in a row, as in Kubo (`namesys.DefaultDepthLimit`).
const DEEPEST: usize = 32;

/// The largest number of names of which the newest record is kept in a directory.
const MOST_KEPT: usize = 4096;

/// Resolves names of keys, by their records: from routers and gateways, all asked at once, verified here.
///
/// Nobody who is asked is trusted: a record counts if the name's own key signed it and it has not expired. Of several,
/// the one with the highest sequence number counts. With a [directory](IpnsResolverBuilder::keep_in), the newest record
/// of each name is kept across restarts, and an older one is refused; then, or in its place, the kept one answers while
/// it is in force. Without a directory, whoever withholds the newest record can pass off an older one that has not
/// expired.
///
/// A record may point to another name, 32 times in a row at most.
///
/// **DNSLink names** (`example.org`) are not signed: whoever resolves them is believed. This resolver refuses them by
/// name. A node resolves them, by its own word.
#[derive(Clone)]
pub struct IpnsResolver {
    routing: Option<Routing>,
    gateways: Arc<[RecordGateway]>,
    kept: Option<Kept>,
    deadline: Duration,
}

/// A trustless gateway that is asked for records
/// (<https://specs.ipfs.tech/http-gateways/trustless-gateway/#get-ipns-key-params>).
#[derive(Debug)]
struct RecordGateway {
    client: Client,
    endpoint: Arc<Endpoint>,
}

impl RecordGateway {
    /// Returns the record of a name, unverified; `None` if the gateway says that there is none.
    async fn record(
        &self,
        name: &KeyName,
        deadline: Instant,
    ) -> Result<Option<Bytes>, RoutingError> {
        let request = self.client.get(&format!("ipns/{name}"));
        match record(request.query("format", "ipns-record"), deadline).await? {
            None => Ok(None),
            Some((kind, bytes)) if kind == RECORD => Ok(Some(bytes)),
            Some(_) => Err(malformed(&self.endpoint, "it sends no IPNS record")),
        }
    }
}

/// Why a source has no record that counts.
#[derive(Debug)]
enum Miss {
    Absent,
    Failed(RoutingError),
    Refused(RecordError),
}

impl IpnsResolver {
    /// Returns a builder without sources.
    pub fn builder() -> IpnsResolverBuilder {
        IpnsResolverBuilder {
            routing: None,
            gateways: Vec::new(),
            plain: Plain::Never,
            dir: None,
            deadline: Duration::from_secs(30),
        }
    }

    /// Returns the newest record of a name that can be had by `deadline`.
    ///
    /// # Errors
    /// * [`NameNotFound`](PinnerError::NameNotFound): everybody says that there is no record.
    /// * [`Corrupt`](PinnerError::Corrupt): there is none that counts, and why one does not.
    /// * [`Unavailable`](PinnerError::Unavailable), [`TimedOut`](PinnerError::TimedOut): somebody did not answer.
    ///
    /// # Cancellation
    /// The calls end. The newest record may have been kept or not.
    pub async fn record(
        &self,
        name: &KeyName,
        deadline: Instant,
    ) -> Result<IpnsRecord, PinnerError> {
        let record = self.newest(name, deadline).await?;
        let Some(kept) = self.kept.clone() else {
            return Ok(record);
        };
        let operation = || format!("resolve {name}");
        let (of, given) = (name.clone(), record.clone());
        let newest = tokio::task::spawn_blocking(move || kept.newest(&of, &given));
        // Another process may hold the directory's lock.
        let newest = timeout_at(deadline, newest).await;
        let newest = newest.map_err(|_| io::Error::from(io::ErrorKind::TimedOut));
        let newest = newest.and_then(|ended| ended.map_err(io::Error::other)?);
        match newest {
            Ok(Newest::Given) => Ok(record),
            Ok(Newest::Kept(kept)) => {
                let (had, sent) = (kept.sequence(), record.sequence());
                tracing::warn!(%name, had, sent, "a record that is older than a known one is refused");
                match kept.in_force(SystemTime::now()) {
                    Ok(()) => Ok(*kept),
                    Err(_) => Err(PinnerError::Corrupt {
                        operation: operation(),
                        reason: format!(
                            "the record has the sequence number {sent}, and one with {had} is known, which has expired"
                        ),
                    }),
                }
            }
            // Without the directory nothing says whether the record is the newest.
            Err(error) => Err(PinnerError::Unavailable {
                operation: format!("{}: the newest record cannot be kept", operation()),
                source: Some(pinner_api::Cause::new(error)),
            }),
        }
    }

    /// Asks everybody at once. Once there is a record, the others have a moment left.
    async fn newest(&self, name: &KeyName, deadline: Instant) -> Result<IpnsRecord, PinnerError> {
        let began = Instant::now();
        let mut calls: FuturesUnordered<_> = self.calls(name, deadline).into_iter().collect();
        let mut newest: Option<IpnsRecord> = None;
        let (mut misses, mut end) = (Vec::new(), deadline);
        while let Ok(Some(answer)) = timeout_at(end, calls.next()).await {
            match answer {
                Ok(record) => {
                    end = end.min(Instant::now() + LINGER);
                    if newest.as_ref().is_none_or(|it| record.supersedes(it)) {
                        newest = Some(record);
                    }
                }
                Err(miss) => misses.push(miss),
            }
        }
        if let Some(newest) = newest {
            return Ok(newest);
        }
        if !calls.is_empty() {
            return Err(PinnerError::TimedOut {
                operation: format!("resolve {name}"),
                after: deadline.saturating_duration_since(began),
            });
        }
        Err(together(name, misses))
    }

    /// One call for each router and gateway.
    fn calls<'a>(
        &'a self,
        name: &'a KeyName,
        deadline: Instant,
    ) -> Vec<BoxFuture<'a, Result<IpnsRecord, Miss>>> {
        let routers = self.routing.iter().flat_map(Routing::routers);
        let routers = routers.map(|router| {
            let answer = router.record(name, deadline);
            checked(name, router.endpoint(), answer.boxed())
        });
        let gateways = self.gateways.iter().map(|gateway| {
            let answer = gateway.record(name, deadline);
            checked(name, &gateway.endpoint, answer.boxed())
        });
        routers.chain(gateways).collect()
    }
}

/// Verifies the record in an answer.
fn checked<'a>(
    name: &'a KeyName,
    endpoint: &'a Endpoint,
    answer: BoxFuture<'a, Result<Option<Bytes>, RoutingError>>,
) -> BoxFuture<'a, Result<IpnsRecord, Miss>> {
    async move {
        let bytes = match answer.await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(Miss::Absent),
            Err(error) => {
                tracing::debug!(%name, %error, "a source of records fails");
                return Err(Miss::Failed(error));
            }
        };
        IpnsRecord::verified(name, &bytes, SystemTime::now()).map_err(|error| {
            tracing::warn!(%name, source = %endpoint, %error, "a record is refused");
            Miss::Refused(error)
        })
    }
    .boxed()
}

/// The error if there is no record: a failure before a refusal, and a refusal before an absence.
fn together(name: &KeyName, misses: Vec<Miss>) -> PinnerError {
    let operation = format!("resolve {name}");
    let mut refused = None;
    for miss in misses {
        match miss {
            Miss::Failed(error) => return unavailable(operation, Arc::new(error)),
            Miss::Refused(error) => refused = Some(error),
            Miss::Absent => {}
        }
    }
    match refused {
        Some(error) => PinnerError::Corrupt {
            operation,
            reason: error.to_string(),
        },
        None => PinnerError::NameNotFound {
            name: name.to_string(),
        },
    }
}

#[async_trait]
impl Names for IpnsResolver {
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError> {
        let deadline = Instant::now() + self.deadline.min(LONGEST);
        let mut next: KeyName = match name.parse() {
            Ok(key) => key,
            Err(_) if is_domain(name) => return Err(unsigned(name)),
            Err(_) => {
                return Err(PinnerError::NameNotFound {
                    name: name.to_owned(),
                });
            }
        };
        let (mut below, mut ttl): (String, Option<Duration>) = (String::new(), None);
        for _ in 0..DEEPEST {
            let record = self.record(&next, deadline).await?;
            ttl = match (ttl, record.ttl()) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            match record.target() {
                Target::Content { root, path } => {
                    let resolved = Resolved::new(*root, join(path, &below));
                    return Ok(match ttl {
                        Some(ttl) => resolved.with_ttl(ttl),
                        None => resolved,
                    });
                }
                Target::Key { name, path } => {
                    below = join(path, &below);
                    next = name.clone();
                }
                Target::Domain { name, .. } => return Err(unsigned(name)),
            }
        }
        Err(PinnerError::Corrupt {
            operation: format!("resolve {name}"),
            reason: format!("more than {DEEPEST} records point to each other"),
        })
    }
}

/// A path, and another one below it.
fn join(path: &str, below: &str) -> String {
    match (path, below) {
        (path, "") => path.to_owned(),
        ("", below) => below.to_owned(),
        (path, below) => format!("{path}/{below}"),
    }
}

/// The refusal of a name that no key signs for.
fn unsigned(name: &str) -> PinnerError {
    PinnerError::Denied {
        operation: format!("resolve {name}"),
        reason:
            "it is a DNSLink name, which nobody signs: only a node resolves it, by its own word"
                .into(),
    }
}

impl fmt::Debug for IpnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gateways = self.gateways.iter().map(|it| &*it.endpoint);
        f.debug_struct("IpnsResolver")
            .field("routing", &self.routing)
            .field("gateways", &gateways.collect::<Vec<_>>())
            .field("kept", &self.kept)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// Sets up an [`IpnsResolver`].
#[derive(Debug)]
pub struct IpnsResolverBuilder {
    routing: Option<Routing>,
    gateways: Vec<Endpoint>,
    plain: Plain,
    dir: Option<PathBuf>,
    deadline: Duration,
}

impl IpnsResolverBuilder {
    /// Asks these routers for records.
    pub fn routing(mut self, routing: Routing) -> Self {
        self.routing = Some(routing);
        self
    }

    /// Asks this trustless gateway for records too.
    pub fn gateway(mut self, endpoint: Endpoint) -> Self {
        self.gateways.push(endpoint);
        self
    }

    /// Allows gateways on this machine, over http too. Routers have a setting of their own
    /// ([`RoutingBuilder::allow_loopback`](crate::RoutingBuilder::allow_loopback)).
    pub fn allow_loopback(mut self) -> Self {
        self.plain = Plain::OnLoopback;
        self
    }

    /// Keeps the newest record of each name in this directory, of up to 4,096 names and 10 KiB each; of more names, the
    /// one whose record was written the longest ago goes. The directory is created when it is needed, closed to other
    /// users, and several processes may share it. Nothing is kept unless set.
    pub fn keep_in(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How long a name may take, over all records on the way. 30 seconds unless set.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the resolver. It connects to nobody yet.
    ///
    /// # Errors
    /// * [`RoutingError::Nobody`]: neither routers nor gateways are named.
    /// * [`RoutingError::NotEncrypted`]: a gateway that is neither at an https address nor on this machine while that is
    ///   allowed.
    /// * [`RoutingError::Http`]: a machine that trusts no certificates.
    pub fn build(self) -> Result<IpnsResolver, RoutingError> {
        if self.routing.is_none() && self.gateways.is_empty() {
            return Err(RoutingError::Nobody);
        }
        let gateways = self.gateways.into_iter().map(|endpoint| {
            let client = client(endpoint, self.plain)?;
            Ok(RecordGateway {
                endpoint: Arc::new(client.endpoint().clone()),
                client,
            })
        });
        Ok(IpnsResolver {
            gateways: gateways.collect::<Result<_, RoutingError>>()?,
            routing: self.routing,
            kept: self.dir.map(|dir| Kept::in_dir(dir, MOST_KEPT)),
            deadline: self.deadline,
        })
    }
}
