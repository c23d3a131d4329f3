//! Only touched blocks are fetched, as counted by an independent reader of the same DAG.

use std::{fs, time::Instant};

use cid::Cid;
use e2e::{Content, Preview, Run, Sharing, Variant, guests};
use ipld_dagpb::PbNode;
use pinner_mock::{Call, MockNode};

const FILES: usize = 20_000;
const LARGE: &str = "large.bin";
const MIB: usize = 1 << 20;
const LARGE_BYTES: usize = 256 * MIB;

/// A directory of 20,000 entries, of which one is a file of 256 MiB.
fn content() -> Content {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..FILES {
        fs::write(dir.path().join(format!("{n:05}.txt")), format!("{n}\n")).unwrap();
    }
    // No two blocks are equal.
    let large: Vec<u8> = (0..LARGE_BYTES as u64 / 8)
        .flat_map(u64::to_le_bytes)
        .collect();
    fs::write(dir.path().join(LARGE), large).unwrap();
    Content::import(dir.path())
}

async fn block(node: &MockNode, cid: &Cid) -> PbNode {
    use pinner_api::{BlockRequest, Pinner};
    let answer = node.block(&BlockRequest::new(*cid)).await.unwrap();
    PbNode::from_bytes(answer.bytes).unwrap()
}

/// The blocks from the directory's root to the entry, found by walking all shards, without hashing the name.
async fn way_to(node: &MockNode, root: Cid, name: &str) -> Vec<Cid> {
    let mut todo = vec![vec![root]];
    while let Some(way) = todo.pop() {
        for link in block(node, way.last().unwrap()).await.links {
            let mut way = way.clone();
            way.push(link.cid);
            match link.name.unwrap_or_default().get(2..) {
                Some("") => todo.push(way),
                Some(entry) if entry == name => return way,
                _ => {}
            }
        }
    }
    panic!("no {name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_read_in_the_middle_of_one_of_many_fetches_the_blocks_on_its_path() {
    let content = content();
    let mut way = way_to(&content.node, content.root, LARGE).await;
    // Leaves of 1 MiB, in order, under one root.
    let offset = LARGE_BYTES / 2 + 12_345;
    let file = block(&content.node, way.last().unwrap()).await;
    way.push(file.links[offset / MIB].cid);
    assert!(way.len() <= 6, "{way:?}");
    for preview in [Preview::One, Preview::Two] {
        let variant = Variant {
            preview,
            sharing: Sharing::Isolated,
        };
        let (path, at) = (content.path(LARGE), offset.to_string());
        content.node.clear_log();
        let ctx = variant.ctx(&content).await;
        let started = Instant::now();
        let run = Run::new(["io_error", &path, "good", &at, "4096"]).ipfs(ctx);
        run.program(&variant.program(guests::IO_ERROR))
            .await
            .success();
        eprintln!("{preview:?}: the read took {:?}", started.elapsed());
        let mut asked: Vec<Cid> = blocks_asked(&content.node);
        let mut expected = way.clone();
        asked.sort();
        expected.sort();
        assert_eq!(asked, expected, "{preview:?}");
    }
}

fn blocks_asked(node: &MockNode) -> Vec<Cid> {
    let log = node.log().into_iter();
    log.filter_map(|call| match call {
        Call::Block { cid, .. } => Some(cid),
        _ => None,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_many_and_their_metadata_fetch_no_file() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        fs::write(dir.path().join(format!("{n:05}.txt")), format!("{n}\n")).unwrap();
    }
    let content = Content::import(dir.path());
    let variant = Variant {
        preview: Preview::Two,
        sharing: Sharing::Shared,
    };
    content.node.clear_log();
    let ctx = variant.ctx(&content).await;
    let run = Run::new(["bench", "list", &content.path(""), "1"]).ipfs(ctx.clone());
    let listed = run.program(&variant.program(guests::BENCH)).await;
    // The checksum of a listing is the number of its entries.
    let listed = listed.success().split_whitespace().last();
    assert_eq!(listed, Some(&*format!("{FILES:016x}")));
    let stat = |n: usize| {
        [
            "stat".to_owned(),
            content.path(&format!("{n:05}.txt")),
            "1".to_owned(),
        ]
    };
    let stats = ["bench".to_owned()]
        .into_iter()
        .chain((0..FILES).flat_map(stat));
    let stat = Run::new(stats)
        .ipfs(ctx)
        .program(&variant.program(guests::BENCH))
        .await;
    // The checksum of `stat` is the file's length, which is that of its number and a newline.
    let lengths = stat
        .success()
        .lines()
        .map(|line| line.split_whitespace().last());
    let expected = (0..FILES).map(|n| format!("{:016x}", n.to_string().len() + 1));
    assert!(expected.eq(lengths.map(|length| length.unwrap_or_default().to_owned())));
    // Only directory blocks were requested, and each of them once.
    let asked = blocks_asked(&content.node);
    assert!(asked.iter().all(|cid| cid.codec() == 0x70));
    let shards = content.node.blocks();
    let shards = shards.iter().filter(|cid| cid.codec() == 0x70).count();
    assert_eq!(asked.len(), shards);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_read_needs_nothing_of_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..8 * MIB as u64 / 8).flat_map(u64::to_le_bytes).collect();
    fs::write(dir.path().join(LARGE), large).unwrap();
    let content = Content::import(dir.path());
    let file = way_to_plain(&content.node, content.root, LARGE).await;
    let leaves = block(&content.node, &file).await.links;
    for leaf in &leaves[1..] {
        assert!(content.node.remove(&leaf.cid));
    }
    for preview in [Preview::One, Preview::Two] {
        let variant = Variant {
            preview,
            sharing: Sharing::Isolated,
        };
        let path = content.path(LARGE);
        let run = Run::new([
            "io_error", &path, "good", "0", "65536", "bad", "1048576", "10",
        ]);
        let run = run.ipfs(variant.ctx(&content).await);
        run.program(&variant.program(guests::IO_ERROR))
            .await
            .success();
    }
}

async fn way_to_plain(node: &MockNode, root: Cid, name: &str) -> Cid {
    let links = block(node, &root).await.links;
    let found = links.iter().find(|link| link.name.as_deref() == Some(name));
    found.expect("the entry").cid
}
