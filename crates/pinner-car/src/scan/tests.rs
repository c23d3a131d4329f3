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

/// The sections of a CARv1 that was cut short behind its header of `first` bytes. They are the first of `whole`, and
/// whatever is missing is a defect, unless the cut is between two sections.
fn prefix(bytes: &[u8], whole: &Sections, first: usize) -> Option<Sections> {
    let cut = bytes.len() as u64;
    let found = match parse_car(bytes) {
        Ok(found) => found,
        Err(CarError::Truncated { offset, end, .. }) => {
            assert_eq!((offset, end), (0, cut));
            return None;
        }
        Err(CarError::NotACar { reason, .. }) => {
            assert_eq!((cut, &*reason), (0, "it is empty"));
            return None;
        }
        Err(other) => panic!("cut at {cut}: {other:?}"),
    };
    assert_eq!(found.sections, whole.sections[..found.sections.len()]);
    let after = |last: &Section| last.offset + u64::from(last.length);
    let after = found.sections.last().map_or(first as u64, after);
    match found.defects.first() {
        [] => assert_eq!(after, cut),
        [Defect::CutShort { offset, end, .. }] => {
            assert!(*end == cut && (after..cut).contains(offset), "{found:?}");
        }
        other => panic!("cut at {cut}: {other:?}"),
    }
    Some(found)
}

#[test]
fn a_car_cut_at_any_byte_has_its_whole_sections_and_says_that_it_was_cut() {
    let blocks: [&[u8]; 3] = [b"one", b"", &[7; 300]];
    let v1 = car(&blocks);
    let whole = parse_car(&v1).unwrap();
    let header = encode_v1(&[cid(b"one")]).len();
    let mut between = 0;
    for cut in 0..v1.len() {
        let found = prefix(&v1[..cut], &whole, header);
        assert_eq!(found.is_some(), cut >= header);
        between += usize::from(found.is_some_and(|found| found.defects.count() == 0));
    }
    // After the header, and after each section except the last: such a cut cannot be told from an end.
    assert_eq!(between, blocks.len());
}

#[test]
fn a_carv2_cut_at_any_byte_says_so_too() {
    let v1 = car(&[b"one", b"two"]);
    let bytes = v2(&v1, 3, b"");
    let whole = parse_car(&bytes).unwrap();
    let header = encode_v1(&[cid(b"one")]).len();
    for cut in 0..bytes.len() {
        let found = parse_car(&bytes[..cut]);
        assert_eq!(found.is_ok(), cut >= 54 + header, "{cut}");
        if let Ok(found) = found {
            let count = found.sections.len();
            assert_eq!(found.sections, whole.sections[..count]);
            let [Defect::CutShort { offset, end, .. }, ..] = found.defects.first() else {
                panic!("{found:?}");
            };
            assert_eq!((*offset, *end), (54, cut as u64));
        }
    }
    assert_eq!(whole.defects.count(), 0);
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

/// The defects of a CAR in which `bytes` stand between two sound sections, and the number of blocks that are read.
fn spoiled(bytes: &[u8]) -> (Vec<Defect>, usize) {
    let car = [&car(&[b"one"])[..], bytes, &section(b"two")].concat();
    let found = parse_car(&car).unwrap();
    assert_eq!(found.roots, [cid(b"one")]);
    assert_eq!(found.defects.count(), found.defects.first().len() as u64);
    let blocks = blocks_of(&car, &found);
    assert_eq!(blocks[0], b"one");
    if let Some(two) = blocks.get(1) {
        assert_eq!(two, b"two");
    }
    (found.defects.first().to_vec(), blocks.len())
}

#[test]
fn an_unusable_section_costs_itself_alone() {
    let at = car(&[b"one"]).len() as u64;
    let large = section(&vec![1; MAX_BLOCK + 1]);
    let length = (MAX_BLOCK + 37) as u64;
    let too_large = Defect::TooLarge { offset: at, length };
    assert_eq!(spoiled(&large), (vec![too_large], 2));
    // So long that its CID is not looked at.
    let length = (MAX_BLOCK + 1000) as u64;
    let larger = [varint(length), vec![1; MAX_BLOCK + 1000]].concat();
    let too_large = Defect::TooLarge { offset: at, length };
    assert_eq!(spoiled(&larger), (vec![too_large], 2));

    // CID version 3, in a section that is long enough for any CID.
    let (defects, blocks) = spoiled(&[&varint(200)[..], &[3; 200]].concat());
    assert!(
        matches!(defects[..], [Defect::NoCid { offset, .. }] if offset == at),
        "{defects:?}"
    );
    assert_eq!(blocks, 2);

    let too_small = [&varint(10)[..], &cid(b"x").to_bytes()[..10]].concat();
    let zeroed = [0; 100_000];
    for bytes in [&too_small[..], &zeroed] {
        let (defects, blocks) = spoiled(bytes);
        assert!(
            matches!(defects[..], [Defect::WrongLength { offset, .. }] if offset == at),
            "{defects:?}"
        );
        assert_eq!(blocks, 2);
    }
    // Each is counted, and the first few are named.
    let many = too_small.repeat(1000);
    let found = parse_car(&[&car(&[b"one"])[..], &many, &section(b"two")].concat()).unwrap();
    assert_eq!((found.sections.len(), found.defects.count()), (2, 1000));
    assert!(found.defects.first().len() < 100);
}

#[test]
fn a_length_that_is_none_ends_what_can_be_found() {
    let at = car(&[b"one"]).len() as u64;
    let dropped = [&[0x80; 9][..], &[0x12]].concat();
    for bytes in [&[0x80; 11][..], &[0x80, 0x00], &dropped, &varint(u64::MAX)] {
        let (defects, blocks) = spoiled(bytes);
        assert!(
            matches!(defects[..], [Defect::NoLength { offset, .. }] if offset == at),
            "{defects:?}"
        );
        assert_eq!(blocks, 1);
    }
    for length in [u64::MAX >> 1, 1 << 40, 1000] {
        let (defects, blocks) = spoiled(&varint(length));
        assert!(
            matches!(&defects[..], [Defect::CutShort { offset, .. }] if *offset == at),
            "{defects:?}"
        );
        assert!(defects[0].to_string().contains(&format!("{length} bytes")));
        assert_eq!(blocks, 1);
    }
}

#[test]
fn a_block_of_the_limit_is_read() {
    let largest = vec![1; MAX_BLOCK];
    assert_eq!(
        parse_car(&car(&[&largest])).unwrap().sections[0].length as usize,
        MAX_BLOCK
    );
}

#[test]
fn padding_ends_the_payload() {
    let good = car(&[b"one"]);
    for padding in [1, 7, 200_000] {
        let padded = [&good[..], &vec![0; padding]].concat();
        for bytes in [v2(&padded, 0, b""), padded] {
            let found = parse_car(&bytes).unwrap();
            assert_eq!((found.sections.len(), found.defects.count()), (1, 0));
        }
    }
}

#[test]
fn zeros_between_sections_are_passed_in_linear_time() {
    let bytes = [&car(&[b"one"])[..], &[0, 1, 0xff].repeat(100_000)].concat();
    let counted = Counted(&bytes, Default::default());
    let found = scan(&counted, bytes.len() as u64, Path::new("x"), &mut |_| {}).unwrap();
    assert_eq!(found.defects.count(), 200_000);
    assert!(
        counted.1.get() < 3 * bytes.len(),
        "{} bytes were read of {}",
        counted.1.get(),
        bytes.len()
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
    assert_eq!(found.defects.count(), 0);

    // The same as the second of two roots, whose byte string has a length of one byte.
    let mut header = encode_v1(&[self::cid(b"one"), self::cid(b"two")]);
    let second = self::cid(b"two").to_bytes();
    let at = header
        .windows(second.len())
        .position(|it| it == second)
        .unwrap();
    header[at - 2] = cid.len() as u8 + 1;
    header.splice(at..at + second.len(), cid.iter().copied());
    let body = header.len() - 1;
    header.splice(..1, varint(body as u64));
    let found = parse_car(&[&header[..], &section(b"one")].concat()).unwrap();
    assert_eq!(
        (found.roots, found.sections.len()),
        (vec![self::cid(b"one")], 1)
    );
    assert_eq!(found.long_roots[0].to_bytes(), cid);
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
fn a_carv2_that_was_never_finished_has_what_was_written() {
    let mut bytes = v2(&car(&[b"one", b"two"]), 0, b"");
    bytes[11..51].fill(0);
    let found = parse_car(&bytes).unwrap();
    assert_eq!(blocks_of(&bytes, &found), [b"one", b"two"]);
    assert_eq!(found.defects.first(), [Defect::Unfinished]);
    let error = parse_car(&bytes[..51]).unwrap_err();
    assert!(
        matches!(error, CarError::DataOutOfRange { .. }),
        "{error:?}"
    );
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
        (51 + size, size),
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
