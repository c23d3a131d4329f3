//! The node's JSON answers.
//!
//! Kubo leaves out empty fields and writes `null` for empty lists.

use cid::Cid;
use pinner_api::Resolved;
use serde::Deserialize;

/// A line of `pin/add` with `progress=true`: the progress twice a second, and the pin at the end.
///
/// The pin was made if and only if a line with [`pins`](Self::pins) came: a call that fails half-way also has status
/// 200.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct PinAddLine {
    /// The CIDs that are pinned now; `None` for a line of progress.
    pub pins: Option<Vec<String>>,
    /// Nodes fetched or found.
    #[serde(default)]
    pub progress: u64,
    /// Their size, in bytes.
    #[serde(default)]
    pub bytes: u64,
}

/// A line of `pin/ls` with `stream=true`.
///
/// The lines do not show whether all of them came: an error on the way is reported in the trailer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct PinLsLine {
    /// The pinned CID.
    pub cid: String,
}

/// The answer of `pin/add` without progress, `pin/rm` and `pin/update`: the pins that they changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Pinned {
    /// The CIDs.
    pub pins: Vec<String>,
}

/// The answer of `files/ls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Listing {
    /// The directory's entries; `None` if it is empty.
    pub entries: Option<Vec<ListingEntry>>,
}

/// One entry of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ListingEntry {
    /// Its name.
    pub name: String,
}

impl Listing {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .flatten()
            .map(|entry| entry.name.as_str())
    }
}

/// The answer of `name/resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resolution {
    /// `/ipfs/<CID>/a/path`.
    pub path: String,
}

/// A [`Resolution`] to a path that is not immutable. It holds the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongResolution(pub String);

impl std::fmt::Display for WrongResolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the name stands for {:?}, which is not of the form /ipfs/<CID>",
            self.0
        )
    }
}

impl std::error::Error for WrongResolution {}

impl TryFrom<Resolution> for Resolved {
    type Error = WrongResolution;

    /// Kubo does not tell how long the answer may be kept.
    fn try_from(resolution: Resolution) -> Result<Self, Self::Error> {
        let parsed = resolution.path.strip_prefix("/ipfs/").and_then(|rest| {
            let (root, path) = rest.split_once('/').unwrap_or((rest, ""));
            let root = Cid::try_from(root).ok()?;
            Some(Self::new(root, path.trim_matches('/')))
        });
        parsed.ok_or(WrongResolution(resolution.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_pin_are_read() {
        let line = |text: &str| serde_json::from_str::<PinAddLine>(text).expect("JSON");
        assert_eq!(line("{}"), PinAddLine::default());
        let progress = line(r#"{"Progress":12,"Bytes":3145728}"#);
        assert_eq!((progress.progress, progress.bytes), (12, 3_145_728));
        assert_eq!(progress.pins, None);
        assert_eq!(
            line(r#"{"Pins":["bafyqa"]}"#).pins,
            Some(vec!["bafyqa".into()])
        );
        assert_eq!(line(r#"{"Pins":null}"#).pins, None);
        assert!(serde_json::from_str::<PinAddLine>(r#"{"Progress":-1}"#).is_err());
        assert!(serde_json::from_str::<Pinned>("{}").is_err());
    }

    #[test]
    fn empty_listings_are_listings() {
        let names = |text: &str| {
            let listing: Listing = serde_json::from_str(text).expect("JSON");
            listing.names().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(names(r#"{"Entries":null}"#).is_empty());
        assert!(names("{}").is_empty());
        let two = r#"{"Entries":[{"Name":"a","Type":0,"Size":0,"Hash":""},{"Name":"b"}]}"#;
        assert_eq!(names(two), ["a", "b"]);
    }

    #[test]
    fn a_resolution_is_an_immutable_path() {
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        let resolved = |path: String| Resolved::try_from(Resolution { path });
        let plain = resolved(format!("/ipfs/{cid}")).expect("a path");
        assert_eq!(
            (plain.root.to_string(), plain.path),
            (cid.into(), String::new())
        );
        let below = resolved(format!("/ipfs/{cid}/a/b/")).expect("a path");
        assert_eq!(below.path, "a/b");
        for wrong in ["", "/ipfs/", "/ipns/x", "/ipfs/x/y", cid] {
            assert!(resolved(wrong.into()).is_err(), "{wrong}");
        }
    }
}
