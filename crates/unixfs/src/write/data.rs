//! The encoding of UnixFS and dag-pb, byte for byte as Kubo writes it. Only this file knows it.
//!
//! Pure: values in, bytes out. The order of fields, the difference between absent and zero, and unpacked block sizes
//! all show in the CID.
//! <https://specs.ipfs.tech/unixfs/>

use bytes::Bytes;
use prost::{Message, encoding::encoded_len_varint};

use crate::{
    attributes::Attributes,
    message::{DATA_KEY, LINK_KEY, PbData, PbLink, PbTime, Type},
};

/// The data of a node of this type, without content.
pub(super) fn data(kind: Type, attributes: Attributes) -> PbData {
    PbData {
        kind: Some(kind as u64),
        mode: attributes.mode,
        mtime: attributes.mtime.map(|mtime| PbTime {
            seconds: Some(mtime.seconds),
            nanos: (mtime.nanos > 0).then_some(mtime.nanos),
        }),
        ..PbData::default()
    }
}

/// Encodes a dag-pb block of this data and `links`, which are sorted by name.
pub(super) fn block(data: &PbData, links: &[PbLink]) -> Bytes {
    let links_len: usize = links.iter().map(|link| field(link.encoded_len())).sum();
    let mut block = Vec::with_capacity(links_len + size_in_block(data));
    for link in links {
        push(&mut block, LINK_KEY, link);
    }
    push(&mut block, DATA_KEY, data);
    block.into()
}

fn push(block: &mut Vec<u8>, key: u8, message: &impl Message) {
    block.push(key);
    message
        .encode_length_delimited(block)
        .expect("a vector has room for any message");
}

/// The number of bytes that a node's data takes in a dag-pb block.
pub(super) fn size_in_block(data: &PbData) -> usize {
    field(data.encoded_len())
}

/// The number of bytes that a link takes in a dag-pb block.
pub(super) fn link_size_in_block(name: &str, cid_length: usize, tsize: u64) -> usize {
    field(field(cid_length) + field(name.len()) + 1 + encoded_len_varint(tsize))
}

/// The encoded length of a length-delimited field with a tag of one byte.
fn field(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}
