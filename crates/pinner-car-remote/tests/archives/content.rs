//! Archives to be served.

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::Bytes;
use pinner_car::{CarWriter, parse_car};

/// A block and its CID.
pub(crate) type Block = (Cid, Bytes);

/// A raw block.
pub(crate) fn raw(bytes: impl Into<Bytes>) -> Block {
    let bytes = bytes.into();
    (Cid::new_v1(0x55, Code::Sha2_256.digest(&bytes)), bytes)
}

/// So many raw blocks of this length, all different.
pub(crate) fn many(count: u32, length: usize) -> Vec<Block> {
    let block = |number: u32| {
        let mut bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        raw(bytes)
    };
    (0..count).map(block).collect()
}

/// A CARv1 of the blocks, with the first as its root.
pub(crate) fn car(blocks: &[Block]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("it.car");
    let roots: Vec<_> = blocks.iter().take(1).map(|(cid, _)| *cid).collect();
    let mut writer = CarWriter::create(&path, &roots).expect("created");
    for (cid, bytes) in blocks {
        writer.put(cid, bytes).expect("written");
    }
    writer.finish(&roots).expect("finished");
    std::fs::read(path).expect("read")
}

/// The two kinds of index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sorted,
    MultihashSorted,
}

/// A CARv2 around a CARv1, with an index of its sections.
pub(crate) fn indexed(car: &[u8], kind: Kind) -> Vec<u8> {
    let mut start = 0;
    let mut entries = Vec::new();
    let parsed = parse_car(car).expect("a CAR");
    // The header ends where the first section begins, which is found from its data backwards.
    for section in &parsed.sections {
        if start == 0 {
            let head = section.cid.to_bytes().len() + length(section.length, &section.cid);
            start = section.offset - head as u64;
        }
        entries.push((section.cid.hash().digest().to_vec(), start));
        start = section.offset + u64::from(section.length);
    }
    with_entries(car, kind, entries)
}

/// A CARv2 around a CARv1, with an index of these digests and offsets.
pub(crate) fn with_entries(car: &[u8], kind: Kind, mut entries: Vec<(Vec<u8>, u64)>) -> Vec<u8> {
    entries.sort();
    let width = entries.first().map_or(40, |(digest, _)| digest.len() + 8);
    let bucket: Vec<u8> = entries
        .iter()
        .flat_map(|(digest, offset)| [&digest[..], &offset.to_le_bytes()].concat())
        .collect();
    let buckets = [
        &1u32.to_le_bytes()[..],
        &(width as u32).to_le_bytes(),
        &(bucket.len() as u64).to_le_bytes(),
        &bucket,
    ]
    .concat();
    let index = match kind {
        Kind::Sorted => [&[0x80, 0x08][..], &buckets].concat(),
        Kind::MultihashSorted => {
            let codes = [&1u32.to_le_bytes()[..], &0x12u64.to_le_bytes(), &buckets].concat();
            [&[0x81, 0x08][..], &codes].concat()
        }
    };
    let numbers = [51, car.len() as u64, 51 + car.len() as u64];
    let numbers = numbers.map(u64::to_le_bytes).concat();
    [
        b"\x0a\xa1\x67version\x02",
        &[0; 16][..],
        &numbers,
        car,
        &index,
    ]
    .concat()
}

/// The length of the varint in front of a section.
fn length(data: u32, cid: &pinner_car::SectionCid) -> usize {
    let section = data as usize + cid.to_bytes().len();
    let mut buffer = unsigned_varint::encode::usize_buffer();
    unsigned_varint::encode::usize(section, &mut buffer).len()
}
