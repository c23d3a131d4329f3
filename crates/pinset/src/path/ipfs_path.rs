//! Paths: `/ipfs/<CID>/name/…` from a host, and relative paths from a guest.
//!
//! They are pure text. No part of a path ever becomes a host file name (I4).

use std::{fmt, str::FromStr, sync::Arc};

use cid::Cid;
use pinner_api::Origin;

use crate::{block::cid_of, error::Error, path::root_cid::RootCid};

/// An immutable path: a root, and the segments below it. Cheap to clone.
///
/// ```
/// use pinset::IpfsPath;
///
/// let path: IpfsPath = "/ipfs/bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354".parse()?;
/// let page = path.join("docs")?.join("index.html")?;
/// assert_eq!(page.rest(), "docs/index.html");
/// # Ok::<(), pinset::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpfsPath {
    root: RootCid,
    /// Without a leading slash; empty for the root itself.
    rest: Arc<str>,
}

impl IpfsPath {
    /// Returns the path of the root itself.
    pub fn root(root: impl Into<RootCid>) -> Self {
        Self::below(root, "")
    }

    /// Returns the path of `rest`, a relative path, below a root.
    pub(crate) fn below(root: impl Into<RootCid>, rest: &str) -> Self {
        Self {
            root: root.into(),
            rest: rest.into(),
        }
    }

    /// Returns the path of `relative` below this one. `relative` is a name, or several with slashes between them.
    ///
    /// `.` and `..` are kept as they are. The walk gives them the same meaning as in a native path.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] if `relative` starts with a slash.
    pub fn join(&self, relative: &str) -> Result<Self, Error> {
        let rest = join(&self.rest, relative)?;
        Ok(Self {
            root: self.root,
            rest: rest.into(),
        })
    }

    /// The CID that the path starts with.
    pub fn root_cid(&self) -> &RootCid {
        &self.root
    }

    /// The part behind the root, without a leading slash; empty for the root itself.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Returns the origin of the blocks below this path. A backend is told the first 64 bytes of an identity CID that is longer;
    /// it cannot have a block for it.
    pub(crate) fn origin(&self) -> Origin {
        let root = &self.root;
        let cid = root.cid().unwrap_or_else(|| cid_of(&root.target()));
        Origin::new(cid, self.rest.clone())
    }

    /// Returns the path relative to `/ipfs`: `<CID>/rest`.
    pub(crate) fn below_ipfs(&self) -> String {
        if self.rest.is_empty() {
            self.root.to_string()
        } else {
            format!("{}/{}", self.root, self.rest)
        }
    }
}

/// Joins a relative path to another one.
pub(super) fn join(above: &str, relative: &str) -> Result<String, Error> {
    match (above, relative) {
        (_, relative) if relative.starts_with('/') => Err(Error::InvalidPath {
            path: shown(relative),
            reason: "it starts with a slash, but must be relative".to_owned(),
        }),
        (above, "") => Ok(above.to_owned()),
        ("", relative) => Ok(relative.to_owned()),
        (above, relative) if above.ends_with('/') => Ok(format!("{above}{relative}")),
        (above, relative) => Ok(format!("{above}/{relative}")),
    }
}

impl From<Cid> for IpfsPath {
    fn from(root: Cid) -> Self {
        Self::root(root)
    }
}

impl From<RootCid> for IpfsPath {
    fn from(root: RootCid) -> Self {
        Self::root(root)
    }
}

/// Here, since [`Error`] names a [`RootCid`], which therefore must not know it.
impl FromStr for RootCid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).map_err(|reason| Error::InvalidPath {
            path: shown(text),
            reason,
        })
    }
}

impl fmt::Display for IpfsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/ipfs/{}", self.below_ipfs())
    }
}

impl FromStr for IpfsPath {
    type Err = Error;

    /// Reads `/ipfs/<CID>[/rest]`, `ipfs://<CID>[/rest]` and `<CID>[/rest]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let below = ["/ipfs/", "ipfs://"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(text);
        let (root, rest) = below.split_once('/').unwrap_or((below, ""));
        let root = RootCid::parse(root).map_err(|reason| Error::InvalidPath {
            path: shown(text),
            reason,
        })?;
        Ok(Self::below(root, rest))
    }
}

/// Prepares a text for an error message: at most 200 characters, and control characters escaped, since the text may be
/// from content and the message is for a terminal or a log.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    let mut length = 0;
    for c in text.chars() {
        let escaped = c.is_control().then(|| c.escape_default());
        length += escaped.as_ref().map_or(1, ExactSizeIterator::len);
        if length > LONGEST {
            shown.push('…');
            break;
        }
        match escaped {
            Some(escaped) => shown.extend(escaped),
            None => shown.push(c),
        }
    }
    shown
}

/// The bounds of a walk, which it cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// The directory that it starts in.
    Base,
    /// The root that its path begins with. Its base is `/ipfs`, a directory of roots, and an IPFS path ends at its own.
    Root,
}

/// How a walk treats a symlink as its last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// The walk goes on to the symlink's target.
    Follow,
    /// The walk ends at the symlink itself.
    NoFollow,
}

/// One step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// `..`
    Up,
    /// A name.
    Name(&'a str),
}

/// Returns the steps of a relative path, without `.` and empty segments.
pub(crate) fn segments(path: &str) -> impl DoubleEndedIterator<Item = Segment<'_>> {
    path.split('/').filter_map(|segment| match segment {
        "" | "." => None,
        ".." => Some(Segment::Up),
        name => Some(Segment::Name(name)),
    })
}

/// Returns whether the path can only name a directory because it ends in `/` or `/.`.
pub(crate) fn wants_directory(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

    #[test]
    fn all_spellings_are_one_path() {
        for text in [
            format!("/ipfs/{CID}/a/b"),
            format!("ipfs://{CID}/a/b"),
            format!("{CID}/a/b"),
        ] {
            let path: IpfsPath = text.parse().unwrap();
            assert_eq!(path.to_string(), format!("/ipfs/{CID}/a/b"));
        }
        assert_eq!(
            CID.parse::<IpfsPath>().unwrap().to_string(),
            format!("/ipfs/{CID}")
        );
    }

    #[test]
    fn what_is_no_path_is_named() {
        let long = "a".repeat(300);
        for text in [
            "",
            "/",
            "/ipfs",
            "/ipfs/",
            "/ipfs/nonsense/x",
            "/ipns/x",
            "é",
            &long,
        ] {
            let error = text.parse::<IpfsPath>().unwrap_err();
            assert!(matches!(error, Error::InvalidPath { .. }), "{text}");
        }
    }

    #[test]
    fn joined_paths_are_relative() {
        let root: IpfsPath = CID.parse().unwrap();
        let joined = root.join("a").unwrap().join("b/c").unwrap();
        assert_eq!(joined.to_string(), format!("/ipfs/{CID}/a/b/c"));
        assert_eq!(root.join("").unwrap(), root);
        let slashed: IpfsPath = format!("{CID}/a/").parse().unwrap();
        assert_eq!(slashed.join("b").unwrap().rest(), "a/b");
        let error = root.join("/a").unwrap_err();
        assert!(matches!(error, Error::InvalidPath { .. }), "{error}");
    }

    #[test]
    fn segments_leave_out_what_means_nothing() {
        let all: Vec<_> = segments("./a//b/../c/.").collect();
        use Segment::{Name, Up};
        assert_eq!(all, [Name("a"), Name("b"), Up, Name("c")]);
        assert_eq!(segments("").count(), 0);
        assert!(wants_directory("a/") && wants_directory("a/.") && !wants_directory("a"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(300);
        assert_eq!(shown(&text).chars().count(), 201);
        assert_eq!(shown(&text[..400]).chars().count(), 200);
    }

    #[test]
    fn a_message_holds_no_control_characters() {
        assert_eq!(shown("é\u{1b}[31m\n"), "é\\u{1b}[31m\\n");
        assert_eq!(shown(&"\u{1b}".repeat(100)).chars().count(), 199);
    }
}
