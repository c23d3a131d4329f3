//! Any bytes as the index of a CARv2: `pinner-car-remote` reads or refuses it, in memory that the input's size bounds.
//!
//! Each entry lies inside the input, and what was read from a part of the input is read from all of it.

#![no_main]

use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use pinner_car_remote::parse_index;

/// An entry of eight bytes takes forty in a list that doubles as it grows.
const PER_BYTE: usize = 48;

fuzz_target!(
    init: seeds::write_if_asked(|| {
        let blocks = seeds::blocks();
        let digests: Vec<_> = blocks.iter().map(|(cid, _)| cid.hash().digest()).collect();
        let digests: Vec<_> = digests.into_iter().filter(|digest| digest.len() == 32).collect();
        let few = &digests[..digests.len().min(20)];
        vec![
            [&[0x80, 0x08][..], &buckets(few)].concat(),
            [&[0x81, 0x08][..], &1u32.to_le_bytes(), &0x12u64.to_le_bytes(), &buckets(few)].concat(),
            [&[0x80, 0x08][..], &buckets(&[])].concat(),
        ]
    }),
    |data: &[u8]| {
        bounded(data.len(), PER_BYTE, || {
            let Ok(index) = parse_index(data, data.len()) else {
                return;
            };
            let inside = data.as_ptr_range();
            for entry in &index.entries {
                assert!(entry.digest.len() <= 64);
                let digest = entry.digest.as_ptr_range();
                assert!(inside.start <= digest.start && digest.end <= inside.end);
            }
            let longer = [data, b"what follows"].concat();
            assert_eq!(parse_index(&longer, data.len()).map(|index| index.entries.len()), Ok(index.entries.len()));
        });
    }
);

/// One bucket of digests of 32 bytes.
fn buckets(digests: &[&[u8]]) -> Vec<u8> {
    let mut bytes = 1u32.to_le_bytes().to_vec();
    bytes.extend(40u32.to_le_bytes());
    bytes.extend((40 * digests.len() as u64).to_le_bytes());
    for (digest, offset) in digests.iter().zip(0u64..) {
        bytes.extend(*digest);
        bytes.extend((59 + 300 * offset).to_le_bytes());
    }
    bytes
}
