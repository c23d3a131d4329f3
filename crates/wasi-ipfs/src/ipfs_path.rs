//! Paths as users write them on the command line, normalised to `/ipfs/<CID>/a/b` or `/ipns/<name>/a/b`.
//!
//! Only the first segment is checked here, so that a typing error is a usage error before anything is opened. `pinset`
//! checks the rest. A name becomes an immutable path once, by [`ContentPath::resolve`].

use std::borrow::Cow;

use anyhow::Context;
use pinset::{CacheMode, IpfsPath, RootCid};

/// A path to content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentPath {
    path: pinset::ContentPath,
    /// The whole path, starting with `/ipfs/` or `/ipns/`.
    text: String,
}

/// The text is not a path to content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid IPFS path '{text}': {reason}; expected /ipfs/<CID>/name, <CID>/name or /ipns/<name>/name"
)]
pub(crate) struct ParsePathError {
    text: String,
    reason: String,
}

impl ContentPath {
    /// The path as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed path.
    pub(crate) fn path(&self) -> &pinset::ContentPath {
        &self.path
    }

    /// The CID that it starts with; `None` if it starts with a name.
    pub(crate) fn root(&self) -> Option<RootCid> {
        match &self.path {
            pinset::ContentPath::Ipfs(path) => Some(*path.root_cid()),
            pinset::ContentPath::Ipns(_) => None,
        }
    }

    /// Whether it starts with a name.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.path, pinset::ContentPath::Ipns(_))
    }

    /// The last segment, which is the default name of a copy. It is the CID or the name if nothing follows.
    pub(crate) fn last_name(&self) -> &str {
        self.text
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(&self.text)
    }

    /// Returns the immutable path. A name is resolved at this moment: by a signed record, or by a node's word.
    ///
    /// # Errors
    /// If the source resolves no names, or not this one.
    pub(crate) async fn resolve(&self, cache: &CacheMode) -> anyhow::Result<IpfsPath> {
        let resolved = cache.resolve(&self.path).await;
        let resolved = resolved.with_context(|| format!("cannot resolve '{}'", self.text))?;
        if let pinset::ContentPath::Ipns(named) = &self.path {
            tracing::info!(name = %named.name(), path = %resolved, "resolved");
        }
        Ok(resolved)
    }
}

impl std::fmt::Display for ContentPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for ContentPath {
    type Err = ParsePathError;

    /// Accepts `/ipfs/<CID>/a`, `ipfs/<CID>/a`, `<CID>/a`, and the URLs `ipfs://<CID>/a` and `ipfs:<CID>/a`; all but the
    /// third with `ipns` too. A scheme may be in capitals, and `ipfs://ipfs/<CID>` is common in metadata.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: String| ParsePathError {
            text: text.to_owned(),
            reason,
        };
        let (space, rest) = spelled(text);
        if space == Space::Ipns {
            let path: pinset::ContentPath = format!("/ipns/{rest}")
                .parse()
                .map_err(|error: pinset::Error| wrong(error.to_string()))?;
            return Ok(Self {
                text: path.to_string(),
                path,
            });
        }
        let first = rest.split('/').next().unwrap_or_default();
        if first.is_empty() {
            let address = ["/ip4/", "/ip6/", "/dns", "/unix/"];
            return Err(wrong(match address.iter().any(|it| text.starts_with(it)) {
                true => "it is the address of a node; use --kubo=ADDR for that".into(),
                false => "it has no CID".into(),
            }));
        }
        let text = format!("/ipfs/{rest}");
        let path: IpfsPath = text.parse().map_err(|error| match error {
            pinset::Error::InvalidPath { reason, .. } => wrong(reason),
            other => wrong(other.to_string()),
        })?;
        Ok(Self {
            path: path.into(),
            text,
        })
    }
}

/// The kind of a path's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// A CID.
    Ipfs,
    /// A name.
    Ipns,
}

/// Returns what the text begins with, and the rest behind that.
fn spelled(text: &str) -> (Space, Cow<'_, str>) {
    if let Some((scheme, rest)) = text.split_once(':') {
        let space = match scheme.to_ascii_lowercase().as_str() {
            "ipfs" => Some(Space::Ipfs),
            "ipns" => Some(Space::Ipns),
            _ => None,
        };
        if let Some(space) = space {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (space, rest) = in_space(rest).unwrap_or((space, rest));
            return (space, decoded(rest));
        }
    }
    let (space, rest) = in_space(text).unwrap_or((Space::Ipfs, text));
    (space, rest.into())
}

/// Returns the part of a path behind `/ipfs/` or `/ipns/`, with or without the first slash.
fn in_space(path: &str) -> Option<(Space, &str)> {
    let (first, rest) = path.strip_prefix('/').unwrap_or(path).split_once('/')?;
    match first {
        "ipfs" => Some((Space::Ipfs, rest)),
        "ipns" => Some((Space::Ipns, rest)),
        _ => None,
    }
}

/// Decodes `%20` and the like in the path of a URL. A slash or a NUL cannot be part of a name, so their escapes stay as
/// they are, as do bytes that are not UTF-8.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let hex = |at: usize| {
        let digits = path.get(at..at + 2)?;
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
    };
    let mut bytes = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.as_bytes().get(at) {
        match (byte, hex(at + 1)) {
            (b'%', Some(meant)) if !matches!(meant, b'/' | 0) => {
                bytes.push(meant);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).map_or(path.into(), Cow::from)
}

/// Returns every CID that follows `/ipfs/` or `ipfs://` anywhere in `argument`.
///
/// A path in a guest's arguments is meant to be read by the guest. A bare CID is not granted, since it may be there to
/// compare with, not to read.
pub(crate) fn roots_in(argument: &str) -> impl Iterator<Item = RootCid> {
    ["/ipfs/", "ipfs://"].into_iter().flat_map(move |prefix| {
        argument.match_indices(prefix).filter_map(move |(at, _)| {
            let rest = &argument[at + prefix.len()..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    const V1: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

    #[test]
    fn all_spellings_are_one_path() {
        for text in [
            format!("/ipfs/{V1}/a/b"),
            format!("ipfs/{V1}/a/b"),
            format!("ipfs://{V1}/a/b"),
            format!("{V1}/a/b"),
            format!("ipfs:{V1}/a/b"),
            format!("IPFS://{V1}/a/b"),
            format!("ipfs://ipfs/{V1}/a/b"),
            format!("ipfs:///ipfs/{V1}/a/b"),
            format!("ipfs://{V1}/%61/b"),
        ] {
            let path: ContentPath = text.parse().expect(&text);
            assert_eq!(path.as_str(), format!("/ipfs/{V1}/a/b"));
            assert_eq!(path.root().expect("a CID").to_string(), V1);
            assert_eq!(path.last_name(), "b");
        }
        for text in [
            "/ipns/a.example/b",
            "ipns/a.example/b",
            "ipns://a.example/b",
            "ipns:a.example/b",
            "ipfs://ipns/a.example/b",
        ] {
            let path: ContentPath = text.parse().expect(text);
            assert_eq!(path.as_str(), "/ipns/a.example/b");
            assert_eq!((path.root(), path.last_name()), (None, "b"));
        }
        let root: ContentPath = V0.parse().expect("a CIDv0");
        assert_eq!(root.last_name(), V0);
        let slashed: ContentPath = format!("/ipfs/{V0}/").parse().expect("a slash behind it");
        assert_eq!(slashed.last_name(), V0);
    }

    #[test]
    fn what_has_no_cid_is_named() {
        for text in [
            "",
            "/",
            "/ipfs",
            "/ipfs/",
            "/ipfs//a",
            "nonsense/a",
            "../a",
            "/ipns/",
            "/ipns//a",
            "/ipns/a b",
            "ipns://é.example/",
        ] {
            let error = text.parse::<ContentPath>().expect_err(text);
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
        }
        let address = "/ip4/127.0.0.1/tcp/5001".parse::<ContentPath>();
        let error = address.expect_err("an address").to_string();
        assert!(error.contains("--kubo=ADDR"), "{error}");
    }

    #[test]
    fn escapes_are_those_of_urls_alone() {
        for (text, rest) in [
            ("ipfs://{}/My%20File.png", "My File.png"),
            ("ipfs://{}/%C3%A9", "é"),
            ("ipfs://{}/100%", "100%"),
            ("ipfs://{}/%4", "%4"),
            ("ipfs://{}/%é", "%é"),
            ("ipfs://{}/%zz%2F%00", "%zz%2F%00"),
            ("ipfs://{}/%ff", "%ff"),
            ("/ipfs/{}/My%20File.png", "My%20File.png"),
            ("{}/a:b%20", "a:b%20"),
        ] {
            let path: ContentPath = text.replace("{}", V1).parse().expect(text);
            assert_eq!(path.as_str(), format!("/ipfs/{V1}/{rest}"), "{text}");
        }
    }

    #[test]
    fn roots_are_found_inside_arguments() {
        let found = |text: &str| {
            roots_in(text)
                .map(|cid| cid.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&format!("/ipfs/{V1}/x")), [V1]);
        assert_eq!(found(&format!("file:/ipfs/{V0}?immutable=1")), [V0]);
        assert_eq!(found(&format!("/ipfs/{V0}:/ipfs/{V1}")), [V0, V1]);
        assert_eq!(found(&format!("--in=ipfs://{V1}/é")), [V1]);
        assert!(found(V1).is_empty());
        assert!(found("/ipfs/é/ipfs//ipfs/nonsense").is_empty());
    }
}
