//! Tests with CARs that are sound, cut short at every byte, and wrong in every length they have.

use multihash_codetable::{Code, MultihashDigest};

use super::*;
use crate::header::encode_v1;

const RAW: u64 = 0x55;

fn cid(block: &[u8]) -> Cid {
    Cid::new_v1(RAW, Code::Sha2_256.digest(block))
}

fn varint(number: u64) -> Vec<u8> {
    unsigned_varint::encode::u64(number, &mut unsigned_varint::encode::u64_buffer()).to_vec()
}

fn section(block: &[u8]) -> Vec<u8> {
    let cid = cid(block).to_bytes();
    [
        varint((cid.len() + block.len()) as u64),
        cid,
        block.to_vec(),
    ]
    .concat()
}

fn car(blocks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = encode_v1(&[cid(blocks[0])]);
    for block in blocks {
        bytes.extend(section(block));
    }
    bytes
}

/// A CARv2 made by hand: the pragma, 40 bytes of header, `gap` bytes of padding, the data, and `tail` as its index.
fn v2(data: &[u8], gap: usize, tail: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x0a\xa1\x67version\x02".to_vec();
    bytes.extend([0xff; 16]);
    let offset = (51 + gap) as u64;
    bytes.extend(offset.to_le_bytes());
    bytes.extend((data.len() as u64).to_le_bytes());
    bytes.extend((offset + data.len() as u64).to_le_bytes());
    bytes.extend(vec![0; gap]);
    bytes.extend(data);
    bytes.extend(tail);
    bytes
}

fn blocks_of(bytes: &[u8], sections: &Sections) -> Vec<Vec<u8>> {
    sections
        .sections
        .iter()
        .map(|section| {
            let offset = section.offset as usize;
            bytes[offset..offset + section.length as usize].to_vec()
        })
        .collect()
}

#[test]
fn sections_of_both_versions_are_found() {
    let blocks: [&[u8]; 4] = [b"one", b"", b"three", &[7; 100_000]];
    let v1 = car(&blocks);
    for bytes in [
        v1.clone(),
        v2(&v1, 0, b""),
        v2(&v1, 1000, b"any index, unread"),
    ] {
        let found = parse_car(&bytes).unwrap();
        assert_eq!(found.roots, [cid(b"one")]);
        assert_eq!(blocks_of(&bytes, &found), blocks);
        assert_eq!(
            found.sections[2].cid,
            SectionCid::try_from(cid(b"three").to_bytes()).unwrap()
        );
    }
}

#[test]
fn a_car_cut_at_any_byte_is_an_error_or_a_whole_prefix() {
    let blocks: [&[u8]; 3] = [b"one", b"", &[7; 300]];
    let v1 = car(&blocks);
    let whole = parse_car(&v1).unwrap();
    let header = encode_v1(&[cid(b"one")]).len();
    let mut prefixes = 0;
    for cut in 0..v1.len() {
        match parse_car(&v1[..cut]) {
            Ok(found) => {
                prefixes += 1;
                assert_eq!(found.sections, whole.sections[..found.sections.len()]);
                let end = found
                    .sections
                    .last()
                    .map_or(header, |last| last.offset as usize + last.length as usize);
                assert_eq!(end, cut);
            }
            Err(CarError::Truncated { offset, end, .. }) => {
                assert_eq!(end, cut as u64);
                assert!(offset < end);
            }
            Err(CarError::NotACar { reason, .. }) => {
                assert_eq!((cut, &*reason), (0, "it is empty"));
            }
            Err(other) => panic!("cut at {cut}: {other:?}"),
        }
    }
    // After the header, and after each section except the last.
    assert_eq!(prefixes, blocks.len());
}

#[test]
fn a_carv2_cut_at_any_byte_is_an_error() {
    let bytes = v2(&car(&[b"one", b"two"]), 3, b"");
    for cut in 0..bytes.len() {
        match parse_car(&bytes[..cut]) {
            Err(
                CarError::NotACar { .. }
                | CarError::Truncated { .. }
                | CarError::DataOutOfRange { .. },
            ) => {}
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    assert!(parse_car(&bytes).is_ok());
}

#[test]
fn any_one_byte_changed_never_panics() {
    let v1 = car(&[b"one", b"", &[7; 200]]);
    for bytes in [v2(&v1, 2, b"x"), v1] {
        for at in 0..bytes.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = parse_car(&changed);
            }
        }
    }
}

#[test]
fn wrong_lengths_say_where() {
    let good = car(&[b"one"]);
    let at = good.len() as u64;
    let with = |bytes: &[u8]| parse_car(&[&good, bytes].concat()).unwrap_err();

    let too_small = with(&[&varint(10)[..], &cid(b"x").to_bytes()].concat());
    assert!(
        matches!(too_small, CarError::WrongSectionLength { offset, .. } if offset == at),
        "{too_small:?}"
    );
    let overlong = with(&[0x80; 11]);
    assert!(
        matches!(overlong, CarError::WrongSectionLength { offset, .. } if offset == at),
        "{overlong:?}"
    );
    let not_minimal = with(&[0x80, 0x00]);
    assert!(
        matches!(not_minimal, CarError::WrongSectionLength { offset, .. } if offset == at),
        "{not_minimal:?}"
    );
    for length in [u64::MAX, 1 << 40, MAX_BLOCK as u64 + 1000] {
        let too_large = with(&varint(length));
        assert!(
            matches!(too_large, CarError::SectionTooLarge { offset, length: l, .. } if (offset, l) == (at, length)),
            "{too_large:?}"
        );
    }
    let too_long = with(&varint(1000));
    assert!(
        matches!(&too_long, CarError::Truncated { offset, end, .. } if (*offset, *end) == (at, at + 2)),
        "{too_long:?}"
    );
    assert!(too_long.to_string().contains("1000 bytes"), "{too_long}");
}

#[test]
fn a_block_of_the_limit_is_read_and_one_byte_more_is_not() {
    let largest = vec![1; MAX_BLOCK];
    assert_eq!(
        parse_car(&car(&[&largest])).unwrap().sections[0].length as usize,
        MAX_BLOCK
    );
    let more = parse_car(&car(&[&vec![1; MAX_BLOCK + 1]])).unwrap_err();
    assert!(matches!(more, CarError::SectionTooLarge { .. }), "{more:?}");
}

#[test]
fn padding_ends_the_payload_and_damage_does_not() {
    let good = car(&[b"one"]);
    for padding in [1, 7, 200_000] {
        let padded = [&good[..], &vec![0; padding]].concat();
        assert_eq!(parse_car(&padded).unwrap().sections.len(), 1);
        assert_eq!(parse_car(&v2(&padded, 0, b"")).unwrap().sections.len(), 1);
    }
    let zeroed = [&good[..], &[0; 100_000], &section(b"two")].concat();
    let error = parse_car(&zeroed).unwrap_err();
    assert!(
        matches!(error, CarError::WrongSectionLength { offset, .. } if offset == good.len() as u64),
        "{error:?}"
    );
}

#[test]
fn a_section_without_a_cid_says_where() {
    let good = car(&[b"one"]);
    // CID version 3, after a length of one byte. The section is long enough that its length is not at fault.
    let bytes = [&good[..], &varint(200), &[3; 200]].concat();
    let error = parse_car(&bytes).unwrap_err();
    assert!(
        matches!(error, CarError::BadCid { offset, .. } if offset == good.len() as u64 + 2),
        "{error:?}"
    );
}

#[test]
fn identity_cids_of_kubos_longest_are_read() {
    let mut cid = vec![0x01, 0x55, 0x00];
    cid.extend(varint(128));
    cid.extend([9; 128]);
    let bytes = [&car(&[b"one"])[..], &varint(cid.len() as u64), &cid].concat();
    let found = parse_car(&bytes).unwrap();
    assert_eq!(found.sections[1].cid.hash().digest(), [9; 128]);
    assert_eq!(found.sections[1].length, 0);
}

#[test]
fn what_is_no_car_says_so() {
    for bytes in [
        b"".as_slice(),
        b"hello, world",
        b"\x7fELF\x02\x01\x01\x00",
        b"\x00asm\x01\x00\x00\x00",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        &[0; 4096],
        &[0xff; 4096],
    ] {
        let error = parse_car(bytes).unwrap_err();
        assert!(
            matches!(error, CarError::NotACar { .. }),
            "{bytes:?}: {error:?}"
        );
    }
    // A header of another shape, one without roots, and one that is far too long.
    for body in [b"\xa1\x61x\x01".as_slice(), b"\xa1\x67version\x01"] {
        let bytes = [&varint(body.len() as u64), body].concat();
        let error = parse_car(&bytes).unwrap_err();
        assert!(matches!(error, CarError::NotACar { .. }), "{error:?}");
    }
    let error = parse_car(&[&varint(MAX_HEADER + 1)[..], b"\xa2"].concat()).unwrap_err();
    assert!(matches!(error, CarError::NotACar { .. }), "{error:?}");
}

#[test]
fn other_versions_are_named() {
    let header = |version: u8| {
        let body = [b"\xa2\x65roots\x80\x67version".as_slice(), &[version]].concat();
        [&varint(body.len() as u64)[..], &body].concat()
    };
    for (bytes, wanted) in [
        (header(3), 3),
        (header(0), 0),
        // A CARv2 inside a CARv2.
        (v2(b"\x0a\xa1\x67version\x02", 0, b""), 2),
    ] {
        let error = parse_car(&bytes).unwrap_err();
        assert!(
            matches!(error, CarError::UnsupportedVersion { version, .. } if version == wanted),
            "{error:?}"
        );
    }
    assert_eq!(parse_car(&header(1)).unwrap().roots, []);
}

#[test]
fn a_carv2_header_out_of_range_is_refused() {
    let good = v2(&car(&[b"one"]), 0, b"");
    let with = |offset: u64, size: u64| {
        let mut bytes = good.clone();
        bytes[27..35].copy_from_slice(&offset.to_le_bytes());
        bytes[35..43].copy_from_slice(&size.to_le_bytes());
        parse_car(&bytes).unwrap_err()
    };
    let size = good.len() as u64 - 51;
    for (offset, size) in [
        (50, size),
        (0, size),
        (52, size),
        (51, size + 1),
        (51, 0),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        (51, u64::MAX),
    ] {
        let error = with(offset, size);
        assert!(
            matches!(error, CarError::DataOutOfRange { data_offset, data_size, .. } if (data_offset, data_size) == (offset, size)),
            "{error:?}"
        );
    }
}

/// Counts the bytes that a scan reads.
struct Counted<'a>(&'a [u8], std::cell::Cell<usize>);

impl ReadAt for Counted<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, offset)?;
        self.1.set(self.1.get() + read);
        Ok(read)
    }
}

#[test]
fn the_data_of_large_blocks_is_stepped_over() {
    let large = vec![5; 50_000];
    let blocks: Vec<&[u8]> = std::iter::repeat_n(large.as_slice(), 200).collect();
    let bytes = car(&blocks);
    let counted = Counted(&bytes, Default::default());
    let mut found = 0;
    scan(&counted, bytes.len() as u64, Path::new("x"), &mut |_| {
        found += 1
    })
    .unwrap();
    assert_eq!(found, 200);
    assert!(
        counted.1.get() < bytes.len() / 20,
        "{} of {} bytes were read",
        counted.1.get(),
        bytes.len()
    );
}

#[test]
fn a_failing_source_names_the_file() {
    struct Broken;
    impl ReadAt for Broken {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let error = scan(&Broken, 100, Path::new("some.car"), &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, CarError::Io { path, .. } if path == Path::new("some.car")),
        "{error:?}"
    );
}
