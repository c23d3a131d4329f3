//! The blocks of a directory: one plain block, or a HAMT of shards once that block would be too large.
//!
//! Holds the links of one directory, each of 64 bytes and its name. Knows nothing of the file system.

use bytes::Bytes;
use cid::Cid;

use super::{
    data::{block, data, link_size_in_block, size_in_block},
    profile::SizeEstimate,
    writer::{Writer, Written},
};
use crate::{
    attributes::Attributes,
    message::{PbData, PbLink, Type},
    murmur3::{HASH_TYPE, hash64},
    segment::segment,
};

/// A directory of more bytes than this is sharded; one of exactly this many is plain.
const SHARDING_BYTES: usize = 262_144;

/// A shard has 2^8 slots, and each level takes 8 bits of the hash.
const FANOUT: usize = 256;
const LEVELS: u32 = 64 / 8;

/// One entry of a directory to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    name: Box<str>,
    node: Written,
}

impl Entry {
    /// Creates an entry with this name, which [`Writer::directory`] checks.
    pub fn new(name: impl Into<Box<str>>, node: Written) -> Self {
        Self {
            name: name.into(),
            node,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The DAG that it links to.
    pub fn node(&self) -> Written {
        self.node
    }
}

/// Why a directory could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError<E> {
    /// A name that cannot be a path segment: empty, `.`, `..`, or with a slash or a NUL in it.
    #[error("{name:?} cannot be the name of an entry")]
    InvalidName {
        /// The name.
        name: Box<str>,
    },
    /// Two entries have the same name.
    #[error("two entries are called {name:?}")]
    DuplicateName {
        /// The name.
        name: Box<str>,
    },
    /// Two names have the same 64-bit hash, and the directory is too large to be plain.
    #[error(
        "the names {first:?} and {second:?} have the same hash, so no sharded directory can hold both"
    )]
    Collision {
        /// One name.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// The sink failed.
    #[error("the directory's blocks could not be stored")]
    Sink(#[source] E),
}

impl<E> From<E> for DirectoryError<E> {
    fn from(error: E) -> Self {
        Self::Sink(error)
    }
}

impl<S, E> Writer<S>
where
    S: FnMut(Cid, Bytes) -> Result<(), E>,
{
    /// Writes the directory of these entries, which may come in any order: one block, or a HAMT of shards if that block
    /// would be over 256 KiB, counted as the [`Profile`](crate::Profile) counts.
    ///
    /// # Errors
    /// [`DirectoryError`]: the entries cannot form a directory, or the sink fails.
    pub fn directory(
        &mut self,
        mut entries: Vec<Entry>,
        attributes: Attributes,
    ) -> Result<Written, DirectoryError<E>> {
        put_in_order(&mut entries)?;
        let data = data(Type::Directory, attributes);
        if estimated_size(&entries, &data, self.layout().size_estimate()) <= SHARDING_BYTES {
            let children = entries.iter().map(|entry| entry.node.tsize()).sum();
            let links: Vec<PbLink> = entries
                .into_iter()
                .map(|entry| entry.node.link(entry.name.into_string()))
                .collect();
            return Ok(self.put_dag_pb(block(&data, &links), children)?);
        }
        let mut hashed: Vec<(u64, Entry)> = entries
            .into_iter()
            .map(|entry| (hash64(entry.name.as_bytes()), entry))
            .collect();
        hashed.sort_unstable_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        self.shard(&hashed, 0, attributes)
    }

    /// Writes one shard of the entries, which are sorted by hash and share the first `level` bytes of it.
    fn shard(
        &mut self,
        entries: &[(u64, Entry)],
        level: u32,
        attributes: Attributes,
    ) -> Result<Written, DirectoryError<E>> {
        let mut links: Vec<PbLink> = Vec::new();
        let mut children = 0u64;
        let mut bitfield = [0u8; FANOUT / 8];
        for slot_entries in entries.chunk_by(|a, b| slot(a.0, level) == slot(b.0, level)) {
            let slot = slot(slot_entries[0].0, level);
            bitfield[FANOUT / 8 - 1 - slot / 8] |= 1 << (slot % 8);
            let (node, name) = match slot_entries {
                [(_, entry)] => (entry.node, format!("{slot:02X}{}", entry.name)),
                [(_, first), (_, second), ..] if level + 1 == LEVELS => {
                    return Err(DirectoryError::Collision {
                        first: first.name.clone(),
                        second: second.name.clone(),
                    });
                }
                several => (
                    self.shard(several, level + 1, Attributes::default())?,
                    format!("{slot:02X}"),
                ),
            };
            children += node.tsize();
            links.push(node.link(name));
        }
        let leading_zeros = bitfield.iter().take_while(|byte| **byte == 0).count();
        let data = PbData {
            data: Some(Bytes::copy_from_slice(&bitfield[leading_zeros..])),
            hash_type: Some(HASH_TYPE),
            fanout: Some(FANOUT as u64),
            ..data(Type::HamtShard, attributes)
        };
        Ok(self.put_dag_pb(block(&data, &links), children)?)
    }
}

/// Sorts the entries by name, as the format requires, and checks the names.
fn put_in_order<E>(entries: &mut [Entry]) -> Result<(), DirectoryError<E>> {
    if let Some(entry) = entries
        .iter()
        .find(|entry| segment(entry.name.as_bytes()).is_none())
    {
        return Err(DirectoryError::InvalidName {
            name: entry.name.clone(),
        });
    }
    // Entries from the listing of a directory are usually sorted already.
    if !entries.is_sorted_by(|a, b| a.name <= b.name) {
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }
    match entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(DirectoryError::DuplicateName {
            name: pair[0].name.clone(),
        }),
        None => Ok(()),
    }
}

fn estimated_size(entries: &[Entry], data: &PbData, estimate: SizeEstimate) -> usize {
    let cid_length = |entry: &Entry| entry.node.cid().encoded_len();
    match estimate {
        SizeEstimate::Links => entries
            .iter()
            .map(|entry| entry.name.len() + cid_length(entry))
            .sum(),
        SizeEstimate::Block => {
            let links: usize = entries
                .iter()
                .map(|entry| link_size_in_block(&entry.name, cid_length(entry), entry.node.tsize()))
                .sum();
            size_in_block(data) + links
        }
    }
}

/// The slot of the hash in a shard at `level`: most significant bits first.
fn slot(hash: u64, level: u32) -> usize {
    usize::from(hash.to_be_bytes()[level as usize])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        attributes::Mtime,
        write::profile::{Layout, Profile},
    };

    fn discard(_: Cid, _: Bytes) -> Result<(), Infallible> {
        Ok(())
    }

    fn layout() -> Layout {
        Profile::default().layout()
    }

    #[test]
    fn a_name_hashes_to_the_slots_that_go_gives_it() {
        let hash = hash64(b"470.txt");
        assert_eq!(hash, 0x006e_88df_5847_e67c);
        assert_eq!(slot(hash, 0), 0x00);
        assert_eq!(slot(hash, 1), 0x6e);
    }

    #[test]
    fn the_computed_size_of_a_block_is_its_length() {
        let mut writer = Writer::new(layout(), discard);
        let attributes = Attributes {
            mode: Some(0o755),
            mtime: Some(Mtime {
                seconds: -1,
                nanos: 5,
            }),
        };
        let mut entries = Vec::new();
        for length in [0, 1, 127, 128, 200, 5000] {
            let node = writer.put_raw(vec![7; length].into()).unwrap();
            entries.push(Entry::new("n".repeat(length + 1), node));
        }
        let data = data(Type::Directory, attributes);
        let estimate = estimated_size(&entries, &data, SizeEstimate::Block);
        let links: Vec<_> = entries
            .iter()
            .map(|entry| entry.node.link(entry.name.to_string()))
            .collect();
        assert_eq!(estimate, block(&data, &links).len());
    }

    /// A directory of exactly the limit is plain, and one byte more is sharded, as Kubo's comparison with `>` has it.
    #[test]
    fn the_limit_itself_is_plain() {
        for profile in Profile::ALL {
            let layout = profile.layout();
            let data = data(Type::Directory, Attributes::default());
            for (over, wanted) in [(0, Type::Directory), (1, Type::HamtShard)] {
                let mut last = Bytes::new();
                let mut writer = Writer::new(layout, |_, block| {
                    last = block;
                    Ok::<_, Infallible>(())
                });
                let node = writer.put_raw(Bytes::new()).unwrap();
                let entry = |name: String| Entry::new(name, node);
                let mut entries: Vec<_> = (0..900).map(|n| entry(format!("{n:0220}"))).collect();
                let size =
                    |entries: &[Entry]| estimated_size(entries, &data, layout.size_estimate());
                // For names from 16 KiB to 2 MiB, one byte more in a name is one byte more in either estimate.
                entries.push(entry("x".repeat(20_000)));
                let missing = SHARDING_BYTES + over - size(&entries);
                entries.pop();
                entries.push(entry("x".repeat(20_000 + missing)));
                assert_eq!(size(&entries), SHARDING_BYTES + over);
                writer.directory(entries, Attributes::default()).unwrap();
                drop(writer);
                let data = ipld_dagpb::PbNode::from_bytes(last).unwrap().data.unwrap();
                assert!(data.starts_with(&[8, wanted as u8]), "{profile} {over}");
            }
        }
    }

    #[test]
    fn names_of_one_hash_are_an_error_and_no_endless_descent() {
        let mut writer = Writer::new(layout(), discard);
        let node = writer.put_raw(Bytes::new()).unwrap();
        let same = [(5, Entry::new("a", node)), (5, Entry::new("b", node))];
        let error = writer.shard(&same, 0, Attributes::default()).unwrap_err();
        assert!(
            matches!(&error, DirectoryError::Collision { first, second } if &**first == "a" && &**second == "b"),
            "{error:?}"
        );
    }

    #[test]
    fn the_order_of_the_entries_does_not_show() {
        let mut writer = Writer::new(layout(), discard);
        let node = writer.put_raw(Bytes::new()).unwrap();
        let mut directory = |names: [&str; 3]| {
            let entries = names.map(|name| Entry::new(name, node)).to_vec();
            writer.directory(entries, Attributes::default()).unwrap()
        };
        assert_eq!(
            directory(["a", "ab", "\u{fc}"]),
            directory(["\u{fc}", "a", "ab"])
        );
    }

    #[test]
    fn names_that_no_directory_can_have() {
        let mut writer = Writer::new(layout(), discard);
        let node = writer.put_raw(Bytes::new()).unwrap();
        let mut refused = |names: &[&str]| {
            let entries = names.iter().map(|name| Entry::new(*name, node)).collect();
            let error = writer.directory(entries, Attributes::default());
            error.unwrap_err()
        };
        for name in ["", ".", "..", "a/b", "a\0"] {
            let error = refused(&["b", name]);
            assert!(
                matches!(&error, DirectoryError::InvalidName { name: bad } if &**bad == name),
                "{error:?}"
            );
        }
        let error = refused(&["b", "a", "b"]);
        assert!(
            matches!(&error, DirectoryError::DuplicateName { name } if &**name == "b"),
            "{error:?}"
        );
        assert_eq!(writer.blocks(), 1);
    }
}
