//! The place of each block: multihash to (file, offset, length).
//!
//! Keyed by multihash, because a block's codec comes from the link that names it: real DAGs hold the same bytes under
//! several codecs. The index is a sorted list. An entry takes 56 bytes, whatever the block's size, where a hash map
//! would take about twice that. A look-up is a few dozen comparisons, next to a system call for the read.

use multihash::Multihash;

const SHA2_256: u64 = 0x12;
pub(crate) const IDENTITY: u64 = 0x00;

/// A multihash in few bytes; `Multihash<64>` takes 80.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// A whole sha2-256 digest, as nearly all blocks have.
    Sha2([u8; 32]),
    /// Any other multihash, as bytes.
    Other(Box<[u8]>),
}

impl Key {
    pub(crate) fn new<const S: usize>(hash: &Multihash<S>) -> Self {
        match <[u8; 32]>::try_from(hash.digest()) {
            Ok(digest) if hash.code() == SHA2_256 => Self::Sha2(digest),
            _ => Self::Other(hash.to_bytes().into()),
        }
    }

    /// The multihash. It always fits: no multihash with a digest over 64 bytes is put into the index.
    pub(crate) fn multihash(&self) -> Option<Multihash<64>> {
        match self {
            Self::Sha2(digest) => Multihash::wrap(SHA2_256, digest).ok(),
            Self::Other(bytes) => Multihash::from_bytes(bytes).ok(),
        }
    }
}

/// The place of a block's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset of the data from the start of its file, in bytes.
    pub(crate) offset: u64,
    /// The length of the data, in bytes.
    pub(crate) length: u32,
    /// The number of the file.
    pub(crate) file: u32,
}

/// Collects the blocks of all files as they are found.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    places: Vec<(Key, Place)>,
}

impl IndexBuilder {
    pub(crate) fn push(&mut self, key: Key, place: Place) {
        self.places.push((key, place));
    }

    pub(crate) fn build(mut self) -> Index {
        let in_order = |(_, place): &(Key, Place)| (place.file, place.offset);
        self.places
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| in_order(a).cmp(&in_order(b))));
        // The first place of a block stays, so a block that occurs twice is always read from the same place.
        self.places.dedup_by(|later, first| later.0 == first.0);
        self.places.shrink_to_fit();
        Index {
            total_bytes: (self.places.iter())
                .map(|(_, place)| u64::from(place.length))
                .sum(),
            places: self.places,
        }
    }
}

/// Every distinct block, sorted by key.
#[derive(Debug)]
pub(crate) struct Index {
    places: Vec<(Key, Place)>,
    total_bytes: u64,
}

impl Index {
    pub(crate) fn get<const S: usize>(&self, hash: &Multihash<S>) -> Option<Place> {
        let wanted = Key::new(hash);
        let at = self.places.binary_search_by(|(key, _)| key.cmp(&wanted));
        at.ok().map(|at| self.places[at].1)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Key, Place)> {
        self.places.iter()
    }
}

// The size of an entry that the module's docs promise.
const _: () = assert!(size_of::<(Key, Place)>() <= 56);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_of_a_block_answers() {
        let hash = |code, digest: &[u8]| Multihash::<64>::wrap(code, digest).unwrap();
        let (a, b, short) = (
            hash(SHA2_256, &[1; 32]),
            hash(0x1e, &[1; 32]),
            hash(SHA2_256, &[1; 20]),
        );
        let place = |file, offset| Place {
            offset,
            length: 5,
            file,
        };
        let mut index = IndexBuilder::default();
        for (hash, place) in [
            (&b, place(0, 9)),
            (&a, place(0, 20)),
            (&short, place(0, 30)),
            (&a, place(1, 0)),
            (&a, place(0, 40)),
        ] {
            index.push(Key::new(hash), place);
        }
        let index = index.build();
        assert_eq!((index.len(), index.total_bytes()), (3, 15));
        assert_eq!(index.get(&a), Some(place(0, 20)));
        assert_eq!(index.get(&b), Some(place(0, 9)));
        assert_eq!(index.get(&short), Some(place(0, 30)));
        assert_eq!(index.get(&hash(SHA2_256, &[2; 32])), None);
        let mut found: Vec<_> = index.iter().map(|(key, _)| key.multihash()).collect();
        found.sort();
        let mut all = [Some(a), Some(b), Some(short)];
        all.sort();
        assert_eq!(found, all);
    }
}
