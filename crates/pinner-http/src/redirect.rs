//! Which redirects are followed.
//!
//! A server that is not trusted must not choose which servers this machine calls: a redirect may lead into the
//! private network. So only redirects within the server's own site are followed.

use reqwest::{Url, redirect::Policy};

use crate::{address::Addresses, endpoint::written_address};

/// The client's reaction to a redirect. Credentials are never sent to another host, port or scheme, and
/// no redirect leads from `https` to `http`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redirects {
    /// Follows no redirect: [`HttpError::Redirected`](crate::HttpError::Redirected).
    #[default]
    Never,
    /// Follows redirects to the same host and to hosts below it (`bafy….ipfs.example.org` of `example.org`), at most
    /// five times: to the same port, or to `https`, where a certificate shows who answers. A host below does not lead
    /// into a private network unless the server itself is in one. Never on a Unix socket.
    WithinSite,
}

/// The largest number of redirects that are followed in a row.
const LONGEST_CHAIN: usize = 5;

impl Redirects {
    /// The policy of a client that connects to `addresses` alone. Names are checked when they are resolved.
    pub(crate) fn policy(self, addresses: Addresses) -> Policy {
        match self {
            Self::Never => Policy::none(),
            Self::WithinSite => Policy::custom(move |attempt| {
                let previous = attempt.previous();
                // The first URL of the chain is the one that was asked for.
                let written = written_address(attempt.url());
                let follows = written.is_none_or(|address| addresses.allow(address))
                    && previous.len() <= LONGEST_CHAIN
                    && previous
                        .first()
                        .zip(previous.last())
                        .is_some_and(|(first, last)| allowed(first, last, attempt.url()));
                match follows {
                    true => attempt.follow(),
                    false => attempt.stop(),
                }
            }),
        }
    }
}

/// Whether `next` may follow `last`, in a chain that began at `first`.
fn allowed(first: &Url, last: &Url, next: &Url) -> bool {
    let encrypted = match (last.scheme(), next.scheme()) {
        (_, "https") => true,
        ("http", "http") => true,
        _ => return false,
    };
    let (Some(site), Some(host)) = (first.host_str(), next.host_str()) else {
        return false;
    };
    let below = first.domain().is_some()
        && host
            .strip_suffix(site)
            .is_some_and(|rest| rest.ends_with('.'));
    // Another port is another server, which only its certificate can show to be the same site.
    let same_port = first.port_or_known_default() == next.port_or_known_default();
    encrypted && (host == site || below) && (same_port || next.scheme() == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_site_itself_is_followed_and_never_back_to_plain() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (first, last, next, wanted) in [
            ("http://a.org/x", "http://a.org/x", "http://a.org/y", true),
            ("http://a.org/x", "http://a.org/x", "https://a.org/x", true),
            (
                "http://a.org/x",
                "http://a.org/x",
                "http://c.ipfs.a.org/",
                true,
            ),
            (
                "https://a.org/x",
                "https://a.org/x",
                "http://a.org/x",
                false,
            ),
            ("http://a.org/x", "https://a.org/x", "http://a.org/x", false),
            ("http://a.org/x", "http://a.org/x", "http://b.org/x", false),
            (
                "http://a.org/x",
                "http://a.org/x",
                "http://nota.org/x",
                false,
            ),
            (
                "http://a.org/x",
                "http://a.org/x",
                "http://a.org.b.org/x",
                false,
            ),
            (
                "http://a.org/x",
                "http://a.org/x",
                "http://10.0.0.1/x",
                false,
            ),
            (
                "http://1.2.3.4/x",
                "http://1.2.3.4/x",
                "http://1.2.3.4/y",
                true,
            ),
            (
                "http://a.org/x",
                "http://a.org/x",
                "file:///etc/passwd",
                false,
            ),
            (
                "http://127.0.0.1:8080/x",
                "http://127.0.0.1:8080/x",
                "http://127.0.0.1:5001/api/v0/shutdown",
                false,
            ),
            (
                "http://localhost:8080/x",
                "http://localhost:8080/x",
                "http://c.ipfs.localhost:8080/",
                true,
            ),
            (
                "http://a.org/x",
                "http://a.org/x",
                "http://a.org:22/",
                false,
            ),
            (
                "http://a.org:8080/x",
                "http://a.org:8080/x",
                "https://a.org/x",
                true,
            ),
        ] {
            let got = allowed(&url(first), &url(last), &url(next));
            assert_eq!(got, wanted, "{first} .. {last} -> {next}");
        }
    }
}
