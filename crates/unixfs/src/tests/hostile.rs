//! Blocks whose authors lie: why each is refused, or what remains of it.

use super::*;
use crate::{Found, ShardEntry};

#[test]
fn sizes_that_do_not_add_up() {
    let lying = |filesize| PbData {
        filesize: Some(filesize),
        ..file_data(b"abc", &[10])
    };
    let one = named(&[""]);
    assert!(decoded(&one, &lying(13)).is_ok());
    for filesize in [0, 12, 14, u64::MAX] {
        assert_eq!(
            refused(&one, &lying(filesize)),
            format!("filesize {filesize}, but 3 inline bytes and the blocksizes make 13")
        );
    }
    assert_eq!(
        refused(&named(&["", ""]), &file_data(b"abc", &[u64::MAX - 5, 3])),
        "blocksize 3 of child 1 behind 18446744073709551613 bytes: more than 2^64"
    );
}

#[test]
fn as_many_blocksizes_as_links() {
    assert_eq!(
        refused(&named(&["", ""]), &file_data(b"", &[1])),
        "a file node of 2 links with 1 blocksizes"
    );
    assert_eq!(
        refused(&[], &file_data(b"", &[1, 2])),
        "a file node of 0 links with 2 blocksizes"
    );
    for kind in [DIRECTORY, SYMLINK, SHARD] {
        let sized = PbData {
            blocksizes: vec![1],
            ..data(kind)
        };
        assert_eq!(
            refused(&named(&["a"]), &sized),
            "1 blocksizes in a node that is not a file"
        );
    }
}

#[test]
fn runs_of_empty_links_cost_nothing() {
    const EMPTY: usize = 10_000;
    let links = vec![pb_link(0, ""); 2 * EMPTY + 1];
    let mut sizes = vec![0; 2 * EMPTY + 1];
    sizes[EMPTY] = 7;
    let node = file(block(&links, &file_data(b"", &sizes)));
    for offset in 0..7 {
        assert_eq!(
            node.locate(offset),
            Piece::Child {
                index: EMPTY,
                start: 0,
                len: 7
            }
        );
    }
    assert_eq!(node.locate(7), Piece::End);
    let nothing = file(block(&links[..EMPTY], &file_data(b"", &sizes[..EMPTY])));
    assert_eq!((nothing.len(), nothing.locate(0)), (0, Piece::End));
}

#[test]
fn a_block_full_of_links_is_read_in_one_go() {
    const LINKS: u32 = 100_000;
    // Names in descending order, so that the directory has to sort; then one name for all, of which one entry remains.
    let links: Vec<PbLink> = (0..LINKS)
        .rev()
        .map(|n| pb_link(n, format!("{n:06}")))
        .collect();
    let node = directory(block(&links, &data(DIRECTORY)));
    assert_eq!((node.entries(), node.skipped()), (100_000, 0));
    assert_eq!(node.lookup("000041").unwrap(), Some(link(41)));
    let same: Vec<PbLink> = (0..LINKS).map(|number| pb_link(number, "same")).collect();
    let node = directory(block(&same, &data(DIRECTORY)));
    assert_eq!((node.entries(), node.skipped()), (1, LINKS - 1));
    assert_eq!(node.lookup("same").unwrap(), Some(link(0)));
    // Only one link for each slot can be sound.
    assert!(refused(&same, &shard_data(256, &[])).contains("100000 links"));
}

#[test]
fn what_is_no_unixfs() {
    assert_eq!(reason(Bytes::new()), "a dag-pb block without UnixFS data");
    let links_only = field(0x12, &pb_link(0, "a").encode_to_vec());
    assert_eq!(reason(links_only), "a dag-pb block without UnixFS data");
    assert_eq!(reason(field(0x0a, b"")), "UnixFS data without a type");
    assert_eq!(
        refused(&[], &data(3)),
        "UnixFS type 3 (metadata) is not a file or directory"
    );
    assert_eq!(refused(&[], &data(6)), "unknown UnixFS type 6");
    assert_eq!(
        refused(&[], &data(u64::MAX)),
        format!("unknown UnixFS type {}", u64::MAX)
    );
    assert!(
        reason(field(0x0a, b"not protobuf"))
            .starts_with("the UnixFS data of 12 bytes does not decode")
    );
    let error = decode(Codec::Other(0x71), Bytes::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed UnixFS node: codec 0x71 is neither raw (0x55) nor dag-pb (0x70)"
    );
}

/// A block that a strict node refuses cannot be pinned without breaking that node's garbage collection (I5).
#[test]
fn what_strict_readers_refuse() {
    let link = field(0x12, &pb_link(0, "a").encode_to_vec());
    let data = field(0x0a, &super::data(DIRECTORY).encode_to_vec());
    assert!(decode(Codec::DagPb, [&*link, &data].concat().into()).is_ok());
    let cases: [(&[&[u8]], &str); 4] = [
        (
            &[&link, &data, &link],
            "links on both sides of the data, at byte 49",
        ),
        (&[&data, &data], "a second data field, at byte 4"),
        (&[&data, &link, &data], "a second data field, at byte 49"),
        (
            &[&data, &[0x18, 0x01]],
            "key 0x18 at byte 4 is not a field of a dag-pb node",
        ),
    ];
    for (parts, expected) in cases {
        assert_eq!(reason(parts.concat()), expected);
    }
}

#[test]
fn links_in_another_form_than_the_strict_one() {
    let sound = pb_link(0, "a").encode_to_vec();
    let hash = field(0x0a, &cid(0).to_bytes());
    let name = field(0x12, b"a");
    let tsize = vec![0x18, 1];
    assert_eq!(sound, [&*hash, &name, &tsize].concat());
    let with_link = |link: &[u8]| {
        [
            field(0x12, link),
            field(0x0a, &data(DIRECTORY).encode_to_vec()),
        ]
        .concat()
    };
    let misplaced: [&[&[u8]]; 6] = [
        &[&hash, &tsize, &name],
        &[&hash, &hash, &name, &tsize],
        &[&hash, &name, &name, &tsize],
        &[&hash, &name, &tsize, &tsize],
        &[&hash, &name, &tsize, &[0x20, 0x01]],
        // The number 1 in two bytes.
        &[&hash, &name, &[0x18, 0x81, 0x00]],
    ];
    for form in misplaced {
        assert_eq!(
            reason(with_link(&form.concat())),
            "the link at byte 2 has unknown, repeated or misplaced fields"
        );
    }
    let without: [&[&[u8]]; 4] = [
        &[],
        &[&name],
        &[&name, &hash, &tsize],
        &[&tsize, &hash, &name],
    ];
    for form in without {
        assert_eq!(
            reason(with_link(&form.concat())),
            "the link at byte 2 does not start with a CID"
        );
    }
    // A field that ends inside the block but behind its link, a number that does not end, a tag of a wrong type.
    assert_eq!(
        reason(with_link(&[0x0a, 3])),
        "a field of 3 bytes at byte 3, with 0 bytes left for it"
    );
    assert_eq!(
        reason(with_link(&[&*hash, &[0x12, 2, b'a']].concat())),
        "a field of 2 bytes at byte 41, with 1 bytes left for it"
    );
    for tail in [&[0x18][..], &[0x18, 0xff], &[0x1a, 0]] {
        let reason = reason(with_link(&[&*hash, &name, tail].concat()));
        assert!(
            reason.starts_with("the link at byte 2 does not decode"),
            "{reason}"
        );
    }
}

#[test]
fn cids_that_do_not_fill_their_field() {
    let with_hash = |hash: Vec<u8>| {
        let link = PbLink {
            hash: Some(hash.into()),
            ..pb_link(0, "a")
        };
        refused(&[link], &data(DIRECTORY))
    };
    let sound = cid(0).to_bytes();
    assert_eq!(
        with_hash([&*sound, &[0]].concat()),
        "a CID of 36 bytes in a field of 37"
    );
    for len in [0, 1, 3, 4, 35] {
        let reason = with_hash(sound[..len].to_vec());
        assert!(
            reason.starts_with(&format!("a CID of {len} bytes does not parse")),
            "{reason}"
        );
    }
    // A digest of 65 bytes under an unknown hash function, and CID version 2.
    let long = with_hash([&[1, 0x55, 0x13, 65][..], &[0; 65]].concat());
    assert!(
        long.contains("a digest of 65 bytes under hash function 0x13"),
        "{long}"
    );
    assert!(with_hash([&[2], &sound[1..]].concat()).contains("does not parse"));
}

#[test]
fn lengths_beyond_the_block() {
    assert_eq!(
        reason(vec![0x0a, 5, 1]),
        "a field of 5 bytes at byte 1, with 1 bytes left for it"
    );
    for bytes in [
        &[0x12][..],
        &[0x0a, 0x80],
        &[
            0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
    ] {
        assert!(reason(bytes.to_vec()).starts_with("no length at byte 1"));
    }
    let huge = [
        0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    assert_eq!(
        reason(huge.to_vec()),
        format!(
            "a field of {} bytes at byte 1, with 0 bytes left for it",
            u64::MAX
        )
    );
}

#[test]
fn symlinks_that_are_none() {
    assert_eq!(
        refused(&named(&["a"]), &data(SYMLINK)),
        "a symlink with 1 links"
    );
    let latin = PbData {
        data: Some(Bytes::from_static(b"caf\xe9")),
        ..data(SYMLINK)
    };
    assert!(refused(&[], &latin).starts_with("a symlink's target of 4 bytes is not UTF-8"));
}

const NO_SEGMENTS: [&[u8]; 8] = [b"", b".", b"..", b"/", b"a/b", b"../x", b"a\0", b"caf\xe9"];

#[test]
fn names_that_cannot_be_path_segments() {
    let mut links: Vec<PbLink> = (10..)
        .zip(NO_SEGMENTS)
        .map(|(n, name)| pb_link(n, name))
        .collect();
    links.insert(4, pb_link(1, "..."));
    links.push(pb_link(2, "..a"));
    links.push(PbLink {
        name: None,
        ..pb_link(3, "")
    });
    let node = directory(block(&links, &data(DIRECTORY)));
    assert_eq!(names(&node), ["...", "..a"]);
    assert_eq!(node.skipped(), 9);
    let unusable: Vec<_> = node.unusable().collect();
    assert_eq!(unusable.len(), 9);
    assert_eq!(unusable[0], (NO_SEGMENTS[0], link(10)));
    assert_eq!(unusable[8], (&b""[..], link(3)));
    for name in NO_SEGMENTS
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok())
    {
        assert_eq!(node.lookup(name).unwrap(), None, "{name:?}");
    }
    assert_eq!(node.lookup("..a").unwrap(), Some(link(2)));
}

#[test]
fn the_first_of_duplicates_wins() {
    let node = directory(block(
        &named(&["b", "a", "b", "a", "c", "b"]),
        &data(DIRECTORY),
    ));
    assert_eq!(names(&node), ["b", "a", "c"]);
    assert_eq!(node.skipped(), 3);
    for (number, name) in [(0, "b"), (1, "a"), (4, "c")] {
        assert_eq!(node.lookup(name).unwrap(), Some(link(number)));
    }
    let listed: Vec<Link> = (0..3)
        .map(|index| node.entry(index).unwrap().unwrap().1)
        .collect();
    assert_eq!(listed, [link(0), link(1), link(4)]);
    // Sorted except for the repetition.
    let node = directory(block(&named(&["a", "b", "b"]), &data(DIRECTORY)));
    assert_eq!((names(&node), node.skipped()), (vec!["a", "b"], 1));
}

#[test]
fn shards_that_contradict_themselves() {
    let (links, sound) = one_shard(&[b"a", b"b", b"c"]);
    assert!(decoded(&links, &sound).is_ok());
    let refused_with = |change: &dyn Fn(&mut PbData)| {
        let mut data = sound.clone();
        change(&mut data);
        refused(&links, &data)
    };
    assert!(refused_with(&|data| data.hash_type = None).contains("hash type None"));
    assert!(refused_with(&|data| data.hash_type = Some(0x12)).contains("hash type Some(18)"));
    for fanout in [0, 1, 4, 24, 257, 2048, 1 << 40, u64::MAX] {
        let reason = refused_with(&|data| data.fanout = Some(fanout));
        assert!(reason.contains(&format!("of fanout {fanout},")), "{reason}");
    }
    assert!(refused_with(&|data| data.fanout = None).contains("of fanout 0,"));
    let reason = refused_with(&|data| data.data = Some(vec![0; 33].into()));
    assert_eq!(
        reason,
        "a bit field of 33 bytes in a HAMT shard of fanout 256"
    );
    assert_eq!(
        refused_with(&|data| data.data = None),
        "a HAMT shard of 3 links with 0 bits set"
    );
    assert_eq!(
        refused(&links[..2], &sound),
        "a HAMT shard of 2 links with 3 bits set"
    );

    // Three links and three bits, but not the same slots.
    let twice = [links[0].clone(), links[0].clone(), links[1].clone()];
    assert!(refused(&twice, &sound).starts_with("a HAMT shard with two links in slot "));
    let named = |name: &[u8]| refused(&[pb_link(0, name)], &shard_data(256, &[0xab]));
    assert_eq!(
        named(b"A"),
        "a HAMT link's name of 1 bytes; the slot alone takes 2"
    );
    assert_eq!(
        named(b""),
        "a HAMT link's name of 0 bytes; the slot alone takes 2"
    );
    for name in ["aBx", "AAx", "+1x", "G0x", "\u{20ac}x"] {
        let reason = named(name.as_bytes());
        assert!(
            reason.ends_with("which is not a slot whose bit is set"),
            "{reason}"
        );
    }
    assert!(decoded(&[pb_link(0, "ABx")], &shard_data(256, &[0xab])).is_ok());
    // Three digits, beyond the fanout.
    let beyond = refused(&[pb_link(0, "FFFx")], &shard_data(512, &[0x1ff]));
    assert!(beyond.contains("\"FFF\""), "{beyond}");
}

#[test]
fn an_entry_that_does_not_hash_to_its_slot() {
    let slot = root_slot("a", 256);
    let wrong = slot ^ 1;
    let name = format!("{wrong:02X}a");
    let node = shard(block(&[pb_link(0, name)], &shard_data(256, &[wrong])));
    assert_eq!(node.lookup("a", Prefix::ROOT).unwrap(), Found::Absent);
    let mut listed = node.children(Prefix::ROOT);
    let error = listed.next().unwrap().unwrap_err();
    assert!(
        error
            .reason()
            .starts_with(&format!("a HAMT entry in slot {wrong:X} ")),
        "{error}"
    );
    assert!(listed.next().is_none());
}

/// One shard, linked from every slot of the shard above, and so on: 256^n visits from n blocks.
#[test]
fn a_repeated_shard_is_sound_in_one_place_only() {
    let everywhere: Vec<u16> = (0..256).collect();
    let links: Vec<PbLink> = everywhere
        .iter()
        .map(|slot| pb_link(1, format!("{slot:02X}")))
        .collect();
    let root = shard(block(&links, &shard_data(256, &everywhere)));
    let places: Vec<Prefix> = root
        .children(Prefix::ROOT)
        .map(|child| match child.unwrap() {
            ShardEntry::Shard { at, .. } => at,
            ShardEntry::Entry { name, .. } => panic!("{name}"),
        })
        .collect();
    assert_eq!(places.len(), 256);
    // A name that no path can have must not escape the check.
    for name in [&b"470.txt"[..], b"a/b", b"caf\xe9"] {
        let second = (hash64(name) >> 48 & 0xff) as u16;
        let full_name = [format!("{second:02X}").as_bytes(), name].concat();
        let leaf = shard(block(&[pb_link(0, full_name)], &shard_data(256, &[second])));
        let sound = places
            .iter()
            .filter(|at| leaf.children(**at).all(|child| child.is_ok()));
        assert_eq!(sound.count(), 1, "{name:?}");
    }
    let empty = shard(block(&[], &shard_data(256, &[])));
    for at in places {
        let error = empty.lookup("a", at).unwrap_err();
        assert_eq!(error.reason(), "an empty HAMT shard below the root");
        assert_eq!(empty.next_from(0, at).unwrap_err(), error);
    }
}

#[test]
fn no_deeper_than_the_hash_has_bits() {
    for (fanout, digits, levels) in [(8_u64, 1, 21), (256, 2, 8), (1024, 3, 6)] {
        let width = fanout.trailing_zeros();
        let mut at = Prefix::ROOT;
        for level in 0..levels {
            let slot = (hash64(b"deep") << (level * width) >> (64 - width)) as u16;
            let link = pb_link(0, format!("{slot:0digits$X}"));
            let node = shard(block(&[link], &shard_data(fanout, &[slot])));
            at = match node.lookup("deep", at).unwrap() {
                Found::Shard { at, .. } => at,
                other => panic!("{other:?} at level {level} of fanout {fanout}"),
            };
        }
        let link = pb_link(0, "0".repeat(digits));
        let node = shard(block(&[link], &shard_data(fanout, &[0])));
        let error = node.lookup("deep", at).unwrap_err();
        assert_eq!(
            error.reason(),
            format!(
                "a HAMT shard that takes {width} bits of the hash below {} bits; it has 64",
                levels * width
            )
        );
        assert_eq!(node.next_from(0, at).unwrap_err(), error);
    }
}

#[test]
fn bad_names_in_a_shard_are_skipped_and_counted() {
    let mut all: Vec<&[u8]> = NO_SEGMENTS
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect();
    all.push(b"good");
    let (links, data) = one_shard(&all);
    assert_eq!(links.len(), 8, "no two names of this test share a slot");
    let node = shard(block(&links, &data));
    assert_eq!(node.skipped(), 7);
    let listed: Vec<_> = node.children(Prefix::ROOT).map(Result::unwrap).collect();
    assert_eq!(
        listed,
        [ShardEntry::Entry {
            name: "good",
            link: link(7)
        }]
    );
    for name in all.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
        let found = node.lookup(name, Prefix::ROOT).unwrap();
        let expected = if name == "good" {
            Found::Entry(link(7))
        } else {
            Found::Absent
        };
        assert_eq!(found, expected, "{name}");
    }
}
