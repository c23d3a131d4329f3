//! [`Target`]: the path that a record points to.

use cid::Cid;

use super::KeyName;

/// The path that a record points to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// `/ipfs/<CID>/path`: content.
    Content {
        /// The CID.
        root: Cid,
        /// The path below it, without a leading slash; empty for the CID itself.
        path: String,
    },
    /// `/ipns/<key>/path`: another record.
    Key {
        /// The name of the other record.
        name: KeyName,
        /// The path below it, without a leading slash; empty for the name itself.
        path: String,
    },
    /// `/ipns/<domain>/path`: a DNSLink record, which is not signed.
    Domain {
        /// The domain.
        name: String,
        /// The path below it, without a leading slash; empty for the name itself.
        path: String,
    },
}

impl Target {
    /// Reads a path. `None` if it is not one of the three.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (kind, rest) = value.strip_prefix('/')?.split_once('/')?;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/').to_owned();
        match kind {
            "ipfs" => {
                let root = name.parse().ok()?;
                Some(Self::Content { root, path })
            }
            "ipns" => match name.parse() {
                Ok(name) => Some(Self::Key { name, path }),
                Err(_) if is_domain(name) => Some(Self::Domain {
                    name: name.to_owned(),
                    path,
                }),
                Err(_) => None,
            },
            _ => None,
        }
    }
}

/// Whether the text can be a domain with a DNSLink record.
pub(crate) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkqaddwgevxmmraojswg33smq";
    const KEY: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";

    #[test]
    fn the_three_kinds_are_told_apart() {
        let content = |path: &str| Target::Content {
            root: CID.parse().expect("a CID"),
            path: path.to_owned(),
        };
        for (value, wanted) in [
            (format!("/ipfs/{CID}"), content("")),
            (format!("/ipfs/{CID}/"), content("")),
            (format!("/ipfs/{CID}/a/b"), content("a/b")),
            (
                format!("/ipns/{KEY}/a"),
                Target::Key {
                    name: KEY.parse().expect("a key"),
                    path: "a".into(),
                },
            ),
            (
                "/ipns/docs.example.org".into(),
                Target::Domain {
                    name: "docs.example.org".into(),
                    path: String::new(),
                },
            ),
        ] {
            assert_eq!(Target::parse(value.as_bytes()), Some(wanted), "{value}");
        }
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for value in [
            "",
            "/",
            "/ipfs",
            "/ipfs/",
            "/ipfs/nonsense",
            "/ipns/",
            "/ipns/nonsense",
            "/ipns/a..b",
            "/ipns/a b.org",
            "/ipld/bafkqaddwgevxmmraojswg33smq",
            "https://example.org",
            CID,
        ] {
            assert_eq!(Target::parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(Target::parse(b"/ipfs/\xff"), None);
    }
}
