//! The index of a CARv2: digests and the offsets of their sections. Bytes in, values out.
//!
//! An index is a hint: whoever follows it checks what lies there. Both kinds that writers use are read,
//! `IndexSorted` (0x0400) and `MultihashIndexSorted` (0x0401), as go-car writes them: numbers are little-endian, and the
//! length of a bucket is in bytes. <https://ipld.io/specs/transport/car/carv2/#index-format>

use unsigned_varint::decode;

use crate::little_endian::LittleEndian;

/// Digests alone.
const SORTED: u64 = 0x0400;

/// Digests by hash function.
const MULTIHASH_SORTED: u64 = 0x0401;

/// An offset, after each digest.
const OFFSET: usize = 8;

/// The longest digest that is read, in bytes: no `Cid` can ask for a longer one.
const MAX_DIGEST: usize = 64;

/// The entries of an index, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarIndex<'a> {
    /// The entries whose digests have at most 64 bytes.
    pub entries: Vec<CarIndexEntry<'a>>,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarIndexEntry<'a> {
    /// The hash function; `None` in an index of digests alone.
    pub code: Option<u64>,
    /// The digest.
    pub digest: &'a [u8],
    /// The offset of the section from the start of the CARv2's data, in bytes.
    pub offset: u64,
}

/// The defect of an index with more entries than were to be read.
pub(crate) const TOO_MANY: &str = "it has too many entries";

/// Parses an index of at most `most` entries, from its codec on. Bytes behind it are ignored.
///
/// # Errors
/// The defect, as a part of a sentence: the index is of another kind, is cut short, has lengths that cannot be, or more
/// entries.
pub fn parse_index(bytes: &[u8], most: usize) -> Result<CarIndex<'_>, &'static str> {
    let (codec, rest) = decode::u64(bytes).map_err(|_| "it has no codec")?;
    let mut index = CarIndex::default();
    let mut bytes = LittleEndian(rest);
    match codec {
        SORTED => buckets(&mut bytes, None, most, &mut index)?,
        MULTIHASH_SORTED => {
            for _ in 0..bytes.u32()? {
                let code = bytes.u64()?;
                buckets(&mut bytes, Some(code), most, &mut index)?;
            }
        }
        _ => return Err("it is of an unknown kind"),
    }
    Ok(index)
}

/// The buckets of one hash function: each holds digests of one length.
fn buckets<'a>(
    bytes: &mut LittleEndian<'a>,
    code: Option<u64>,
    most: usize,
    index: &mut CarIndex<'a>,
) -> Result<(), &'static str> {
    for _ in 0..bytes.u32()? {
        let width = usize::try_from(bytes.u32()?).unwrap_or(usize::MAX);
        let length = usize::try_from(bytes.u64()?).unwrap_or(usize::MAX);
        let bucket = bytes.take(length)?;
        if width < OFFSET || !length.is_multiple_of(width) {
            return Err("its lengths do not agree");
        }
        if width - OFFSET > MAX_DIGEST {
            continue;
        }
        if bucket.len() / width > most - index.entries.len() {
            return Err(TOO_MANY);
        }
        for entry in bucket.chunks_exact(width) {
            let (digest, offset) = entry.split_at(width - OFFSET);
            index.entries.push(CarIndexEntry {
                code,
                digest,
                offset: LittleEndian(offset).u64()?,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(digest: usize, entries: &[(u8, u64)]) -> Vec<u8> {
        let width = digest + OFFSET;
        let mut bytes = (width as u32).to_le_bytes().to_vec();
        bytes.extend(((width * entries.len()) as u64).to_le_bytes());
        for (byte, offset) in entries {
            bytes.extend(vec![*byte; digest]);
            bytes.extend(offset.to_le_bytes());
        }
        bytes
    }

    fn found(bytes: &[u8]) -> Vec<(Option<u64>, usize, u8, u64)> {
        let index = parse_index(bytes, 100).expect("an index");
        let entries = index.entries.iter();
        let entries = entries.map(|e| (e.code, e.digest.len(), e.digest[0], e.offset));
        entries.collect()
    }

    #[test]
    fn both_kinds_are_read() {
        let buckets = [
            &2u32.to_le_bytes()[..],
            &bucket(20, &[(7, 1)]),
            &bucket(32, &[(8, 2), (9, u64::MAX)]),
        ]
        .concat();
        let sorted = [&[0x80, 0x08][..], &buckets].concat();
        let entries = [(20, 7, 1), (32, 8, 2), (32, 9, u64::MAX)];
        let of =
            |code: Option<u64>| entries.map(|(length, byte, offset)| (code, length, byte, offset));
        assert_eq!(found(&sorted), of(None));

        let codes = [&2u32.to_le_bytes()[..], &0x12u64.to_le_bytes(), &buckets];
        let codes = [&codes.concat()[..], &0x1eu64.to_le_bytes(), &buckets].concat();
        let by_hash = [&[0x81, 0x08][..], &codes, b"what follows"].concat();
        let expected = [of(Some(0x12)), of(Some(0x1e))].concat();
        assert_eq!(found(&by_hash), expected);

        for end in 0..sorted.len() {
            assert!(parse_index(&sorted[..end], 100).is_err(), "{end}");
        }
    }

    #[test]
    fn digests_that_nobody_can_ask_for_are_left_out() {
        let buckets = [
            &2u32.to_le_bytes()[..],
            &bucket(65, &[(7, 1)]),
            &bucket(64, &[(8, 2)]),
        ];
        let bytes = [&[0x80, 0x08][..], &buckets.concat()].concat();
        assert_eq!(found(&bytes), [(None, 64, 8, 2)]);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let with = |width: u32, length: u64| {
            let head = [&[0x80, 0x08][..], &1u32.to_le_bytes(), &width.to_le_bytes()];
            [&head.concat()[..], &length.to_le_bytes(), &[0; 80]].concat()
        };
        assert_eq!(parse_index(&with(40, 80), 1), Err(TOO_MANY));
        assert!(parse_index(&with(40, 80), 2).is_ok());
        for (width, length) in [
            (0, 0),
            (7, 14),
            (40, 41),
            (40, 120),
            (40, u64::MAX),
            (u32::MAX, 80),
        ] {
            assert!(
                parse_index(&with(width, length), 100).is_err(),
                "{width} {length}"
            );
        }
        for other in [
            &[][..],
            &[0x82, 0x08],
            &[0x80],
            &[0x80, 0x08, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(parse_index(other, 100).is_err(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(kind in 0x7e..0x83u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&[kind, 0x08][..], &bytes].concat();
            if let Ok(index) = parse_index(&bytes, 10) {
                prop_assert!(index.entries.len() <= 10);
            }
        }
    }
}
