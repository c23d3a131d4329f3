//! Imports the content of every row of the golden tables, and compares it with the answers of a real Kubo 0.43, and with
//! the vectors of IPIP-499.
//!
//! `golden-cids.tsv` and `ipip-499.tsv` have the columns profile, options of `ipfs add`, name of the content, root CID, number of
//! distinct blocks, and whether the root is sharded.

use std::ops::ControlFlow;

use bytes::Bytes;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::Cid;
use pinner_car::{ImportOptions, Profile, import};
use test_support::golden::Content;

const TABLE: &str = include_str!("../golden-cids.tsv");

/// The vectors of IPIP-499, with the numbers of blocks as they come out here.
const IPIP_499: &str = include_str!("../ipip-499.tsv");

/// Files of this size or more have a test of their own.
const LARGE: u64 = 1 << 30;

struct Row {
    options: ImportOptions,
    content: Content,
    root: Cid,
    blocks: u64,
    sharded: Option<bool>,
    line: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Self {
        let [profile, options, name, root, blocks, sharded] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("six columns are wanted: {line}");
        };
        let mut row = Self {
            options: ImportOptions {
                profile: profile.parse().unwrap(),
                ..ImportOptions::default()
            },
            content: Content::parse(name),
            root: root.parse().unwrap(),
            blocks: blocks.parse().unwrap(),
            sharded: (sharded != "-").then_some(sharded == "yes"),
            line,
        };
        for option in options.split(' ') {
            match option {
                "-" | "-r" => {}
                "-H" => row.options.hidden = true,
                "--raw-leaves=false" => row.options.raw_leaves = Some(false),
                "--preserve-mode" => row.options.preserve_mode = true,
                "--preserve-mtime" => row.options.preserve_mtime = true,
                _ => panic!("an option this test does not know: {line}"),
            }
        }
        row
    }

    fn is_large(&self) -> bool {
        matches!(
            self.content,
            Content::Zeros(size) | Content::Stream(size) | Content::Keyed(_, size) if size >= LARGE
        )
    }

    fn check(&self) {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("content");
        self.content.make(&path);
        let (mut count, mut bytes, mut root_block) = (0, 0, Bytes::new());
        let sink = |cid, block: Bytes| {
            count += 1;
            bytes += block.len() as u64;
            if cid == self.root {
                root_block = block;
            }
            Ok(())
        };
        let imported = import(&path, &self.options, sink, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(imported.root, self.root, "{}", self.line);
        assert_eq!(imported.blocks, self.blocks, "{}", self.line);
        assert_eq!(
            (count, bytes),
            (imported.blocks, imported.block_bytes),
            "{}",
            self.line
        );
        assert_eq!(
            root_block,
            verified(&self.root, &root_block),
            "{}",
            self.line
        );
        if let Some(sharded) = self.sharded {
            let data = ipld_dagpb::PbNode::from_bytes(root_block)
                .unwrap()
                .data
                .unwrap();
            assert_eq!(data.starts_with(b"\x08\x05"), sharded, "{}", self.line);
        }
    }
}

/// The block, if its bytes match the CID.
fn verified(cid: &Cid, block: &Bytes) -> Bytes {
    assert_eq!(*cid.hash(), Code::Sha2_256.digest(block));
    block.clone()
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().map(Row::parse)
}

#[test]
fn every_small_row_comes_out() {
    let mut checked = 0;
    for row in rows().filter(|row| !row.is_large()) {
        row.check();
        checked += 1;
    }
    assert_eq!(checked, 56 - 4);
}

#[test]
fn the_small_vectors_of_ipip_499_come_out() {
    let mut checked = 0;
    for row in IPIP_499.lines().map(Row::parse) {
        if !row.is_large() {
            row.check();
            checked += 1;
        }
    }
    assert_eq!(checked, 14 - 2);
}

#[test]
fn the_vectors_of_ipip_499_of_a_gibibyte_come_out() {
    if std::env::var_os("WASI_IPFS_QUICK").is_some() {
        println!("NOT RUN: files of a gibibyte, in a quick run");
        return;
    }
    let rows = IPIP_499.lines().map(Row::parse);
    let large: Vec<_> = rows.filter(Row::is_large).collect();
    assert_eq!(large.len(), 2);
    large.iter().for_each(Row::check);
}

#[test]
fn every_row_of_a_gibibyte_comes_out() {
    let mut checked = 0;
    for row in rows().filter(Row::is_large) {
        row.check();
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn both_profiles_are_in_the_table() {
    for profile in Profile::ALL {
        assert!(
            rows().any(|row| row.options.profile == profile),
            "{profile}"
        );
    }
}
