//! [`KuboBuilder`]: the settings, and the first calls to a node.

use std::{path::PathBuf, time::Duration};

use kubo_protocol::Version;
use pinner_api::{Capabilities, Cause, SourceId};
use pinner_http::{Auth, Client, ClientBuilder, Endpoint, HttpError, RetryPolicy};
use serde::Deserialize;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    cluster::Front,
    discover::Repo,
    error::KuboError,
    gateway::{Gateway, Ownership},
    pinner::KuboPinner,
    repository::Beside,
    rpc::{CallError, call},
    turns::Turns,
};

/// The oldest supported node. From this version on, the calls that we make, and the wording of refusals, are the same
/// as in 0.43, with which this crate is tested.
const OLDEST: Version = Version::new(0, 20, 0);

/// How long a node may take to report its version.
const GREETING: Duration = Duration::from_secs(10);

/// The limit of calls in flight other than those for blocks and for pins that may take hours.
const CONTROL_CALLS: usize = 8;

/// The limit of recursive pins under way. Further pins wait without a deadline: those before them may take hours.
const LONG_CALLS: usize = 4;

/// The longest deadline, so that adding one to the current time cannot overflow.
const LONGEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where blocks come from, besides the RPC. A gateway is only ever asked for blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayChoice {
    /// The gateway that the repository's daemon names, if it proves to belong to the connected node by serving a
    /// block that only that node has. Otherwise the RPC alone.
    #[default]
    Auto,
    /// The gateway at this address. The caller vouches that it is the node's. The RPC is asked for blocks that the
    /// gateway does not return.
    At(Endpoint),
    /// No gateway: the RPC alone.
    Off,
}

/// Sets up a [`KuboPinner`].
#[derive(Clone, Debug)]
pub struct KuboBuilder {
    address: Option<Endpoint>,
    repo: Option<PathBuf>,
    read_files: Option<PathBuf>,
    gateway: GatewayChoice,
    auth: Auth,
    connect_timeout: Duration,
    block_deadline: Duration,
    pin_stall_deadline: Duration,
    in_flight: usize,
    retries: u32,
    /// Certificates in DER.
    trusted: Vec<Vec<u8>>,
}

/// The part of the answer of `version` that is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Greeting {
    version: String,
}

impl KuboPinner {
    /// Returns a builder with the default settings.
    pub fn builder() -> KuboBuilder {
        KuboBuilder {
            address: None,
            repo: None,
            read_files: None,
            gateway: GatewayChoice::default(),
            auth: Auth::None,
            connect_timeout: Duration::from_secs(5),
            block_deadline: Duration::from_secs(30),
            pin_stall_deadline: Duration::from_secs(120),
            in_flight: 64,
            retries: 2,
            trusted: Vec::new(),
        }
    }
}

impl KuboBuilder {
    /// The address of the node's RPC. Unless set, it is found as `ipfs` itself finds it: in the file `api` of the
    /// repository at `$IPFS_PATH`, or else `~/.ipfs`.
    pub fn address(mut self, endpoint: Endpoint) -> Self {
        self.address = Some(endpoint);
        self
    }

    /// The repository with the files `api` and `gateway`, instead of `$IPFS_PATH`.
    pub fn repo(mut self, path: impl Into<PathBuf>) -> Self {
        self.repo = Some(path.into());
        self
    }

    /// Reads blocks from the files of the repository at this path, where this process can, and asks the node for the
    /// others. Off unless set.
    ///
    /// **The node's denylists are not consulted** for blocks that are read in this way: they bind the node, not its
    /// files. The repository should be the node's own, but nothing relies on it. To read a repository without a node,
    /// use [`RepositoryPinner`](crate::RepositoryPinner).
    pub fn read_files(mut self, repository: impl Into<PathBuf>) -> Self {
        self.read_files = Some(repository.into());
        self
    }

    /// The gateway from which blocks come. [`GatewayChoice::Auto`] unless set.
    pub fn gateway(mut self, choice: GatewayChoice) -> Self {
        self.gateway = choice;
        self
    }

    /// The credentials for the RPC. None unless set. They are never sent to a gateway.
    ///
    /// If the node's `API.Authorizations` allows only some calls: blocks need `version`, `id` and `block`; pins also
    /// need `pin` and `files`; names need `name`; and IPFS Cluster's proxy also needs `refs`.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// How long connecting may take. 5 seconds unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a block may take, from the call to its last byte, everything included, unless its request says less.
    /// The same holds for every other call that is not a pin, such as resolving a name. 30 seconds unless set.
    pub fn block_deadline(mut self, deadline: Duration) -> Self {
        self.block_deadline = deadline;
        self
    }

    /// How long a recursive pin may go without the node finding another block, and how long a change of the node's
    /// pins may wait for a garbage collection in progress. Two minutes unless set.
    pub fn pin_stall_deadline(mut self, deadline: Duration) -> Self {
        self.pin_stall_deadline = deadline;
        self
    }

    /// How many blocks are requested at once; the others wait for their turn. 64 unless set; zero means one.
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls;
        self
    }

    /// How many times a call is retried within its deadline if it failed for a reason that may pass: no connection, an
    /// answer cut short, or status 429, 502, 503 or 504. Twice unless set.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Trusts a node, and its gateway, whose certificate is this one or was signed by it (X.509, in DER), in addition to
    /// what the system trusts. May be called several times.
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.trusted.push(certificate.into());
        self
    }

    /// Asks the node for its version, and looks for its gateway.
    ///
    /// # Errors
    /// Every [`KuboError`]. A gateway that does not work is not an error.
    ///
    /// # Cancellation
    /// Nothing is left behind, except possibly the block by which the gateway is recognised.
    pub async fn connect(self) -> Result<KuboPinner, KuboError> {
        let repo = match &self.repo {
            Some(path) => Some(Repo::at(path.clone())),
            None => Repo::found(|name| std::env::var_os(name)),
        };
        let endpoint = match (&self.address, &repo) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(repo)) => repo.rpc()?,
            (None, None) => return Err(KuboError::NoRepository),
        };
        let block_deadline = self.block_deadline.min(LONGEST_DEADLINE);
        let retry = RetryPolicy::default().with_attempts(self.retries.saturating_add(1));
        let client = |endpoint| {
            let client = Client::builder(endpoint).connect_timeout(self.connect_timeout);
            self.trusted
                .iter()
                .cloned()
                .fold(client, ClientBuilder::trust)
        };
        let control = client(endpoint)
            .auth(self.auth)
            .in_flight(CONTROL_CALLS)
            .retry(retry)
            .build()
            .map_err(settings)?;
        let version = greet(&control, GREETING.min(block_deadline)).await?;

        let front = Front::of(&control, GREETING.min(block_deadline)).await;

        let capabilities = Capabilities::blocks_only()
            .with_recursive_pins()
            .with_collection()
            .with_names();
        let in_flight = self.in_flight.max(1);
        let repository = match &self.read_files {
            Some(path) => Some(Beside::open(path, in_flight).await?),
            None => None,
        };
        let mut node = KuboPinner {
            source: SourceId::new(control.endpoint().to_string()),
            blocks: control.lane(in_flight),
            long: control.lane(LONG_CALLS),
            control,
            gateway: None,
            repository,
            in_flight,
            version,
            front,
            capabilities: match front {
                Front::Node if version.has_lazy_pins() => capabilities.with_lazy_pins(),
                Front::Node | Front::ClusterProxy => capabilities,
            },
            block_deadline,
            pin_stall_deadline: self.pin_stall_deadline.min(LONGEST_DEADLINE),
            turns: Turns::default(),
            places: Semaphore::new(LONG_CALLS),
            mfs: tokio::sync::Mutex::new(()),
        };
        let gateway = |endpoint, ownership| {
            let client = client(endpoint)
                .in_flight(in_flight)
                // The RPC is the second attempt.
                .retry(RetryPolicy::NEVER)
                .build()
                .map_err(settings)?;
            Ok::<_, KuboError>(Gateway::new(client, ownership))
        };
        node.gateway = match self.gateway {
            GatewayChoice::Off => None,
            GatewayChoice::At(endpoint) => Some(gateway(endpoint, Ownership::Given)?),
            GatewayChoice::Auto => match repo.map(|repo| repo.gateway()) {
                Some(Ok(Some(endpoint))) => {
                    let gateway = gateway(endpoint, Ownership::Proven)?;
                    let deadline = Instant::now() + block_deadline;
                    gateway
                        .proves(&node.control, deadline)
                        .await
                        .then_some(gateway)
                }
                Some(Ok(None)) | None => None,
                Some(Err(error)) => {
                    tracing::debug!(%error, "the repository's gateway is not used");
                    None
                }
            },
        };
        Ok(node)
    }
}

/// Asks for the version.
async fn greet(client: &Client, within: Duration) -> Result<Version, KuboError> {
    let endpoint = || Box::new(client.endpoint().clone());
    let answer = call(client, "version", "")
        .json::<Greeting>(64 * 1024, Instant::now() + within)
        .await
        .map_err(|error| no_greeting(endpoint(), within, error))?;
    let not_a_node = |reason| KuboError::NotANode {
        endpoint: endpoint(),
        reason,
    };
    let text = answer
        .map_err(|error| not_a_node(error.to_string()))?
        .version;
    let version: Version = text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        not_a_node(format!("it says that its version is {shown:?}"))
    })?;
    match version >= OLDEST {
        true => Ok(version),
        false => Err(KuboError::TooOld {
            endpoint: endpoint(),
            version,
            minimum: OLDEST,
        }),
    }
}

fn no_greeting(endpoint: Box<Endpoint>, within: Duration, error: CallError) -> KuboError {
    match error.http {
        HttpError::Unusable { .. } => settings(error.http),
        HttpError::TimedOut { .. } => KuboError::NoAnswer {
            endpoint,
            after: within,
        },
        HttpError::Unreachable { .. } | HttpError::StreamError { .. } => KuboError::Unreachable {
            endpoint,
            source: Cause::new(error.http),
        },
        HttpError::Status(status) => match status.status.as_u16() {
            401 | 403 | 407 => KuboError::Refused {
                endpoint,
                reason: status.to_string(),
            },
            // A server between us and the node says that the node cannot be reached now.
            429 | 500.. => KuboError::Unreachable {
                endpoint,
                source: Cause::new(HttpError::Status(status)),
            },
            _ => KuboError::NotANode {
                endpoint,
                reason: format!("it answers {status}"),
            },
        },
        HttpError::Redirected { .. }
        | HttpError::CutShort { .. }
        | HttpError::TooLarge { .. }
        | HttpError::Malformed { .. } => KuboError::NotANode {
            endpoint,
            reason: error.http.to_string(),
        },
        other => KuboError::Unreachable {
            endpoint,
            source: Cause::new(other),
        },
    }
}

fn settings(error: HttpError) -> KuboError {
    KuboError::Settings {
        endpoint: Box::new(error.endpoint().clone()),
        reason: error.to_string(),
    }
}
