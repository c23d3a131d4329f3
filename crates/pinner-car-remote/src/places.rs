//! The place of each block in an archive: multihash to offset and length.
//!
//! A sorted list, of 56 bytes for each block. Where several sections have one multihash, all are kept: one of them may be
//! wrong.

use std::ops::Range;

use cid::Cid;
use multihash::Multihash;

use crate::{index_v2::CarIndex, section::MAX_SECTION};

const SHA2_256: u64 = 0x12;
pub(crate) const IDENTITY: u64 = 0x00;

/// A multihash in few bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A whole sha2-256 digest, as nearly all blocks have.
    Sha2([u8; 32]),
    /// Any other.
    Other(Box<(u64, Vec<u8>)>),
}

impl Key {
    pub(crate) fn new(code: u64, digest: &[u8]) -> Self {
        match <[u8; 32]>::try_from(digest) {
            Ok(digest) if code == SHA2_256 => Self::Sha2(digest),
            _ => Self::Other(Box::new((code, digest.to_vec()))),
        }
    }

    pub(crate) fn parts(&self) -> (u64, &[u8]) {
        match self {
            Self::Sha2(digest) => (SHA2_256, digest),
            Self::Other(other) => (other.0, &other.1),
        }
    }
}

/// A place in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl Place {
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.length))
    }
}

/// The content of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// The block's data, exactly.
    Data,
    /// Its section, and maybe more.
    Section,
}

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    entries: Vec<(Key, Place)>,
    pub(crate) lies: Lies,
    /// The hash functions are not known: every key has the code of sha2-256.
    by_digest: bool,
}

impl Places {
    /// The places of data, as a scan has found them.
    pub(crate) fn of_data(mut entries: Vec<(Key, Place)>) -> Self {
        entries.sort_unstable();
        entries.shrink_to_fit();
        Self {
            entries,
            lies: Lies::Data,
            by_digest: false,
        }
    }

    /// The places of sections, as the index of a CARv2 says. `data` is the range of its data in the archive. Places
    /// outside of it are left out.
    pub(crate) fn of_sections(index: &CarIndex<'_>, data: Range<u64>) -> Self {
        let at = |offset: u64| {
            let offset = data.start.checked_add(offset);
            offset.filter(|offset| *offset < data.end)
        };
        let entries = index.entries.iter();
        let mut starts: Vec<u64> = entries.clone().filter_map(|e| at(e.offset)).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut by_digest = false;
        let mut places: Vec<_> = entries
            .filter_map(|entry| {
                let offset = at(entry.offset)?;
                let next = starts.partition_point(|start| *start <= offset);
                let end = starts.get(next).copied().unwrap_or(data.end);
                by_digest |= entry.code.is_none();
                let key = Key::new(entry.code.unwrap_or(SHA2_256), entry.digest);
                let length = (end - offset).min(MAX_SECTION as u64) as u32;
                Some((key, Place { offset, length }))
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        Self {
            entries: places,
            lies: Lies::Section,
            by_digest,
        }
    }

    /// The places of a block, in the order of the archive.
    pub(crate) fn of(&self, cid: &Cid) -> impl Iterator<Item = Place> {
        let code = match self.by_digest {
            true => SHA2_256,
            false => cid.hash().code(),
        };
        let wanted = Key::new(code, cid.hash().digest());
        let from = self.entries.partition_point(|(key, _)| *key < wanted);
        let from = self.entries[from..].iter();
        from.take_while(move |(key, _)| *key == wanted)
            .map(|(_, place)| *place)
    }

    pub(crate) fn entries(&self) -> &[(Key, Place)] {
        &self.entries
    }
}

/// The key of a section, unless nobody can ask for it: an identity CID holds its own data, and no `Cid` has a digest of
/// more than 64 bytes.
pub(crate) fn key_of(hash: &Multihash<128>) -> Option<Key> {
    (hash.code() != IDENTITY && hash.size() <= 64).then(|| Key::new(hash.code(), hash.digest()))
}

// The size of an entry that the module's docs promise.
const _: () = assert!(size_of::<(Key, Place)>() <= 56);

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;
    use crate::index_v2::CarIndexEntry;

    fn place(offset: u64, length: u32) -> Place {
        Place { offset, length }
    }

    #[test]
    fn a_section_reaches_to_the_next() {
        let (a, b) = (Code::Sha2_256.digest(b"a"), Code::Sha3_256.digest(b"b"));
        let index = |code: fn(u64) -> Option<u64>| {
            let mut index = CarIndex::default();
            for (hash, offset) in [(&b, 10), (&a, 0), (&a, 300), (&b, 1 << 40), (&b, u64::MAX)] {
                index.entries.push(CarIndexEntry {
                    code: code(hash.code()),
                    digest: hash.digest(),
                    offset,
                });
            }
            Places::of_sections(&index, 51..10_000_000)
        };
        for places in [index(Some), index(|_| None)] {
            let of = |hash: Multihash<64>| places.of(&Cid::new_v1(0x55, hash)).collect::<Vec<_>>();
            assert_eq!(of(a), [place(51, 10), place(351, MAX_SECTION as u32)]);
            assert_eq!(of(b), [place(61, 290)]);
            assert_eq!(of(Code::Sha2_256.digest(b"c")), []);
        }
    }

    #[test]
    fn identity_has_no_key() {
        let wrap = |code, length| Multihash::<128>::wrap(code, &[1; 128][..length]).expect("fits");
        assert!(key_of(&wrap(IDENTITY, 8)).is_none() && key_of(&wrap(0x13, 65)).is_none());
        assert!(key_of(&wrap(0x13, 64)).is_some());
    }
}
