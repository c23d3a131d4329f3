//! [`Client`]: the connections to one server, and how many calls may be in flight.
//!
//! The only place that builds the HTTP library's client, so that its defaults are all decided here.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio::sync::Semaphore;

use crate::{
    auth::Auth,
    endpoint::{Endpoint, is_localhost},
    error::{HttpError, Source},
    redirect::Redirects,
    retry::RetryPolicy,
};

/// The connections to one server, shared by all clones.
///
/// Servers of `https` are trusted as the system trusts them (on Linux the variables `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name other certificates), and by the certificates of [`ClientBuilder::trust`]. A proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …) is used, but never to
/// reach this machine itself.
///
/// A call takes a kept connection if one is idle, else it opens one; so there are never more connections than calls
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
    /// A client of the server at `endpoint`, to be set up further.
    pub fn builder(endpoint: Endpoint) -> ClientBuilder {
        ClientBuilder {
            endpoint,
            auth: Auth::None,
            connect_timeout: Duration::from_secs(5),
            in_flight: 16,
            retry: RetryPolicy::default(),
            redirects: Redirects::Never,
            user_agent: concat!("wasi-ipfs/", env!("CARGO_PKG_VERSION")).to_owned(),
            trusted: Vec::new(),
        }
    }

    /// Where it asks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same connections with a limit of calls in flight of its own, so that long calls and short ones do not
    /// take each other's turns. Zero is taken as one.
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
    user_agent: String,
    /// In DER.
    trusted: Vec<Vec<u8>>,
}

impl ClientBuilder {
    /// Who asks. Nobody in particular unless set.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// How long a connection may take to be made, TLS included. 5 seconds unless set; a call's deadline, if it
    /// comes first, ends it as well.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many calls may be in flight at once; the others wait for their turn. 16 unless set; zero is taken as one.
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls;
        self
    }

    /// When calls are made again. [`RetryPolicy::default`] unless set; a request can have its own.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Which redirects are followed. None unless set.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// What the client calls itself. `wasi-ipfs/` and the version unless set.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Trusts servers whose certificate is this one or was signed by it (X.509, in DER), beside those that the system
    /// trusts: a private server with an authority of its own. May be said several times.
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.trusted.push(certificate.into());
        self
    }

    /// The client. Connects nowhere yet.
    ///
    /// # Errors
    /// [`HttpError::Unusable`]: credentials that no header can hold; a certificate to trust that is none; no
    /// trusted certificates at all, where the endpoint is `https`.
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
        let redirects = match endpoint.socket() {
            // Another host would be asked through the same socket.
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
            .redirect(redirects.policy())
            .referer(false)
            // Its own retries would go on without knowing of ours.
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::new(SystemResolver))
            .user_agent(self.user_agent);
        if endpoint.is_local() {
            // A proxy of the environment's has another idea of what this machine is.
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

/// TLS by *ring*, whose build needs nothing but a C compiler, for servers that the system or the caller trusts.
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
        // Reading the system's certificates takes milliseconds, and a container may have none.
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

/// The system's resolver, but that every name below `localhost` is this machine (RFC 6761): not every system knows,
/// and a local gateway redirects to such names.
#[derive(Debug)]
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = match is_localhost(name.as_str()) {
                true => "localhost",
                false => name.as_str(),
            };
            // The port is put in by the connector.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
