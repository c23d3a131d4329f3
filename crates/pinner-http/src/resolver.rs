//! [`SystemResolver`]: the system's resolver, with three rules of ours.
//!
//! Every name below `localhost` is this machine (RFC 6761). Not every system knows that, and a local gateway redirects
//! to such names. A client with a rule for addresses ([`Addresses`]) connects to those that it allows alone. And a server on the internet cannot lead the client into a private network by a redirect to a name
//! below its own, which its owner can point anywhere.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    address::{Addresses, Refused, is_private},
    endpoint::{Endpoint, is_localhost},
};

/// Resolves names for the client of one server.
#[derive(Debug)]
pub(crate) struct SystemResolver {
    /// The server's own name, if it has one.
    own: Option<String>,
    /// Whether that name has led into a private network, so that the names below it may too.
    own_is_private: Arc<AtomicBool>,
    addresses: Addresses,
}

impl SystemResolver {
    pub(crate) fn of(endpoint: &Endpoint, addresses: Addresses) -> Self {
        Self {
            own: endpoint.host().map(str::to_owned),
            own_is_private: Arc::default(),
            addresses,
        }
    }

    /// Whether the name is below the server's own. Other names are the server itself and proxies.
    fn is_below_own(&self, name: &str) -> bool {
        let own = self.own.as_deref();
        own.and_then(|own| name.strip_suffix(own))
            .is_some_and(|rest| rest.ends_with('.'))
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_below = self.is_below_own(name.as_str());
        let is_own = self.own.as_deref() == Some(name.as_str());
        let own_is_private = self.own_is_private.clone();
        let addresses = self.addresses;
        Box::pin(async move {
            let host = match is_localhost(name.as_str()) {
                true => "localhost",
                false => name.as_str(),
            };
            // The connector sets the port.
            let found = tokio::net::lookup_host((host, 0)).await?.collect();
            let mut found = allowed_of(found, addresses)?;
            if is_own && found.iter().any(|address| is_private(address.ip())) {
                own_is_private.store(true, Ordering::Relaxed);
            }
            if is_below && !own_is_private.load(Ordering::Relaxed) {
                found = public_of(found)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The addresses among these that are allowed.
fn allowed_of(
    mut found: Vec<SocketAddr>,
    addresses: Addresses,
) -> Result<Vec<SocketAddr>, Refused> {
    let first = found.first().map(SocketAddr::ip);
    found.retain(|address| addresses.allow(address.ip()));
    match (found.is_empty(), first) {
        (true, Some(first)) => Err(Refused(first)),
        (_, _) => Ok(found),
    }
}

/// The addresses of the public internet among these.
fn public_of(mut found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    found.retain(|address| !is_private(address.ip()));
    match found.is_empty() {
        true => Err(io::Error::other(
            "the redirect leads into a private network, where the server itself is not",
        )),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let of = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 0);
        texts.iter().map(of).collect()
    }

    #[test]
    fn a_name_below_a_public_servers_own_leads_to_the_internet_alone() {
        let both = addresses(&["10.0.0.1", "8.8.8.8", "::1"]);
        assert_eq!(public_of(both).unwrap(), addresses(&["8.8.8.8"]));
        let error = public_of(addresses(&["127.0.0.1", "169.254.169.254"])).unwrap_err();
        assert!(error.to_string().contains("private network"), "{error}");
    }

    #[test]
    fn only_allowed_addresses_are_left() {
        let both = addresses(&["10.0.0.1", "8.8.8.8", "::ffff:1.1.1.1"]);
        let left = allowed_of(both.clone(), Addresses::Internet);
        assert_eq!(left, Ok(addresses(&["8.8.8.8"])));
        assert_eq!(allowed_of(both.clone(), Addresses::Any), Ok(both));
        let refused = allowed_of(addresses(&["127.0.0.1", "::1"]), Addresses::Internet);
        assert_eq!(refused, Err(Refused("127.0.0.1".parse().unwrap())));
        assert_eq!(allowed_of(Vec::new(), Addresses::Internet), Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_name_is_resolved_to_allowed_addresses_at_each_connection() {
        let endpoint = "https://localhost".parse().unwrap();
        let strict = SystemResolver::of(&endpoint, Addresses::Internet);
        for name in ["localhost", "below.localhost"] {
            let error = strict.resolve(name.parse().unwrap()).await.err().unwrap();
            assert!(error.is::<Refused>(), "{error:?}");
        }
        let loopback = Addresses::InternetAnd(|address| address.is_loopback());
        let allowing = SystemResolver::of(&endpoint, loopback);
        assert!(allowing.resolve("localhost".parse().unwrap()).await.is_ok());
    }

    #[test]
    fn names_below_the_servers_own_are_told_from_others() {
        let resolver = SystemResolver::of(&"https://example.org".parse().unwrap(), Addresses::Any);
        assert!(resolver.is_below_own("bafy.ipfs.example.org"));
        for other in ["example.org", "proxy.internal", "notexample.org"] {
            assert!(!resolver.is_below_own(other), "{other}");
        }
    }

    #[tokio::test]
    async fn what_is_below_localhost_is_this_machine() {
        let resolver =
            SystemResolver::of(&"http://localhost:8080".parse().unwrap(), Addresses::Any);
        let resolve = async |name: &str| {
            let found = resolver.resolve(name.parse().unwrap()).await;
            found.map(|found| found.collect::<Vec<_>>())
        };
        // The server itself is always resolved before a redirect of its own.
        let refused = resolve("bafy.ipfs.localhost").await;
        assert!(refused.is_err(), "{refused:?}");
        assert!(!resolve("localhost").await.unwrap().is_empty());
        let found = resolve("bafy.ipfs.localhost").await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
