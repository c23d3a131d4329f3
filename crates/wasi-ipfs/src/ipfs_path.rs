//! Paths and CIDs as a person writes them on the command line, brought into the form `/ipfs/<CID>/a/b`.
//!
//! Only the CID is looked at here, so that a typing error is a usage error before anything is opened; what is
//! below it is for `pinset` to check.

use cid::Cid;

/// `/ipfs/<CID>/a/b`, with a CID that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IpfsPath {
    /// The CID it starts with.
    pub(crate) root: Cid,
    /// The whole, with `/ipfs/` before the CID as it was written.
    text: String,
}

/// A text that is no path below `/ipfs`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no IPFS path: {reason}; write /ipfs/<CID>/name or <CID>/name")]
pub(crate) struct ParsePathError {
    text: String,
    reason: String,
}

impl IpfsPath {
    /// The path itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The last name: what a copy of it is called. The CID where nothing is below it.
    pub(crate) fn last_name(&self) -> &str {
        self.text
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(&self.text)
    }
}

impl std::fmt::Display for IpfsPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for IpfsPath {
    type Err = ParsePathError;

    /// `/ipfs/<CID>/a`, `ipfs/<CID>/a`, `ipfs://<CID>/a` or `<CID>/a`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: String| ParsePathError {
            text: text.to_owned(),
            reason,
        };
        let rest = ["/ipfs/", "ipfs://", "ipfs/"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(text);
        if text.starts_with("/ipns/") || text.starts_with("ipns://") {
            return Err(wrong(
                "names (/ipns) need a source that resolves them, and no source given here does"
                    .into(),
            ));
        }
        let first = rest.split('/').next().unwrap_or_default();
        if first.is_empty() {
            return Err(wrong("it has no CID".into()));
        }
        let root = Cid::try_from(first)
            .map_err(|error| wrong(format!("'{first}' is no CID ({error})")))?;
        Ok(Self {
            root,
            text: format!("/ipfs/{rest}"),
        })
    }
}

/// Every CID that stands behind `/ipfs/` or `ipfs://` anywhere in `argument`.
///
/// What a user writes into a guest's arguments is what the guest is meant to read; a bare CID is not taken, since
/// a guest may be given one to compare with, not to read.
pub(crate) fn roots_in(argument: &str) -> impl Iterator<Item = Cid> {
    ["/ipfs/", "ipfs://"].into_iter().flat_map(move |prefix| {
        argument.match_indices(prefix).filter_map(move |(at, _)| {
            let rest = &argument[at + prefix.len()..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(rest.len());
            Cid::try_from(&rest[..end]).ok()
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
        ] {
            let path: IpfsPath = text.parse().expect(&text);
            assert_eq!(path.as_str(), format!("/ipfs/{V1}/a/b"));
            assert_eq!(path.root.to_string(), V1);
            assert_eq!(path.last_name(), "b");
        }
        let root: IpfsPath = V0.parse().expect("a CIDv0");
        assert_eq!(root.last_name(), V0);
        let slashed: IpfsPath = format!("/ipfs/{V0}/").parse().expect("a slash behind it");
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
            "/ipns/example.org",
        ] {
            let error = text.parse::<IpfsPath>().expect_err(text);
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
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
