//! The records of `--json`: one object on each line, on standard output for results and on standard error for the rest.
//!
//! docs/json.md describes them for users; what is said there stays as it is. The field `type` says which record it is.
//! Text that need not be UTF-8 has a field for each case: see [`Text`].

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use pinset::{Kind, Metadata};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{columns, escape::is_active};

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record<'a> {
    /// `ls`: an entry of a directory, or the file that was named.
    Entry {
        #[serde(flatten)]
        name: Text<'a>,
        cid: String,
        #[serde(flatten)]
        about: About<'a>,
    },
    /// `stat`.
    Stat {
        path: &'a str,
        /// The path that a name stands for.
        #[serde(skip_serializing_if = "Option::is_none")]
        resolved: Option<String>,
        cid: Option<String>,
        #[serde(flatten)]
        about: About<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        blocks: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        block_bytes: Option<u64>,
    },
    /// `prefetch`: a path of which all is there.
    Fetched {
        path: &'a str,
        blocks: u64,
        bytes: u64,
    },
    /// `get`: a path of which the copy is complete.
    Copied {
        path: &'a str,
        #[serde(flatten)]
        destination: Text<'a>,
    },
    /// `import`: a root, with the path that became it; without one, it is the directory of `--wrap`.
    Imported {
        cid: String,
        #[serde(flatten)]
        path: Option<Text<'a>>,
    },
    /// `import --stats`.
    ImportedTotal {
        files: u64,
        directories: u64,
        symlinks: u64,
        bytes: u64,
        blocks: u64,
        block_bytes: u64,
    },
    /// `pins`: a pin on the node.
    Pin {
        standing: &'static str,
        depth: &'static str,
        holder: String,
        root: String,
    },
    /// `pins --reap`.
    Released { pins: u64, holders: u64 },
    /// `cache stats`.
    Kept {
        #[serde(flatten)]
        directory: Text<'a>,
        blocks: u64,
        bytes: u64,
        allocated_bytes: u64,
        classes: Vec<Class>,
        in_use: bool,
        process: Option<u32>,
    },
    /// `cache verify`.
    Verified {
        blocks: u64,
        bytes: u64,
        wrong: u64,
        removed: bool,
        evicted_meanwhile: u64,
    },
    /// `cache verify`: a block that is not what its hash says.
    WrongBlock { cid: String },
    /// `cache clear`.
    Cleared { blocks: u64, bytes: u64 },
    /// Something failed.
    Error {
        message: String,
        causes: Vec<String>,
    },
    /// `get`: an entry that is not copied, since no path can name it.
    LeftOut {
        directory: &'a str,
        #[serde(flatten)]
        name: Text<'a>,
        cid: String,
    },
    /// The command goes on, but the user should know.
    Warning { message: String },
    /// `--add`: the root of a path.
    Added {
        cid: String,
        #[serde(flatten)]
        path: Text<'a>,
    },
    /// `--car URL`: an archive without an index is read once.
    #[cfg(feature = "object-store")]
    Scan {
        archive: &'a str,
        bytes: u64,
        requests: u64,
    },
    /// `--ipns`: what a name stands for.
    Resolved { name: String, cid: String },
    /// `--stats`.
    Stats(Figures),
    /// A line of the log.
    Log { line: &'a str },
}

/// The facts about a node. One that is not recorded, or not known, is `null`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct About<'a> {
    kind: Option<&'static str>,
    /// The length in bytes; of a file or a symlink alone.
    size: Option<u64>,
    /// Four octal digits.
    mode: Option<String>,
    /// As in RFC 3339, in UTC.
    mtime: Option<String>,
    /// Of a symlink.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
}

/// The slots of one size in a staging directory.
#[derive(Debug, Serialize)]
pub(crate) struct Class {
    pub(crate) slot_bytes: u64,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// The figures of `--stats`.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) blocks_fetched: u64,
    pub(crate) bytes_fetched: u64,
    pub(crate) source_blocks: Option<u64>,
    pub(crate) source_bytes: Option<u64>,
    pub(crate) blocks_staged: u64,
    pub(crate) bytes_staged: u64,
    pub(crate) budget_bytes: u64,
    pub(crate) evictions: u64,
    pub(crate) unstaged_blocks: u64,
    pub(crate) bytes_served: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) read_ahead_blocks: u64,
    pub(crate) pins_held: u64,
    pub(crate) pins_dropped: u64,
    pub(crate) pin_failures: u64,
    pub(crate) pins_unreleased: u64,
    pub(crate) blocks_reverified: u64,
    pub(crate) blocks_rotten: u64,
    pub(crate) fetch_failures: u64,
    pub(crate) corrupt_blocks: u64,
}

impl<'a> About<'a> {
    /// Everything that the metadata tells, with the target of a symlink.
    pub(crate) fn of(metadata: &Metadata, target: Option<&'a str>) -> Self {
        Self {
            size: (metadata.kind != Kind::Dir).then_some(metadata.len),
            mode: metadata.mode.map(|mode| format!("{mode:04o}")),
            mtime: metadata.mtime.map(columns::time),
            target,
            ..Self::of_kind(Some(metadata.kind))
        }
    }

    /// The kind alone.
    pub(crate) fn of_kind(kind: Option<Kind>) -> Self {
        Self {
            kind: kind.map(columns::kind),
            ..Self::default()
        }
    }
}

/// Text that need not be UTF-8: `"FIELD": "…"` if it is, and else `"FIELD": null` and `"FIELD_hex"` with its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    field: Field,
    bytes: &'a [u8],
}

/// The names of a field for text, and of the one that stands in for it.
type Field = (&'static str, &'static str);

impl<'a> Text<'a> {
    /// The name of an entry.
    pub(crate) fn name(bytes: &'a [u8]) -> Self {
        let field = ("name", "name_hex");
        Self { field, bytes }
    }

    /// A path on this machine.
    pub(crate) fn path(path: &'a Path) -> Self {
        Self::of(("path", "path_hex"), path.as_os_str())
    }

    /// A directory of this machine.
    pub(crate) fn directory(path: &'a Path) -> Self {
        Self::of(("directory", "directory_hex"), path.as_os_str())
    }

    /// Where a copy is made.
    pub(crate) fn destination(path: &'a Path) -> Self {
        Self::of(("destination", "destination_hex"), path.as_os_str())
    }

    fn of(field: Field, text: &'a OsStr) -> Self {
        let bytes = text.as_bytes();
        Self { field, bytes }
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (field, hex) = self.field;
        let text = std::str::from_utf8(self.bytes).ok();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(field, &text)?;
        if text.is_none() {
            let digits: String = self
                .bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            map.serialize_entry(hex, &digits)?;
        }
        map.end()
    }
}

impl Record<'_> {
    /// The record as a line. Characters that a terminal would obey are escaped as JSON has it.
    pub(crate) fn line(&self) -> String {
        // Keys are strings and no value refuses to be serialized, so this does not fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(json.len() + 1);
        for c in json.chars() {
            match is_active(c) {
                // JSON has such characters in strings alone, and none of them is beyond the 16 bits of an escape.
                true => line.push_str(&format!("\\u{:04x}", u32::from(c))),
                false => line.push(c),
            }
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8]) -> String {
        let record = Record::Entry {
            name: Text::name(name),
            cid: "bafk".to_owned(),
            about: About::of_kind(Some(Kind::File)),
        };
        record.line()
    }

    #[test]
    fn names_are_text_or_bytes() {
        let rest = r#""cid":"bafk","kind":"file","size":null,"mode":null,"mtime":null}"#;
        assert_eq!(
            entry("é\u{1b}\u{9b}\n".as_bytes()),
            format!(r#"{{"type":"entry","name":"é\u001b\u009b\n",{rest}"#) + "\n"
        );
        assert_eq!(
            entry(b"a\xff"),
            format!(r#"{{"type":"entry","name":null,"name_hex":"61ff",{rest}"#) + "\n"
        );
    }
}
