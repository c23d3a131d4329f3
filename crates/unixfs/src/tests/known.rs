//! Blocks whose meaning is known, of each kind of node.

use super::*;
use crate::{Found, LinkPosition, Mtime, ShardEntry, links, parse_cid_bytes};

#[test]
fn a_raw_block_is_a_leaf_over_all_of_it() {
    let Node::File(node) = decode(Codec::Raw, Bytes::from_static(b"hello")).unwrap() else {
        panic!("no file")
    };
    assert!(node.is_leaf());
    assert_eq!((node.len(), node.payload(), node.children()), (5, 0..5, 0));
    assert_eq!(node.locate(2), Piece::Inline { span: 2..5 });
    assert_eq!(node.locate(5), Piece::End);
    assert_eq!((node.mode(), node.mtime()), (None, None));
    assert_eq!(Node::File(node).declared_size(5), 5);
}

#[test]
fn an_empty_raw_block_is_an_empty_file() {
    let Node::File(node) = decode(Codec::Raw, Bytes::new()).unwrap() else {
        panic!("no file")
    };
    assert_eq!((node.len(), node.locate(0)), (0, Piece::End));
}

/// The block of `QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn`, which every node has.
#[test]
fn the_empty_directory() {
    let node = directory(Bytes::from_static(&[0x0a, 0x02, 0x08, 0x01]));
    assert_eq!((node.entries(), node.skipped()), (0, 0));
    assert_eq!(node.lookup("a").unwrap(), None);
    assert_eq!(node.entry(0).unwrap(), None);
}

#[test]
fn a_leaf_keeps_nothing_of_its_block() {
    let block = block(&[], &file_data(&[7; 100_000], &[]));
    let node = file(block.clone());
    assert_eq!(block[node.payload()], [7; 100_000]);
    assert!(node.weight() < 200, "{}", node.weight());
}

#[test]
fn types_raw_and_file_are_the_same_to_a_reader() {
    for kind in [0, FILE] {
        let bytes = block(
            &[],
            &PbData {
                kind: Some(kind),
                ..file_data(b"abc", &[])
            },
        );
        assert_eq!(bytes[file(bytes.clone()).payload()], *b"abc");
    }
}

#[test]
fn inline_bytes_come_before_the_children() {
    let bytes = block(&named(&["", "", ""]), &file_data(b"abc", &[10, 0, 5]));
    let node = file(bytes.clone());
    assert_eq!(
        (node.len(), node.children(), node.is_leaf()),
        (18, 3, false)
    );
    let payload = node.payload();
    assert_eq!(bytes[payload.clone()], *b"abc");
    assert_eq!(
        node.locate(1),
        Piece::Inline {
            span: payload.start + 1..payload.end
        }
    );
    let child = |index, start, len| Piece::Child { index, start, len };
    assert_eq!(node.locate(3), child(0, 3, 10));
    assert_eq!(node.locate(12), child(0, 3, 10));
    assert_eq!(node.locate(13), child(2, 13, 5));
    assert_eq!(node.locate(17), child(2, 13, 5));
    assert_eq!(node.locate(18), Piece::End);
    assert_eq!(node.locate(u64::MAX), Piece::End);
    let lens: Vec<_> = (0..4).map(|index| node.child_len(index)).collect();
    assert_eq!(lens, [Some(10), Some(0), Some(5), None]);
    assert_eq!(node.child(2).unwrap(), link(2));
    assert_eq!(node.child(3).unwrap_err().reason(), "no child 3 among 3");
}

#[test]
fn packed_blocksizes_and_a_missing_filesize_are_legal() {
    // Type 2, then blocksizes 3 and 300 packed.
    let message = [0x08, 0x02, 0x22, 0x03, 0x03, 0xac, 0x02];
    let mut bytes = block(&named(&["", ""]), &data(FILE)).to_vec();
    bytes.truncate(bytes.len() - 4);
    bytes.extend(field(0x0a, &message));
    let node = file(bytes.into());
    assert_eq!(node.len(), 303);
    assert_eq!(
        node.locate(3),
        Piece::Child {
            index: 1,
            start: 3,
            len: 300
        }
    );
}

#[test]
fn data_before_the_links_is_legal() {
    let mut bytes = field(0x0a, &data(DIRECTORY).encode_to_vec());
    bytes.extend(field(0x12, &pb_link(0, "a").encode_to_vec()));
    assert_eq!(names(&directory(bytes.into())), ["a"]);
}

#[test]
fn modes_and_times() {
    let with = |mode, seconds, nanos| {
        let node = decoded(
            &[],
            &PbData {
                mode,
                mtime: Some(PbTime { seconds, nanos }),
                ..data(DIRECTORY)
            },
        )
        .unwrap();
        (node.mode(), node.mtime())
    };
    let at = |seconds, nanos| Some(Mtime { seconds, nanos });
    assert_eq!(
        with(Some(0o755), Some(-1000), Some(500_000_000)),
        (Some(0o755), at(-1000, 500_000_000))
    );
    assert_eq!(
        with(Some(0o100_4755), Some(1), None),
        (Some(0o4755), at(1, 0))
    );
    assert_eq!(
        with(None, Some(1), Some(999_999_999)),
        (None, at(1, 999_999_999))
    );
    // A time out of range counts as missing.
    assert_eq!(with(None, Some(1), Some(1_000_000_000)), (None, None));
    assert_eq!(with(None, None, Some(1)), (None, None));

    let dated = |data: PbData| PbData {
        mode: Some(0o644),
        mtime: Some(PbTime {
            seconds: Some(5),
            nanos: Some(6),
        }),
        ..data
    };
    for data in [
        dated(file_data(b"", &[])),
        dated(data(DIRECTORY)),
        dated(shard_data(256, &[])),
        dated(data(SYMLINK)),
    ] {
        let node = decoded(&[], &data).unwrap();
        assert_eq!(
            (node.mode(), node.mtime()),
            (Some(0o644), at(5, 6)),
            "{node:?}"
        );
    }
}

#[test]
fn a_sorted_and_an_unsorted_directory_find_the_same() {
    let sorted = named(&["a", "ab", "b", "ü"]);
    let unsorted: Vec<PbLink> = sorted.iter().rev().cloned().collect();
    let (sorted, unsorted) = (
        directory(block(&sorted, &data(DIRECTORY))),
        directory(block(&unsorted, &data(DIRECTORY))),
    );
    assert_eq!(names(&sorted), ["a", "ab", "b", "ü"]);
    assert_eq!(names(&unsorted), ["ü", "b", "ab", "a"]);
    for node in [&sorted, &unsorted] {
        for (number, name) in (0..).zip(["a", "ab", "b", "ü"]) {
            assert_eq!(node.lookup(name).unwrap(), Some(link(number)), "{name}");
        }
        for absent in ["", "A", "aa", "abc", "u", "z"] {
            assert_eq!(node.lookup(absent).unwrap(), None, "{absent}");
        }
    }
    assert!(unsorted.weight() > sorted.weight());
}

#[test]
fn a_name_of_more_than_255_bytes_is_readable() {
    let long = "n".repeat(300);
    let node = directory(block(&named(&[&long]), &data(DIRECTORY)));
    assert_eq!(node.lookup(&long).unwrap(), Some(link(0)));
}

#[test]
fn a_symlink_is_its_target() {
    for target in ["../a/ü", "", "/abs", "a\0b"] {
        let node = symlink(block(
            &[],
            &PbData {
                data: Some(target.into()),
                ..data(SYMLINK)
            },
        ));
        assert_eq!(node.target(), target);
    }
}

#[test]
fn an_identity_cid_is_inline_up_to_128_bytes() {
    let identity = |codec: u8, bytes: &[u8]| {
        let mut field = vec![1, codec, 0];
        prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
        Bytes::from([&field, bytes].concat())
    };
    for (codec, number) in [
        (Codec::Raw, 0x55),
        (Codec::DagPb, 0x70),
        (Codec::Other(0x71), 0x71),
    ] {
        for len in [0, 1, 64, 65, 128] {
            let parsed = parse_cid_bytes(&identity(number, &vec![9; len])).unwrap();
            assert_eq!(
                parsed,
                Target::Inline {
                    codec,
                    bytes: vec![9; len].into()
                }
            );
            assert_eq!(parsed.codec(), codec);
            assert_eq!(u64::from(codec), u64::from(number));
        }
    }
    let reason = parse_cid_bytes(&identity(0x55, &[9; 129])).unwrap_err();
    assert!(
        reason
            .reason()
            .starts_with("a CID of 134 bytes does not parse"),
        "{reason}"
    );

    let mut inline = pb_link(0, "i");
    inline.hash = Some(identity(0x55, b"inside"));
    let node = directory(block(&[inline], &data(DIRECTORY)));
    let target = node.lookup("i").unwrap().unwrap().target;
    assert_eq!(
        target,
        Target::Inline {
            codec: Codec::Raw,
            bytes: "inside".into()
        }
    );
}

#[test]
fn cids_of_both_versions() {
    let hash = *cid(7).hash();
    let v0 = Cid::new_v0(hash).unwrap();
    let parsed = parse_cid_bytes(&v0.to_bytes().into()).unwrap();
    assert_eq!(parsed.codec(), Codec::DagPb);
    assert_eq!(parsed, Target::Block(v0));
    let v1 = Cid::new_v1(0x71, hash);
    assert_eq!(
        parse_cid_bytes(&v1.to_bytes().into()).unwrap(),
        Target::Block(v1)
    );
}

#[test]
fn links_of_any_dag_pb_node_and_of_raw() {
    let all = |codec, block: &Bytes| -> Vec<Link> {
        links(codec, block).unwrap().map(Result::unwrap).collect()
    };
    let twice = [pb_link(0, "a"), pb_link(1, "../x"), pb_link(0, "a")];
    let bytes = block(&twice, &data(DIRECTORY));
    assert_eq!(all(Codec::DagPb, &bytes), [link(0), link(1), link(0)]);
    assert_eq!(all(Codec::Raw, &bytes), []);
    assert_eq!(
        all(Codec::DagPb, &field(0x12, &twice[1].encode_to_vec()).into()),
        [link(1)]
    );
    assert_eq!(all(Codec::DagPb, &Bytes::new()), []);

    let dag_cbor = links(Codec::Other(0x71), &bytes).unwrap_err();
    assert!(dag_cbor.reason().starts_with("codec 0x71 "), "{dag_cbor}");
    let cut = bytes.slice(..bytes.len() - 1);
    let mut cut = links(Codec::DagPb, &cut).unwrap().skip(3);
    assert!(cut.next().unwrap().is_err());
    assert!(cut.next().is_none());
}

#[test]
fn links_go_on_where_they_were_left() {
    let three = [pb_link(0, "a"), pb_link(1, "b"), pb_link(2, "c")];
    let links_first = block(&three, &data(DIRECTORY));
    let data_len = links_first.len()
        - three
            .map(|l| field(0x12, &l.encode_to_vec()).len())
            .iter()
            .sum::<usize>();
    let (before, behind) = links_first.split_at(links_first.len() - data_len);
    let data_first = Bytes::from([behind, before].concat());
    for bytes in [links_first.clone(), data_first] {
        let mut at = LinkPosition::default();
        for number in 0..3 {
            let mut rest = links(Codec::DagPb, &bytes).unwrap().resumed_at(at);
            assert_eq!(rest.next(), Some(Ok(link(number))));
            at = rest.position();
        }
        let mut rest = links(Codec::DagPb, &bytes).unwrap().resumed_at(at);
        assert_eq!(rest.next(), None);
    }
    // The form of the block is checked across a pause.
    let wrong = Bytes::from([before, behind, &before[..before.len() / 3]].concat());
    let mut rest = links(Codec::DagPb, &wrong).unwrap();
    assert_eq!(rest.by_ref().take(3).filter(Result::is_ok).count(), 3);
    let at = rest.position();
    let mut rest = links(Codec::DagPb, &wrong).unwrap().resumed_at(at);
    assert!(rest.next().unwrap().is_err());
    assert_eq!(rest.next(), None);
}

#[test]
fn declared_sizes_add_up_and_saturate() {
    let mut three = named(&["a", "b", "c"]);
    three[1].tsize = Some(100);
    three[2].tsize = None;
    let size = |links: &[PbLink], data: &PbData| decoded(links, data).unwrap().declared_size(50);
    assert_eq!(size(&three, &data(DIRECTORY)), 151);
    assert_eq!(size(&three, &file_data(b"", &[1, 2, 3])), 151);
    assert_eq!(size(&[], &data(SYMLINK)), 50);
    let (links, data) = one_shard(&[b"a", b"b"]);
    assert_eq!(size(&links, &data), 52);
    three[0].tsize = Some(u64::MAX);
    assert_eq!(size(&three, &super::data(DIRECTORY)), u64::MAX);
}

#[test]
fn a_shard_finds_by_slot() {
    // 470.txt hashes to 006e…: at fanout 256 it is in slot 0, and in slot 6E of a shard there.
    let root = shard(block(&[pb_link(1, "00")], &shard_data(256, &[0])));
    let Found::Shard { link: below, at } = root.lookup("470.txt", Prefix::ROOT).unwrap() else {
        panic!("no sub-shard")
    };
    assert_eq!(below, link(1));
    let listed: Vec<_> = root.children(Prefix::ROOT).collect();
    assert_eq!(
        listed,
        [Ok(ShardEntry::Shard {
            slot: 0,
            link: link(1),
            at
        })]
    );

    let leaf = shard(block(&[pb_link(2, "6E470.txt")], &shard_data(256, &[0x6e])));
    assert_eq!(leaf.fanout(), 256);
    assert_eq!(leaf.lookup("470.txt", at).unwrap(), Found::Entry(link(2)));
    let entry = ShardEntry::Entry {
        name: "470.txt",
        link: link(2),
    };
    assert_eq!(leaf.next_from(0, at).unwrap(), Some((entry, 1)));
    assert_eq!(leaf.next_from(1, at).unwrap(), None);
    // A name in another slot, and another name in the same slot.
    assert_eq!(leaf.lookup("471.txt", at).unwrap(), Found::Absent);
    let same_slot = (0..)
        .map(|n| format!("n{n}"))
        .find(|n| hash64(n.as_bytes()) >> 48 == 0x006e);
    assert_eq!(leaf.lookup(&same_slot.unwrap(), at).unwrap(), Found::Absent);
}

#[test]
fn every_fanout_has_its_number_of_digits() {
    for (fanout, digits) in [
        (8_u64, 1),
        (16, 1),
        (32, 2),
        (64, 2),
        (128, 2),
        (256, 2),
        (512, 3),
        (1024, 3),
    ] {
        let slot = root_slot("ünïcödé", fanout);
        let name = format!("{slot:0digits$X}ünïcödé");
        let node = shard(block(&[pb_link(0, name)], &shard_data(fanout, &[slot])));
        assert_eq!(
            node.lookup("ünïcödé", Prefix::ROOT).unwrap(),
            Found::Entry(link(0)),
            "{fanout}"
        );
        assert_eq!(node.children(Prefix::ROOT).count(), 1);
    }
}

#[test]
fn an_empty_hamt_is_an_empty_directory() {
    let node = shard(block(&[], &shard_data(256, &[])));
    assert_eq!(node.children(Prefix::ROOT).count(), 0);
    assert_eq!(node.lookup("a", Prefix::ROOT).unwrap(), Found::Absent);
}

#[test]
fn leading_zero_bytes_of_a_bit_field_and_any_order_of_links_are_legal() {
    let (mut links, mut data) = one_shard(&[b"a", b"b", b"c"]);
    links.reverse();
    let mut padded = vec![0; 32 - data.data.as_ref().unwrap().len()];
    padded.extend_from_slice(&data.data.unwrap());
    data.data = Some(padded.into());
    let node = shard(block(&links, &data));
    for (number, name) in (0..).zip(["a", "b", "c"]) {
        assert_eq!(
            node.lookup(name, Prefix::ROOT).unwrap(),
            Found::Entry(link(number))
        );
    }
}

#[test]
fn a_node_that_keeps_its_block_weighs_as_much() {
    let links: Vec<PbLink> = (0..100)
        .map(|number| pb_link(number, format!("{number:03}")))
        .collect();
    let (shard_links, shard_data) = one_shard(&[b"a", b"b"]);
    for (links, data) in [
        (&links, &data(DIRECTORY)),
        (&links, &file_data(b"", &[9; 100])),
        (&shard_links, &shard_data),
    ] {
        let bytes = block(links, data);
        let node = decode(Codec::DagPb, bytes.clone()).unwrap();
        assert!(
            node.weight() > bytes.len() + 8 * links.len(),
            "{}",
            node.weight()
        );
        assert!(
            node.weight() < bytes.len() + 16 * links.len() + 300,
            "{}",
            node.weight()
        );
    }
    assert!(decoded(&[], &data(SYMLINK)).unwrap().weight() < 200);
}
