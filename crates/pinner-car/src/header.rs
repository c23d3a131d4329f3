//! The headers of CAR files: CARv1's DAG-CBOR map, and CARv2's fixed fields.
//!
//! Bytes in, values out; knows nothing of files.
//! <https://ipld.io/specs/transport/car/carv1/>, <https://ipld.io/specs/transport/car/carv2/>

use std::fmt;

use cid::{Cid, CidGeneric};
use ipld_core::cid::serde::CID_SERDE_PRIVATE_IDENTIFIER;
use multihash::Multihash;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use crate::index::IDENTITY;

/// A CID in a CAR: room for the longest identity digest that Kubo allows, 128 bytes.
pub type SectionCid = CidGeneric<128>;

/// The longest CARv1 header that is read, in bytes: some 25,000 roots. It only bounds hostile files.
pub(crate) const MAX_HEADER: u64 = 1024 * 1024;

/// The length in bytes of CARv2's header, which follows its 11-byte pragma.
pub(crate) const V2_HEADER: usize = 40;

/// The content of a CARv1 header. CARv2's pragma is such a header, with a version and no roots.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    /// The roots; absent in CARv2's pragma.
    #[serde(default)]
    pub(crate) roots: Option<Vec<Root>>,
    /// 1, or 2 in the pragma.
    pub(crate) version: u64,
}

impl Header {
    /// Decodes DAG-CBOR, without the length that precedes it in a file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_ipld_dagcbor::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// A link among the roots. One that is not a CID does not spoil the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Cid(Cid),
    /// An identity CID that is too long for a [`Cid`].
    Long(SectionCid),
    /// Not a CID that can be followed, and why.
    Unusable(String),
}

impl Root {
    fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let wide = match SectionCid::read_bytes(&mut rest) {
            Ok(wide) if rest.is_empty() => wide,
            Ok(_) => return Self::Unusable(format!("{} bytes follow it", rest.len())),
            Err(error) => return Self::Unusable(error.to_string()),
        };
        let (code, digest) = (wide.hash().code(), wide.hash().digest());
        let fits = Multihash::wrap(code, digest)
            .ok()
            .and_then(|hash| Cid::new(wide.version(), wide.codec(), hash).ok());
        match fits {
            Some(cid) => Self::Cid(cid),
            None if code == IDENTITY => Self::Long(wide),
            None => Self::Unusable(format!("a hash of {} bytes", digest.len())),
        }
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Link;

        impl<'de> Visitor<'de> for Link {
            type Value = Root;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a link")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Root, D::Error> {
                deserializer.deserialize_bytes(self)
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Root, E> {
                Ok(Root::parse(bytes))
            }
        }

        deserializer.deserialize_newtype_struct(CID_SERDE_PRIVATE_IDENTIFIER, Link)
    }
}

/// Encodes a whole CARv1 header, with its length in front.
pub(crate) fn encode_v1(roots: &[Cid]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        roots: &'a [Cid],
        version: u64,
    }
    let header = Written { roots, version: 1 };
    let body =
        serde_ipld_dagcbor::to_vec(&header).expect("a map of CIDs and a number goes into memory");
    let mut length = unsigned_varint::encode::usize_buffer();
    let mut bytes = unsigned_varint::encode::usize(body.len(), &mut length).to_vec();
    bytes.extend(body);
    bytes
}

/// The fields of a CARv2 header that locate the data. The index is not used: it may lie, and scanning the sections
/// costs no more than checking it would.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct V2 {
    /// The offset of the CARv1 data in the file, in bytes.
    pub(crate) data_offset: u64,
    /// The length of the data, in bytes.
    pub(crate) data_size: u64,
}

impl V2 {
    /// Decodes the 40 bytes after the pragma: 16 of characteristics, then three little-endian numbers.
    pub(crate) fn decode(bytes: &[u8; V2_HEADER]) -> Self {
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        Self {
            data_offset: number(16),
            data_size: number(24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pragma_of_carv2_is_a_header() {
        let header = Header::decode(b"\xa1\x67version\x02").unwrap();
        assert_eq!((header.roots, header.version), (None, 2));
    }

    #[test]
    fn a_header_of_one_root_has_the_bytes_that_others_write() {
        let root: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
            .parse()
            .unwrap();
        let bytes = encode_v1(&[root]);
        assert_eq!(bytes[..9], *b"\x38\xa2\x65roots\x81");
        assert_eq!(bytes[9..14], *b"\xd8\x2a\x58\x23\x00");
        assert_eq!(bytes[14..48], *root.to_bytes());
        assert_eq!(bytes[48..], *b"\x67version\x01");
        let header = Header::decode(&bytes[1..]).unwrap();
        assert_eq!(header.roots, Some(vec![Root::Cid(root)]));
    }

    #[test]
    fn a_root_that_is_no_cid_spoils_no_other() {
        let root: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
            .parse()
            .unwrap();
        let long = |code| {
            let hash = Multihash::<128>::wrap(code, &[9; 128]).unwrap();
            SectionCid::new_v1(0x55, hash)
        };
        let links = [
            long(IDENTITY).to_bytes(),
            b"no CID".to_vec(),
            long(0x12).to_bytes(),
            [&root.to_bytes()[..], b"x"].concat(),
            root.to_bytes(),
        ];
        let mut bytes = b"\xa2\x65roots\x85".to_vec();
        for link in &links {
            // A byte string of a length of one byte, with the zero that precedes a CID.
            bytes.extend([0xd8, 0x2a, 0x58, link.len() as u8 + 1, 0]);
            bytes.extend(link);
        }
        bytes.extend(b"\x67version\x01");
        // The second is too short for that form.
        let short = bytes.windows(3).position(|at| at == [0x58, 7, 0]).unwrap();
        bytes.splice(short..short + 2, [0x47]);
        let roots = Header::decode(&bytes).unwrap().roots.unwrap();
        assert_eq!(
            (&roots[0], &roots[4]),
            (&Root::Long(long(IDENTITY)), &Root::Cid(root))
        );
        for unusable in &roots[1..4] {
            assert!(matches!(unusable, Root::Unusable(_)), "{unusable:?}");
        }
    }

    #[test]
    fn trailing_bytes_are_no_header() {
        assert!(Header::decode(b"\xa1\x67version\x02\x00").is_err());
        assert!(Header::decode(b"").is_err());
    }
}
