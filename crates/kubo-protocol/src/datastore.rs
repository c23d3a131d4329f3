//! The file `datastore_spec` of a repository: which datastore holds what.
//!
//! A repository mounts datastores at prefixes of keys. The keys of blocks are `/blocks/<multihash>`, and the mount with
//! the longest prefix of a key has it.

use std::fmt;

use serde_json::Value;

/// The prefix of the keys of blocks.
const BLOCKS: &str = "/blocks";

/// The directory of files (flatfs) in which a repository keeps its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStore {
    /// An absolute path, or one below the repository.
    pub path: String,
    /// Whether this store alone has blocks, so that a block that is not in it is not in the repository.
    pub is_sole: bool,
}

/// Why blocks cannot be read as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBlockStore {
    /// They are kept in another way.
    Other {
        /// The name of the datastore, such as `pebbleds`, with the prefix that it is mounted at.
        found: String,
    },
    /// The specification cannot be understood.
    Malformed {
        /// Its defect.
        reason: String,
    },
}

impl fmt::Display for NoBlockStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { found } => write!(f, "blocks are kept in {found}, not in flatfs"),
            Self::Malformed { reason } => write!(f, "invalid datastore_spec: {reason}"),
        }
    }
}

impl std::error::Error for NoBlockStore {}

impl BlockStore {
    /// Finds the store of blocks in the text of a file `datastore_spec`.
    ///
    /// # Errors
    /// See [`NoBlockStore`].
    pub fn find(spec: &[u8]) -> Result<Self, NoBlockStore> {
        let spec: Value =
            serde_json::from_slice(spec).map_err(|error| malformed(error.to_string()))?;
        let spec = unwrapped(&spec);
        if kind(spec) != Some("mount") {
            return Err(other(spec, "/"));
        }
        let mounts = spec["mounts"].as_array();
        let mounts = mounts.ok_or_else(|| malformed("it has no list of mounts"))?;
        let at = |point: &str| {
            let mounts = mounts
                .iter()
                .filter(|mount| mountpoint(mount) == Some(point));
            mounts.map(unwrapped).collect::<Vec<_>>()
        };
        let here = at(BLOCKS);
        // flatfs takes keys of one segment, so one that is mounted above holds no blocks.
        let Some(store) = here.iter().find(|store| kind(store) == Some("flatfs")) else {
            return Err(match (here.first(), at("").first()) {
                (Some(store), _) => other(store, BLOCKS),
                (None, Some(store)) => other(store, "/"),
                (None, None) => malformed("nothing is mounted for blocks"),
            });
        };
        let path = store["path"].as_str();
        let path = path.ok_or_else(|| malformed("flatfs has no path"))?;
        let below = |mount| {
            let point = mountpoint(mount).and_then(|point| point.strip_prefix(BLOCKS));
            point.is_some_and(|below| below.starts_with('/'))
        };
        Ok(Self {
            path: path.to_owned(),
            is_sole: here.len() == 1 && !mounts.iter().any(below),
        })
    }
}

/// The datastore inside of those that only measure or log what passes through them.
fn unwrapped(mut store: &Value) -> &Value {
    while let Some("measure" | "log") = kind(store)
        && let Some(child) = store.get("child")
    {
        store = child;
    }
    store
}

fn kind(store: &Value) -> Option<&str> {
    store["type"].as_str()
}

/// The prefix of a mount, without a slash at its end.
fn mountpoint(mount: &Value) -> Option<&str> {
    let point = mount["mountpoint"].as_str();
    point.map(|point| point.trim_end_matches('/'))
}

fn other(store: &Value, point: &str) -> NoBlockStore {
    let name = kind(store).unwrap_or("a datastore without a type");
    let name: String = name.escape_debug().take(40).collect();
    NoBlockStore::Other {
        found: format!("{name} at {point}"),
    }
}

fn malformed(reason: impl Into<String>) -> NoBlockStore {
    NoBlockStore::Malformed {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLATFS: &str = r#"{"mountpoint":"/blocks","path":"blocks","shardFunc":"/repo/flatfs/shard/v1/next-to-last/2","type":"flatfs"}"#;
    const LEVELDS: &str = r#"{"mountpoint":"/","path":"datastore","type":"levelds"}"#;

    fn mounted(mounts: &[&str]) -> Result<BlockStore, NoBlockStore> {
        let spec = format!(r#"{{"mounts":[{}],"type":"mount"}}"#, mounts.join(","));
        BlockStore::find(spec.as_bytes())
    }

    fn flatfs(path: &str, is_sole: bool) -> Result<BlockStore, NoBlockStore> {
        let path = path.to_owned();
        Ok(BlockStore { path, is_sole })
    }

    #[test]
    fn flatfs_is_found_where_kubo_mounts_it() {
        // As Kubo writes it.
        assert_eq!(mounted(&[FLATFS, LEVELDS]), flatfs("blocks", true));
        assert_eq!(mounted(&[FLATFS]), flatfs("blocks", true));
        let elsewhere = r#"{"mountpoint":"/blocks/","path":"/mnt/disk","type":"flatfs"}"#;
        assert_eq!(mounted(&[LEVELDS, elsewhere]), flatfs("/mnt/disk", true));
        let measured = r#"{"mountpoint":"/blocks","type":"measure","child":{"type":"log","child":{"type":"flatfs","path":"b"}}}"#;
        assert_eq!(mounted(&[measured, LEVELDS]), flatfs("b", true));
    }

    #[test]
    fn a_second_mount_for_blocks_leaves_absences_open() {
        let second = r#"{"mountpoint":"/blocks","path":"x","type":"levelds"}"#;
        let below = r#"{"mountpoint":"/blocks/CIQA","path":"x","type":"levelds"}"#;
        let beside = r#"{"mountpoint":"/blocksandmore","path":"x","type":"levelds"}"#;
        assert_eq!(mounted(&[second, FLATFS]), flatfs("blocks", false));
        assert_eq!(mounted(&[FLATFS, FLATFS]), flatfs("blocks", false));
        assert_eq!(mounted(&[FLATFS, below]), flatfs("blocks", false));
        assert_eq!(mounted(&[FLATFS, beside]), flatfs("blocks", true));
    }

    #[test]
    fn others_are_refused_by_name() {
        let found = |spec: &str| match BlockStore::find(spec.as_bytes()) {
            Err(NoBlockStore::Other { found }) => found,
            got => panic!("{spec}: {got:?}"),
        };
        // As Kubo writes them.
        assert_eq!(
            found(r#"{"path":"pebbleds","type":"pebbleds"}"#),
            "pebbleds at /"
        );
        assert_eq!(
            found(r#"{"path":"badgerds","type":"badgerds"}"#),
            "badgerds at /"
        );
        let measured = r#"{"type":"measure","child":{"type":"badgerds"}}"#;
        assert_eq!(found(measured), "badgerds at /");
        let nested =
            r#"{"type":"mount","mounts":[{"mountpoint":"/blocks","type":"mount","mounts":[]}]}"#;
        assert_eq!(found(nested), "mount at /blocks");
        let above = r#"{"type":"mount","mounts":[{"mountpoint":"/","type":"flatfs","path":"b"}]}"#;
        assert_eq!(found(above), "flatfs at /");
        let levelds = r#"{"type":"mount","mounts":[{"mountpoint":"/blocks","type":"levelds"}]}"#;
        assert_eq!(found(levelds), "levelds at /blocks");
        let error = BlockStore::find(levelds.as_bytes()).expect_err("it is another");
        assert!(error.to_string().contains("levelds at /blocks"), "{error}");
        let name = found(&format!(r#"{{"type":"{}\u001b"}}"#, "x".repeat(30)));
        assert!(!name.contains('\u{1b}') && name.len() < 60, "{name}");
    }

    #[test]
    fn nonsense_is_malformed() {
        for spec in [
            "",
            "{",
            r#"{"type":"mount"}"#,
            r#"{"type":"mount","mounts":[]}"#,
            r#"{"type":"mount","mounts":[1,null,"x"]}"#,
            r#"{"type":"mount","mounts":[{"mountpoint":"/blocks","type":"flatfs"}]}"#,
        ] {
            let found = BlockStore::find(spec.as_bytes());
            let malformed = matches!(found, Err(NoBlockStore::Malformed { .. }));
            assert!(malformed, "{spec}: {found:?}");
            let error = found.expect_err("it is malformed").to_string();
            assert!(error.starts_with("invalid datastore_spec: "), "{error}");
        }
    }
}
