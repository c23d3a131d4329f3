//! A section of a CAR in memory: its length, its CID, its data.

use cid::Cid;
use multihash::Multihash;
use pinner_api::MAX_BLOCK;
use pinner_car::SectionCid;
use unsigned_varint::decode;

/// The longest that comes before a section's data, in bytes: its length, and a CID.
const MAX_HEAD: usize = 9 + 9 + 9 + 9 + 2 + 128;

/// The longest section with a block that can be read, in bytes.
pub(crate) const MAX_SECTION: usize = MAX_HEAD + MAX_BLOCK;

/// The start of a section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    hash: Multihash<128>,
    /// The offset of the data from the section's start.
    pub(crate) data: usize,
    /// The offset of the section's end from its start.
    pub(crate) end: usize,
}

impl Head {
    /// Parses the start of a section, and refuses what cannot be a block.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (length, rest) = decode::u64(bytes)
            .map_err(|_| "no section starts where the index says so".to_owned())?;
        let at = bytes.len() - rest.len();
        let end = usize::try_from(length).ok();
        let end = end.and_then(|length| length.checked_add(at));
        let Some(end) = end.filter(|end| *end <= MAX_SECTION) else {
            return Err(format!(
                "a section of {length} bytes, where blocks have at most {MAX_BLOCK}"
            ));
        };
        let mut rest = &rest[..rest.len().min(end - at)];
        let cid = SectionCid::read_bytes(&mut rest)
            .map_err(|error| format!("no CID is where the index says so: {error}"))?;
        let data = bytes.len().min(end) - rest.len();
        if end - data > MAX_BLOCK {
            return Err(format!(
                "a block of {} bytes, where {MAX_BLOCK} is the most",
                end - data
            ));
        }
        Ok(Self {
            hash: *cid.hash(),
            data,
            end,
        })
    }

    /// Whether the section names this block.
    pub(crate) fn is_of(&self, cid: &Cid) -> bool {
        let hash = cid.hash();
        self.hash.code() == hash.code() && self.hash.digest() == hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    #[test]
    fn a_section_has_a_cid_and_its_data() {
        let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(b"data"));
        let mut bytes = vec![36 + 4];
        bytes.extend(cid.to_bytes());
        bytes.extend(b"data, and what follows");
        let head = Head::parse(&bytes).expect("a section");
        assert!(head.is_of(&cid) && head.is_of(&Cid::new_v0(*cid.hash()).expect("v0")));
        assert!(!head.is_of(&Cid::new_v1(0x55, Code::Sha2_256.digest(b"other"))));
        assert_eq!(&bytes[head.data..head.end], b"data");
        // The data need not be there, but the CID.
        assert_eq!(Head::parse(&bytes[..40]), Ok(head));
        for wrong in [&bytes[..20], &[], &[0], &[3, 1, 0x55, 0], &[0xff; 12]] {
            assert!(Head::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_section_that_is_too_large_is_refused() {
        let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(b"data")).to_bytes();
        for (data, is_read) in [(MAX_BLOCK, true), (MAX_BLOCK + 1, false), (1 << 40, false)] {
            let mut buffer = unsigned_varint::encode::usize_buffer();
            let length = unsigned_varint::encode::usize(cid.len() + data, &mut buffer);
            let bytes = [length, &cid].concat();
            assert_eq!(Head::parse(&bytes).is_ok(), is_read, "{data}");
        }
    }
}
