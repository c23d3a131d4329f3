//! Any bytes as a CAR, version 1 or 2: `pinner-car` opens or refuses them, and returns every block that it has indexed.
//!
//! The parser of bytes in memory must agree with the parser of a file, and a block must be the bytes of the first
//! section that names it. Each root is pinned too, which decodes the links of every block below it, verified or not.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use cid::Cid;
use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use pinner_api::{BlockRequest, Holder, PinDepth, Pinner};
use pinner_car::{CarPinner, Sections, parse_car};
use tempfile::TempDir;

/// A section of five bytes takes two hundred bytes in a list that doubles as it grows, and an entry of the index.
const PER_BYTE: usize = 256;

const RAW: u64 = 0x55;
const IDENTITY: u64 = 0x00;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .expect("a temporary folder")
});

fuzz_target!(
    init: seeds::write_if_asked(|| {
        let blocks = seeds::blocks();
        let few = seeds::car(&blocks[..blocks.len().min(12)]);
        let mut all = vec![
            in_version_2(&few),
            [&few[..], &[0; 9]].concat(),
            seeds::car(&[]),
            few,
        ];
        all.extend(seeds::others_cars());
        all
    }),
    |data: &[u8]| {
        // Created outside of the bound, since the folder outlives the input.
        let folder = FOLDER.path();
        bounded(data.len(), PER_BYTE, || match parse_car(data) {
            Ok(sections) => check(data, &sections, folder.join("input.car")),
            Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
        });
    }
);

/// A CARv2: the pragma, the header without an index, and the payload.
fn in_version_2(payload: &[u8]) -> Vec<u8> {
    const PRAGMA: &[u8] = b"\x0a\xa1\x67version\x02";
    const DATA_OFFSET: u64 = 51;
    let mut car = PRAGMA.to_vec();
    car.extend([0; 16]);
    car.extend(DATA_OFFSET.to_le_bytes());
    car.extend((payload.len() as u64).to_le_bytes());
    car.extend(0_u64.to_le_bytes());
    car.extend(payload);
    car
}

fn check(data: &[u8], parsed: &Sections, path: PathBuf) {
    let span = |offset: u64, length: u32| {
        let start = usize::try_from(offset).expect("inside the file");
        &data[start..start + length as usize]
    };
    let mut end = 0;
    for section in &parsed.sections {
        assert!(section.offset > end && span(section.offset, section.length).len() <= data.len());
        end = section.offset;
    }

    fs::write(&path, data).expect("room for the input");
    let pinner = CarPinner::open_blocking([path]).expect("a CAR that parses can be opened");
    assert!(
        pinner
            .roots()
            .iter()
            .all(|root| parsed.roots.contains(root))
    );
    assert!(pinner.len() <= parsed.sections.len());
    for info in pinner.blocks() {
        let cid = Cid::new_v1(RAW, info.multihash);
        assert!(pinner.contains(&cid));
        let answer = futures_executor::block_on(pinner.block(&BlockRequest::new(cid)));
        let block = answer.expect("an indexed block is inside the file").bytes;
        assert_eq!(block.len(), info.size_bytes as usize);
        assert_ne!(info.multihash.code(), IDENTITY);
        let first = parsed.sections.iter().find(|section| {
            let hash = section.cid.hash();
            hash.code() == info.multihash.code() && hash.digest() == info.multihash.digest()
        });
        let first = first.expect("an indexed block is in a section");
        assert_eq!(block, span(first.offset, first.length));
    }
    let holder = Holder::new([0; 8], [1; 16]);
    for root in pinner.roots() {
        let pinned = futures_executor::block_on(pinner.pin(&holder, root, PinDepth::Recursive));
        assert!(pinned.is_err() || pinner.contains(root));
    }
}
