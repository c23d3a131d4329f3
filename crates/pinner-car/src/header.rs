//! The headers of CAR files: CARv1's DAG-CBOR map, and CARv2's fixed fields.
//!
//! Bytes in, values out; knows nothing of files.
//! <https://ipld.io/specs/transport/car/carv1/>, <https://ipld.io/specs/transport/car/carv2/>

use cid::Cid;
use serde::{Deserialize, Serialize};

/// The longest CARv1 header that is read, in bytes: some 25,000 roots. It only bounds hostile files.
pub(crate) const MAX_HEADER: u64 = 1024 * 1024;

/// The length in bytes of CARv2's header, which follows its 11-byte pragma.
pub(crate) const V2_HEADER: usize = 40;

/// The content of a CARv1 header. CARv2's pragma is such a header, with a version and no roots.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The roots; absent in CARv2's pragma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<Vec<Cid>>,
    /// 1, or 2 in the pragma.
    pub(crate) version: u64,
}

impl Header {
    /// Decodes DAG-CBOR, without the length that precedes it in a file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_ipld_dagcbor::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// Encodes a whole CARv1 header, with its length in front.
pub(crate) fn encode_v1(roots: &[Cid]) -> Vec<u8> {
    let header = Header {
        roots: Some(roots.to_vec()),
        version: 1,
    };
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
        assert_eq!(Header::decode(&bytes[1..]).unwrap().roots, Some(vec![root]));
    }

    #[test]
    fn trailing_bytes_are_no_header() {
        assert!(Header::decode(b"\xa1\x67version\x02\x00").is_err());
        assert!(Header::decode(b"").is_err());
    }
}
