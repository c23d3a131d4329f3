//! Paths: `/ipfs/<CID>/name/…` as a host gives them, and what a guest asks for below a directory.
//!
//! Pure text. Nothing from a path ever becomes a host file name (I4).

use std::{fmt, str::FromStr};

use cid::Cid;

use crate::error::Error;

/// An immutable path: a root, and the segments below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpfsPath {
    /// The CID that the path starts with.
    pub root: Cid,
    /// What follows it, without a leading slash; empty for the root itself.
    pub rest: String,
}

impl IpfsPath {
    /// The root itself.
    pub fn root(root: Cid) -> Self {
        Self {
            root,
            rest: String::new(),
        }
    }

    /// As a path below `/ipfs`: `<CID>/rest`.
    pub(crate) fn below_ipfs(&self) -> String {
        if self.rest.is_empty() {
            self.root.to_string()
        } else {
            format!("{}/{}", self.root, self.rest)
        }
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
        let root = parse_root(root).map_err(|reason| Error::InvalidPath {
            path: shown(text),
            reason,
        })?;
        Ok(Self {
            root,
            rest: rest.to_owned(),
        })
    }
}

/// A CID as a path's first segment.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse_root(segment: &str) -> Result<Cid, String> {
    // The longest CIDs in use (64-byte digests) have some 110 characters in base 32; the parser's work grows with
    // the square of the length in base 58.
    const LONGEST: usize = 256;
    if segment.is_empty() {
        return Err("it names no CID".to_owned());
    }
    if segment.len() > LONGEST {
        return Err(format!("a CID of {} characters", segment.len()));
    }
    Cid::try_from(segment).map_err(|e| format!("'{segment}' is no CID ({e})"))
}

/// A text as an error message shows it: not over 200 characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a walk does with a symlink as its last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Goes where it points.
    Follow,
    /// Stops at the symlink itself.
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

/// The steps of a relative path, `.` and empty segments left out.
pub(crate) fn segments(path: &str) -> impl DoubleEndedIterator<Item = Segment<'_>> {
    path.split('/').filter_map(|segment| match segment {
        "" | "." => None,
        ".." => Some(Segment::Up),
        name => Some(Segment::Name(name)),
    })
}

/// Whether the path can only name a directory: it ends in `/` or `/.`.
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
    }
}
