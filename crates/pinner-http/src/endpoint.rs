//! [`Endpoint`]: the address of a server.
//!
//! Owns the three ways to write an address. Knows no credentials: a URL that holds some is refused, because
//! displaying the endpoint would display them.

mod multiaddr;

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use reqwest::Url;

/// The address of a server: a host and a port, over TCP or TLS, or a Unix socket; and the path that all request paths
/// start with.
///
/// Parsed from
/// * a multiaddr: `/ip4/127.0.0.1/tcp/5001`, `/ip6/::1/tcp/5001`, `/dns/example.org/tcp/443/https` (`dns4` and `dns6`
///   are read as `dns`), followed by `/http`, `/https` or `/tls/http`, or by nothing, which means HTTP;
///   `/unix/run/x.sock` is the socket `/run/x.sock`;
/// * a URL: `https://example.org/some/prefix`;
/// * `host:port`, which means HTTP.
///
/// An endpoint is displayed as a URL, or as a multiaddr if it is a Unix socket. Either form parses to an equal
/// endpoint.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Its path ends in `/`. It has no query, fragment or credentials. For a Unix socket it is `http://localhost/`.
    base: Url,
    socket: Option<PathBuf>,
}

impl Endpoint {
    /// The server that listens on the Unix socket at `path`.
    ///
    /// # Errors
    /// If the path is not absolute: its meaning would depend on the working directory.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, ParseEndpointError> {
        let path = path.into();
        let wrong = |why| ParseEndpointError::new(&path.display().to_string(), why);
        if !path.is_absolute() {
            return Err(wrong("the path of a Unix socket has to be absolute"));
        }
        let base = Url::parse("http://localhost/").map_err(|_| wrong("it is not a URL"))?;
        Ok(Self {
            base,
            socket: Some(path),
        })
    }

    /// The path of the Unix socket, if it is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// The host as in a URL (an IPv6 address in brackets); `None` for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match self.socket {
            Some(_) => None,
            None => self.base.host_str(),
        }
    }

    /// The port; `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self.socket {
            Some(_) => None,
            None => self.base.port_or_known_default(),
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether the address is on this machine: a Unix socket, a loopback address, or `localhost`.
    pub fn is_local(&self) -> bool {
        self.socket.is_some()
            || match (written_address(&self.base), self.base.domain()) {
                (Some(address), _) => address.is_loopback(),
                (None, Some(name)) => is_localhost(name),
                (None, None) => false,
            }
    }

    /// The address, if the host is written as one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.socket {
            Some(_) => None,
            None => written_address(&self.base),
        }
    }

    /// The URL of `path` (segments joined by `/`) below this endpoint. The content of segments is escaped, except `.`
    /// and `..`, which a URL cannot hold and which are left out.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        // Fails only for URLs that cannot be a base, such as `data:`. This URL has a host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    /// Parses a URL whose scheme is `http` or `https`.
    fn from_url(text: &str) -> Result<Self, ParseEndpointError> {
        let wrong = |why| ParseEndpointError::new(text, why);
        let mut base = Url::parse(text).map_err(|_| wrong("it is not a valid URL"))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong(
                "credentials do not belong in an address, which is shown; give them separately",
            ));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("a query or a fragment does not belong in an address"));
        }
        if base.host().is_none() {
            return Err(wrong("it names no host"));
        }
        if base.port() == Some(0) {
            return Err(wrong("nobody listens on port 0"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Self { base, socket: None })
    }
}

/// The address in a URL whose host is written as one. Such a host is not resolved.
pub(crate) fn written_address(url: &Url) -> Option<IpAddr> {
    match url.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        Some(url::Host::Domain(_)) | None => None,
    }
}

/// Whether the name is `localhost` or below it. RFC 6761 says that these names are this machine.
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = |why| ParseEndpointError::new(text, why);
        if text.starts_with('/') {
            return match multiaddr::parse(text).map_err(wrong)? {
                multiaddr::Place::Tcp { url } => Self::from_url(&url).map_err(|e| wrong(e.why)),
                multiaddr::Place::Unix { path } => Self::unix(path),
            };
        }
        match text.split_once("://") {
            Some(("http" | "https", _)) => Self::from_url(text),
            Some(_) => Err(wrong("the scheme is neither http nor https")),
            None => {
                let port = text.rsplit_once(':').map(|(_, port)| port);
                if port.is_none_or(|port| port.parse::<u16>().is_err()) {
                    return Err(wrong("it names no port"));
                }
                if text.contains(['/', '@', '?', '#']) {
                    return Err(wrong("it is more than a host and a port"));
                }
                Self::from_url(&format!("http://{text}")).map_err(|e| wrong(e.why))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "/unix{}", path.display()),
            None => {
                let url = self.base.as_str();
                f.write_str(url.strip_suffix('/').unwrap_or(url))
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// The error for a text that is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid server address '{text}': {why}; expected a multiaddr (/ip4/127.0.0.1/tcp/5001, \
     /dns/example.org/tcp/443/https, /unix/run/ipfs.sock), an http or https URL, or host:port"
)]
pub struct ParseEndpointError {
    text: String,
    why: &'static str,
}

impl ParseEndpointError {
    fn new(text: &str, why: &'static str) -> Self {
        // The part before an @ may be a password.
        let text = match text.rsplit_once('@') {
            Some((_, rest)) => format!("…@{rest}"),
            None => text.to_owned(),
        };
        Self { text, why }
    }
}

#[cfg(test)]
mod tests;
