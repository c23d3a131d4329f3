//! Mutable names, `/ipns/<name>`: checked in form, resolved by the backend once, and held fixed from then on.
//!
//! **The trust boundary.** Which CID a name stands for is the backend's word, and nothing here can verify it: a node
//! that lies, or a DNS server that does, leads to other content. From the CID on, everything is verified as ever
//! (I1), and the CID is there to be looked at: [`FixedName::target`](crate::FixedName::target), and the text of the
//! link `/ipns/<name>`.
//!
//! Invariant: a name is asked for when [`CacheMode::fix`](crate::CacheMode::fix) is called, and at no other time.
//! What a session looks up below `/ipns` is answered from what was fixed before it began: nothing that a guest does
//! asks a backend for a name, or changes what one stands for (I10).

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    error::Error,
    path::ipfs_path::{IpfsPath, join, shown},
};

/// A name as it stands behind `/ipns/`: a key's name in any of its spellings (`k51…`, `bafz…`, `12D3Koo…`), or a domain
/// with a DNSLink record (`example.org`; an international one in its `xn--` form).
///
/// Two spellings of one key are two names here: only a backend can tell that they are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpnsName(Arc<str>);

impl IpnsName {
    /// The longest name, in bytes: a domain has at most 253, and a file's name on most hosts at most 255.
    pub const MAX_LEN: usize = 255;

    /// Without `/ipns/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IpnsName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| {
            Err(Error::InvalidName {
                name: shown(text),
                reason,
            })
        };
        if text.is_empty() {
            return wrong("it is empty");
        }
        if text.len() > Self::MAX_LEN {
            return wrong("it is longer than 255 bytes");
        }
        if let Some(other) = text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'))
        {
            return wrong(match other {
                '/' => "a name is one segment, without slashes",
                c if c.is_ascii() => "letters, digits, '-', '_' and dots are allowed",
                _ => "it is not ASCII; write an international domain in its xn-- form",
            });
        }
        if text.split('.').any(str::is_empty) {
            return wrong("a label between its dots is empty");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for IpnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path that starts with a name: `/ipns/<name>/a/b`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpnsPath {
    name: IpnsName,
    /// Without a leading slash; empty for the name itself.
    rest: Arc<str>,
}

impl IpnsPath {
    /// The path of the name itself.
    pub fn new(name: IpnsName) -> Self {
        let rest = Arc::default();
        Self { name, rest }
    }

    /// The path of `relative` below this one: a name, or several with slashes between them.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] where `relative` starts with a slash.
    pub fn join(&self, relative: &str) -> Result<Self, Error> {
        let rest = join(&self.rest, relative)?;
        Ok(Self {
            name: self.name.clone(),
            rest: rest.into(),
        })
    }

    /// The name.
    pub fn name(&self) -> &IpnsName {
        &self.name
    }

    /// What follows the name, without a leading slash; empty for the name itself.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// What follows `/ipns/` or `ipns://` in `text`, if that is what it starts with.
    fn prefixed(text: &str) -> Option<&str> {
        ["/ipns/", "ipns://"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
    }
}

impl From<IpnsName> for IpnsPath {
    fn from(name: IpnsName) -> Self {
        Self::new(name)
    }
}

impl FromStr for IpnsPath {
    type Err = Error;

    /// Reads `/ipns/<name>[/rest]` and `ipns://<name>[/rest]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let below = Self::prefixed(text).ok_or_else(|| Error::InvalidName {
            name: shown(text),
            reason: "/ipns/<name> is wanted",
        })?;
        let (name, rest) = below.split_once('/').unwrap_or((below, ""));
        Ok(Self {
            name: name.parse()?,
            rest: rest.into(),
        })
    }
}

impl fmt::Display for IpnsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/ipns/{}", self.name)?;
        match &*self.rest {
            "" => Ok(()),
            rest => write!(f, "/{rest}"),
        }
    }
}

/// A path to content: immutable, or starting with a name that the backend is to resolve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentPath {
    /// `/ipfs/<CID>/a/b`
    Ipfs(IpfsPath),
    /// `/ipns/<name>/a/b`
    Ipns(IpnsPath),
}

impl From<IpfsPath> for ContentPath {
    fn from(path: IpfsPath) -> Self {
        Self::Ipfs(path)
    }
}

impl From<IpnsPath> for ContentPath {
    fn from(path: IpnsPath) -> Self {
        Self::Ipns(path)
    }
}

impl FromStr for ContentPath {
    type Err = Error;

    /// Reads what [`IpnsPath`] and [`IpfsPath`] read.
    fn from_str(text: &str) -> Result<Self, Error> {
        match IpnsPath::prefixed(text) {
            Some(_) => text.parse().map(Self::Ipns),
            None => text.parse().map(Self::Ipfs),
        }
    }
}

impl fmt::Display for ContentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipfs(path) => path.fmt(f),
            Self::Ipns(path) => path.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";

    #[test]
    fn keys_and_domains_are_names() {
        for name in [
            KEY,
            "12D3KooWPz6WmqzqVqQXcHzSnH3ubBdYiGpKNmPNQTA4yhqiMiXc",
            "example.org",
            "xn--mgbh0fb.example",
            "_dnslink.example.org",
            "a",
        ] {
            assert_eq!(name.parse::<IpnsName>().unwrap().as_str(), name);
            for text in [format!("/ipns/{name}/a/b"), format!("ipns://{name}/a/b")] {
                let path: IpnsPath = text.parse().unwrap();
                assert_eq!(path.to_string(), format!("/ipns/{name}/a/b"));
            }
        }
        let bare: IpnsPath = "/ipns/example.org".parse().unwrap();
        assert_eq!(bare.to_string(), "/ipns/example.org");
    }

    #[test]
    fn what_is_no_name_is_named() {
        let long = "a".repeat(256);
        for text in [
            "", ".", "..", "a/b", "/ipns/a", "a b", "a\0b", "a\nb", ".org", "org.", "a..b",
            "é.org", "a?b", "a#b", "a%2fb", &long,
        ] {
            let error = text.parse::<IpnsName>().unwrap_err();
            assert!(matches!(error, Error::InvalidName { .. }), "{text:?}");
        }
        for text in ["/ipns/", "/ipns", "ipns://", "/ipfs/a", "example.org"] {
            assert!(text.parse::<IpnsPath>().is_err(), "{text:?}");
        }
    }
}
