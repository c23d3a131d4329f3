//! The place of each block: multihash to (file, offset, length).
//!
//! Keyed by multihash, because a block's codec comes from the link that names it: real DAGs hold the same bytes under
//! several codecs. If several sections have one multihash, all are kept: one of them may be wrong. The index is a sorted
//! list. An entry takes 56 bytes, whatever the block's size, where a hash map would take about twice that. A look-up is
//! a few dozen comparisons, next to a system call for the read.

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
        self.places.shrink_to_fit();
        let mut index = Index {
            places: self.places,
            distinct: 0,
            total_bytes: 0,
        };
        let lengths = index.iter().map(|(_, place)| u64::from(place.length));
        (index.distinct, index.total_bytes) = lengths.fold((0, 0), |(blocks, bytes), length| {
            (blocks + 1, bytes + length)
        });
        index
    }
}

/// Every place of every block, sorted by key, and the places of one block in the order of the files.
#[derive(Debug)]
pub(crate) struct Index {
    places: Vec<(Key, Place)>,
    distinct: usize,
    total_bytes: u64,
}

impl Index {
    /// The first place of a block.
    pub(crate) fn get<const S: usize>(&self, hash: &Multihash<S>) -> Option<Place> {
        self.copies(hash).next()
    }

    /// All places of a block.
    pub(crate) fn copies<const S: usize>(
        &self,
        hash: &Multihash<S>,
    ) -> impl Iterator<Item = Place> {
        let wanted = Key::new(hash);
        let from = self.places.partition_point(|(key, _)| *key < wanted);
        let from = self.places[from..].iter();
        from.take_while(move |(key, _)| *key == wanted)
            .map(|(_, place)| *place)
    }

    /// The number of distinct blocks.
    pub(crate) fn len(&self) -> usize {
        self.distinct
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Every distinct block, at its first place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Key, Place)> {
        self.places
            .chunk_by(|a, b| a.0 == b.0)
            .map(|copies| &copies[0])
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
        let copies: Vec<_> = index.copies(&a).collect();
        assert_eq!(copies, [place(0, 20), place(0, 40), place(1, 0)]);
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
