//! One record of an index file: which block is in a slot. Pure: bytes in, a record out, and the reverse.
//!
//! Invariant: a record that decodes was written as a whole, for this slot of this class, by this version of the layout.
//! It does not prove that the slot's bytes are the block's: those are hashed before they are used (I3).

use crate::{
    class::{CLASSES, MAX_CHANGE, class_bytes},
    key::Key,
};

/// A record's length, in bytes. A power of two, so that none crosses a sector or a page.
pub(crate) const RECORD_LEN: usize = 128;

/// The first bytes of a record: three letters, and the version of the layout.
const MAGIC: [u8; 4] = *b"PSR\x01";

/// Where the bytes covered by the checksum begin: after the magic and the checksum itself.
const CHECKED_FROM: usize = 8;

/// The statement that a slot holds a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The block's multihash.
    pub(crate) key: Key,
    /// Its length, in bytes; at least 1.
    pub(crate) len: u32,
    /// The number of the change that wrote this record. A younger record has a greater number.
    pub(crate) change: u64,
}

impl Record {
    /// Encodes the record for slot `slot` of class number `class`.
    pub(crate) fn encode(&self, class: usize, slot: u32) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        let digest = self.key.digest();
        let mut put = |at: usize, field: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(at).zip(field) {
                *to = *from;
            }
        };
        put(0, &MAGIC);
        put(8, &self.change.to_le_bytes());
        put(16, &self.len.to_le_bytes());
        put(20, &slot.to_le_bytes());
        put(24, &[class as u8, self.key.size()]);
        put(32, &self.key.code().to_le_bytes());
        put(40, digest);
        let checksum = crc32fast::hash(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Decodes the record in `bytes`, which are at slot `slot` of class number `class`. Returns `None` if there is no
    /// record, or if any of its bytes differs from what was written.
    pub(crate) fn decode(bytes: &[u8; RECORD_LEN], class: usize, slot: u32) -> Option<Self> {
        if bytes[..4] != MAGIC || u32_at(bytes, 4)? != crc32fast::hash(&bytes[CHECKED_FROM..]) {
            return None;
        }
        if u32_at(bytes, 20)? != slot || usize::from(bytes[24]) != class {
            return None;
        }
        let (digest, behind) = bytes[40..].split_at_checked(usize::from(bytes[25]))?;
        if bytes[26..32].iter().chain(behind).any(|byte| *byte != 0) {
            return None;
        }
        let record = Self {
            key: Key::wrap(u64_at(bytes, 32)?, digest).ok()?,
            len: u32_at(bytes, 16)?,
            change: u64_at(bytes, 8)?,
        };
        // A slot's number and the next one are numbers: the last is not for use.
        let fits = slot < u32::MAX
            && class < CLASSES
            && (1..=class_bytes(class)).contains(&u64::from(record.len));
        (fits && record.change <= MAX_CHANGE).then_some(record)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digest: &[u8]) -> Record {
        Record {
            key: Key::wrap(0x12, digest).unwrap(),
            len: 262_144,
            change: 77,
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_that_differs_by_a_bit() {
        for digest in [&[7; 20][..], &[9; 32], &[1; 64]] {
            let record = record(digest);
            let bytes = record.encode(6, 12);
            assert_eq!(Record::decode(&bytes, 6, 12), Some(record));
            for bit in 0..RECORD_LEN * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Record::decode(&flipped, 6, 12), None, "bit {bit}");
            }
            for cut in 0..RECORD_LEN {
                let mut torn = bytes;
                torn[cut..].fill(0);
                let whole = torn == bytes;
                assert_eq!(
                    Record::decode(&torn, 6, 12).is_some(),
                    whole,
                    "cut at {cut}"
                );
            }
        }
        assert_eq!(Record::decode(&[0; RECORD_LEN], 0, 0), None);
    }

    #[test]
    fn a_record_is_good_in_its_own_place_only() {
        let bytes = record(&[7; 32]).encode(6, 12);
        assert_eq!(Record::decode(&bytes, 6, 13), None);
        assert_eq!(Record::decode(&bytes, 5, 12), None);
    }

    #[test]
    fn what_has_a_right_checksum_and_says_what_cannot_be_is_none() {
        let seal = |mut bytes: [u8; RECORD_LEN]| {
            let checksum = crc32fast::hash(&bytes[CHECKED_FROM..]);
            bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
            bytes
        };
        let good = record(&[7; 32]).encode(6, 12);
        assert!(Record::decode(&seal(good), 6, 12).is_some());
        let mut long = good;
        long[25] = 65;
        assert_eq!(Record::decode(&seal(long), 6, 12), None);
        let mut beyond = good;
        beyond[25] = 255;
        assert_eq!(Record::decode(&seal(beyond), 6, 12), None);
        let mut empty = good;
        empty[16..20].fill(0);
        assert_eq!(Record::decode(&seal(empty), 6, 12), None);
        let mut longer_than_its_slot = good;
        longer_than_its_slot[16..20].copy_from_slice(&262_145_u32.to_le_bytes());
        assert_eq!(Record::decode(&seal(longer_than_its_slot), 6, 12), None);
        let mut of_no_time = good;
        of_no_time[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Record::decode(&seal(of_no_time), 6, 12), None);
        for at in [26, 31, 72, 103, 127] {
            let mut not_zero = good;
            not_zero[at] = 1;
            assert_eq!(Record::decode(&seal(not_zero), 6, 12), None, "byte {at}");
        }
    }
}
