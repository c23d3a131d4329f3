//! [`Client`]: the connections to one server, and the limit on calls in flight.
//!
//! The only place that builds the HTTP library's client, so all of its defaults are decided here.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio::sync::Semaphore;

use crate::{
    address::Addresses,
    auth::Auth,
    endpoint::Endpoint,
    error::{HttpError, Source},
    redirect::Redirects,
    resolver::SystemResolver,
    retry::RetryPolicy,
};

/// The connections to one server, shared by all clones.
///
/// Servers of `https` are trusted as the system trusts them (on Linux the variables `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name other certificates), and by the certificates of [`ClientBuilder::trust`]. A proxy that the
/// environment names (`HTTPS_PROXY`, `NO_PROXY`, …) is used, but never to reach this machine itself.
///
/// A call takes an idle connection if there is one, or else opens one. So there are never more connections than calls
/// in flight.
#[derive(Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) retry: RetryPolicy,
}

impl Client {
    /// Starts to set up a client of the server at `endpoint`.
    pub fn builder(endpoint: Endpoint) -> ClientBuilder {
        ClientBuilder {
            endpoint,
            auth: Auth::None,
            connect_timeout: Duration::from_secs(5),
            in_flight: 16,
            retry: RetryPolicy::default(),
            redirects: Redirects::Never,
            addresses: Addresses::Any,
            user_agent: concat!("wasi-ipfs/", env!("CARGO_PKG_VERSION")).to_owned(),
            trusted: Vec::new(),
        }
    }

    /// The server that the client calls.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same connections, with a limit of its own on calls in flight, so that long and short calls do not take
    /// each other's turns. Zero counts as one.
    pub fn lane(&self, in_flight: usize) -> Self {
        Self {
            turns: turns(in_flight),
            ..self.clone()
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint)
            .field("authorization", &self.authorization)
            .field("free_turns", &self.turns.available_permits())
            .field("retry", &self.retry)
            .finish()
    }
}

fn turns(in_flight: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS)))
}

/// Sets up a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoint: Endpoint,
    auth: Auth,
    connect_timeout: Duration,
    in_flight: usize,
    retry: RetryPolicy,
    redirects: Redirects,
    addresses: Addresses,
    user_agent: String,
    /// Certificates in DER.
    trusted: Vec<Vec<u8>>,
}

impl ClientBuilder {
    /// Sets the credentials. The default is none.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets how long making a connection may take, TLS included. The default is 5 seconds. A call's deadline, if it
    /// comes first, ends it too.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many calls may be in flight at once; the others wait for their turn. The default is 16. Zero counts
    /// as one.
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls;
        self
    }

    /// Sets when calls are retried. The default is [`RetryPolicy::default`]; a request can have a policy of its own.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets which redirects are followed. The default is none.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Sets which addresses the client connects to. The default is [`Addresses::Any`]. With a rule, no proxy is used.
    pub fn addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// Sets the client's user agent. The default is `wasi-ipfs/` and the version.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Trusts servers whose certificate is this one or was signed by it (X.509, in DER), in addition to those that
    /// the system trusts. This is for a private server with a certificate authority of its own. May be called several
    /// times.
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.trusted.push(certificate.into());
        self
    }

    /// Builds the client. It connects nowhere yet.
    ///
    /// # Errors
    /// [`HttpError::Unusable`]: credentials that no header can hold; a certificate to trust that is not a
    /// certificate; no trusted certificates at all, where the endpoint is `https`; an endpoint at an address that is not
    /// allowed, or a Unix socket where not every address is.
    pub fn build(self) -> Result<Client, HttpError> {
        let endpoint = Arc::new(self.endpoint);
        let unusable = |reason: &str, source: Option<Source>| HttpError::Unusable {
            endpoint: endpoint.clone(),
            reason: reason.to_owned(),
            source,
        };
        let authorization = self
            .auth
            .header()
            .map_err(|reason| unusable(reason, None))?;
        let refused = match (endpoint.address(), endpoint.socket()) {
            (Some(address), _) => !self.addresses.allow(address),
            (None, Some(_)) => !self.addresses.is_any(),
            (None, None) => false,
        };
        if refused {
            return Err(unusable("its address may not be asked", None));
        }
        let redirects = match endpoint.socket() {
            // A redirect would send calls for another host through the same socket.
            Some(_) => Redirects::Never,
            None => self.redirects,
        };
        let tls = tls(&endpoint, redirects, self.trusted).map_err(|source| {
            unusable(
                "TLS cannot be set up; are root certificates installed?",
                Some(source),
            )
        })?;
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(90))
            .tcp_nodelay(true)
            .redirect(redirects.policy(self.addresses))
            .referer(false)
            // The library would retry without knowing of our own retries.
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::new(SystemResolver::of(&endpoint, self.addresses)))
            .user_agent(self.user_agent);
        if endpoint.is_local() || !self.addresses.is_any() {
            // A proxy from the environment would see another machine under local addresses, and resolves all names by
            // itself, unchecked.
            http = http.no_proxy();
        }
        if let Some(path) = endpoint.socket() {
            http = http.unix_socket(path);
        }
        let http = http
            .build()
            .map_err(|error| unusable("the HTTP client cannot be set up", Some(error.into())))?;
        Ok(Client {
            http,
            authorization,
            turns: turns(self.in_flight),
            retry: self.retry,
            endpoint,
        })
    }
}

/// TLS by *ring*, which needs only a C compiler to build, for servers that the system or the caller trusts.
fn tls(
    endpoint: &Endpoint,
    redirects: Redirects,
    trusted: Vec<Vec<u8>>,
) -> Result<rustls::ClientConfig, Source> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = || {
        rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
    };
    let trusting_nobody = || -> Result<_, Source> {
        let nobody = rustls::RootCertStore::empty();
        Ok(config()?
            .with_root_certificates(nobody)
            .with_no_client_auth())
    };
    let encrypted = endpoint.is_https();
    if !encrypted && redirects == Redirects::Never {
        // Skip reading the system's certificates: it takes milliseconds, and a container may have none.
        return trusting_nobody();
    }
    let asked_for = !trusted.is_empty();
    let trusted = trusted.into_iter().map(CertificateDer::from);
    match Verifier::new_with_extra_roots(trusted, provider.clone()) {
        Ok(verifier) => Ok(config()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth()),
        Err(error) if encrypted || asked_for => Err(error.into()),
        Err(error) => {
            tracing::debug!(%endpoint, %error, "no trusted certificates: no redirect to https will work");
            trusting_nobody()
        }
    }
}
