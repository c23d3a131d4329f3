//! Other projects' data: a guest walks every CAR of the IPFS gateway conformance suite. It must see what an independent
//! reader makes of the same blocks.
//!
//! The CARs are in the folder that `WASI_IPFS_FIXTURES` names, and are not part of the repository.

use std::{collections::BTreeMap, env, fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use cid::Cid;
use e2e::{Outcome, Preview, Run, guests};
use ipld_dagpb::PbNode;
use pinner_api::{BlockRequest, Pinner};
use pinner_car::CarPinner;
use pinset::{Access, PinsetBuilder};
use rust_unixfs::file::visit::IdleFileVisit;
use wasi_ipfs_fs::IpfsCtx;

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

fn cars() -> Option<Vec<PathBuf>> {
    let Some(folder) = env::var_os("WASI_IPFS_FIXTURES") else {
        println!("NOT RUN: WASI_IPFS_FIXTURES does not name the folder of fixtures");
        return None;
    };
    let folder = PathBuf::from(folder).join("car");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cars: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cars.sort();
    assert!(cars.len() >= 12, "too few in {}", folder.display());
    Some(cars)
}

/// An independent reader of UnixFS, built on `ipld-dagpb` and `rust-unixfs`. It is slow.
struct Reader<'a>(&'a CarPinner);

enum Thing {
    File(Vec<u8>),
    Directory(BTreeMap<String, Cid>),
    Symlink(String),
    /// A block is missing, or it is not UnixFS.
    Unreadable,
}

impl Reader<'_> {
    async fn block(&self, cid: &Cid) -> Option<Bytes> {
        let answer = self.0.block(&BlockRequest::new(*cid)).await.ok()?;
        Some(answer.bytes)
    }

    async fn read(&self, cid: &Cid) -> Thing {
        self.try_read(cid).await.unwrap_or(Thing::Unreadable)
    }

    async fn try_read(&self, cid: &Cid) -> Option<Thing> {
        let block = self.block(cid).await?;
        if cid.codec() == RAW {
            return Some(Thing::File(block.to_vec()));
        }
        if cid.codec() != DAG_PB {
            return None;
        }
        let node = PbNode::from_bytes(block).ok()?;
        let data = node.data?;
        // The first field of the UnixFS message is its type.
        match data.get(..2)? {
            [8, 1] => {
                let links = node.links.into_iter().rev();
                // The first of several equal names wins.
                let links = links.map(|link| (link.name.unwrap_or_default(), link.cid));
                Some(Thing::Directory(links.collect()))
            }
            [8, 5] => {
                let mut entries = BTreeMap::new();
                let mut shards = vec![*cid];
                while let Some(shard) = shards.pop() {
                    for link in PbNode::from_bytes(self.block(&shard).await?).ok()?.links {
                        match link.name.unwrap_or_default().get(2..)? {
                            "" => shards.push(link.cid),
                            name => _ = entries.insert(name.to_owned(), link.cid),
                        }
                    }
                }
                Some(Thing::Directory(entries))
            }
            // The type, the length, and the text.
            [8, 4] => Some(Thing::Symlink(String::from_utf8(data[4..].to_vec()).ok()?)),
            _ => self.file(cid).await.map(Thing::File),
        }
    }

    async fn file(&self, cid: &Cid) -> Option<Vec<u8>> {
        let root = self.block(cid).await?;
        let (bytes, _, _, mut rest) = IdleFileVisit::default().start(&root).ok()?;
        let mut all = bytes.to_vec();
        while let Some(visit) = rest {
            let next = *visit.pending_links().0;
            let block = self.block(&next).await?;
            let (bytes, after) = visit.continue_walk(&block, &mut None).ok()?;
            all.extend_from_slice(bytes);
            rest = after;
        }
        Some(all)
    }

    /// The expected output of `walk_hash`.
    async fn lines(&self, root: Cid) -> Vec<String> {
        let mut lines = Vec::new();
        let mut todo = vec![(root, String::new())];
        while let Some((cid, path)) = todo.pop() {
            lines.push(match self.read(&cid).await {
                Thing::File(bytes) => {
                    format!("f len={} fnv={:016x} {path:?}", bytes.len(), fnv(&bytes))
                }
                Thing::Symlink(target) => format!("l {target:?} {path:?}"),
                Thing::Unreadable => format!("e EIO {path:?}"),
                Thing::Directory(entries) => {
                    for (name, cid) in entries.into_iter().rev() {
                        // The name is not a path segment, so no guest can name it.
                        if ["", ".", ".."].contains(&&*name) || name.contains('/') {
                            continue;
                        }
                        let below = match &*path {
                            "" => name,
                            path => format!("{path}/{name}"),
                        };
                        todo.push((cid, below));
                    }
                    format!("d {path:?}")
                }
            });
        }
        lines
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

async fn run(pinner: &Arc<CarPinner>, root: Cid, preview: Preview, arguments: &[&str]) -> Outcome {
    let lock_dir = tempfile::tempdir().unwrap();
    let pinset =
        PinsetBuilder::new(pinner.clone(), 64 << 20).lock_dir(lock_dir.path().join("lock"));
    let mode = pinset.isolated().await.unwrap();
    let ctx = IpfsCtx::builder(mode, Access::roots([root])).build();
    let guest = match arguments[0] {
        "io_error" => guests::IO_ERROR,
        "missing_names" => guests::MISSING_NAMES,
        _ => guests::WALK_HASH,
    };
    let run = Run::new(arguments.iter().copied()).ipfs(ctx.await.unwrap());
    run.program(&guest.program(preview)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tree_is_what_an_independent_reader_makes_of_it() {
    let Some(cars) = cars() else { return };
    let mut walked = 0;
    for car in cars {
        let name = car.file_name().unwrap().to_string_lossy().into_owned();
        let pinner = Arc::new(CarPinner::open([&car]).await.unwrap());
        for root in pinner.roots().to_vec() {
            let reader = Reader(&pinner);
            if let Thing::Unreadable = reader.read(&root).await
                && root.codec() != DAG_PB
            {
                println!("{name}: {root} is no UnixFS");
                continue;
            }
            let expected = reader.lines(root).await;
            for preview in [Preview::One, Preview::Two] {
                let path = format!("/ipfs/{root}");
                let outcome = run(&pinner, root, preview, &["walk_hash", &path]).await;
                let lines: Vec<_> = outcome.success().lines().collect();
                assert_eq!(lines, expected, "{name} {root} {preview:?}");
            }
            println!("{name}: {root}: {} lines", expected.len());
            walked += 1;
        }
    }
    assert!(walked >= 12, "{walked}");
}

async fn one(name: &str) -> Option<(Arc<CarPinner>, Cid)> {
    let cars = cars()?;
    let car = cars.iter().find(|car| car.to_string_lossy().contains(name));
    let pinner = CarPinner::open([car.expect("the CAR")]).await.unwrap();
    let root = pinner.roots()[0];
    Some((Arc::new(pinner), root))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_block_is_an_error_of_just_the_reads_that_need_it() {
    let Some((pinner, root)) = one("missing-block").await else {
        return;
    };
    // The file itself, or a file below the root.
    let path = match Reader(&pinner).read(&root).await {
        Thing::Directory(entries) => format!("/ipfs/{root}/{}", entries.keys().next().unwrap()),
        _ => format!("/ipfs/{root}"),
    };
    for preview in [Preview::One, Preview::Two] {
        // Three blocks of 1,024 bytes; the second is missing.
        let good = ["good", "0", "1024", "good", "2048", "1024", "whole-bad"];
        let bad = [
            "bad", "1024", "1", "bad", "1000", "100", "bad", "2047", "10",
        ];
        let mut arguments = vec!["io_error", &path];
        arguments.extend(good);
        arguments.extend(bad);
        run(&pinner, root, preview, &arguments).await.success();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_walks_outside_reaches_nothing() {
    let Some((pinner, root)) = one("outside-root").await else {
        return;
    };
    // The hostile name is there...
    let hostile = pinner.block(&BlockRequest::new(root)).await.unwrap();
    let links = PbNode::from_bytes(hostile.bytes).unwrap().links;
    let names: Vec<_> = links.into_iter().filter_map(|link| link.name).collect();
    let outside = names.iter().find(|name| name.contains(".."));
    let outside = outside.unwrap_or_else(|| panic!("no such name: {names:?}"));
    println!("{outside:?}");
    for preview in [Preview::One, Preview::Two] {
        // ... but no guest sees it or reaches anything through it.
        let path = format!("/ipfs/{root}");
        let listed = run(&pinner, root, preview, &["walk_hash", &path]).await;
        assert!(!listed.success().contains(".."), "{}", listed.success());
        let path = format!("/ipfs/{root}/{outside}");
        let walked = run(&pinner, root, preview, &["walk_hash", &path]).await;
        let text = walked.text();
        assert!(
            text.starts_with("e ") && text.lines().count() == 1,
            "{text}"
        );
    }
}
