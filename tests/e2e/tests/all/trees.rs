//! Large and deep trees, and a language's whole library, as guests read them.

use std::{fs, path::Path};

use cid::Cid;
use e2e::{Content, Guest, Preview, Program, Run, Sharing, Variant, guests};
use ipld_dagpb::{PbLink, PbNode};
use pinner_mock::MockNode;
use pinset::Access;
use tempfile::TempDir;
use test_support::{
    file_system::on_own,
    memory::{peak_bytes, reset_peak, resident_bytes},
};
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

const SHARED: Variant = Variant {
    preview: Preview::Two,
    sharing: Sharing::Shared,
};

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// How many directories lie one in the other.
const DEPTH: usize = 1000;

/// Puts a directory with one entry.
fn directory(node: &MockNode, name: &str, entry: Cid) -> Cid {
    let link = PbLink {
        cid: entry,
        name: Some(name.to_owned()),
        size: Some(5),
    };
    let block = PbNode {
        links: vec![link],
        data: Some(b"\x08\x01".to_vec().into()),
    };
    node.put(DAG_PB, block.into_bytes().to_vec())
}

/// All the way down, by one path and step by step, as natively.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nested_directories() {
    let node = MockNode::new();
    let mut root = directory(&node, "leaf", node.put(RAW, b"deep\n".to_vec()));
    for _ in 1..DEPTH {
        root = directory(&node, "d", root);
    }
    let host = TempDir::new().expect("a temporary directory");
    let deepest = host.path().join("d/".repeat(DEPTH - 1));
    fs::create_dir_all(&deepest).expect("the directories");
    fs::write(deepest.join("leaf"), "deep\n").expect("a file");

    let ctx = IpfsCtx::builder(SHARED.cache(&node).await, Access::roots([root]));
    let ctx = ctx.build().await.expect("a context");
    let root = format!("/ipfs/{root}");
    let leaf = format!("{root}/{}leaf", "d/".repeat(DEPTH - 1));
    let three = Guest::named("preview3").program(Preview::Two);
    for (program, words) in [
        (guests::CAT.program(Preview::One), vec!["cat", &leaf]),
        (guests::CAT.program(Preview::Two), vec!["cat", &leaf]),
        (three.clone(), vec!["preview3", "cat", &leaf]),
        (
            guests::WALK_HASH.program(Preview::One),
            vec!["walk_hash", &root],
        ),
        (
            guests::WALK_HASH.program(Preview::Two),
            vec!["walk_hash", &root],
        ),
        (three, vec!["preview3", "walk", &root]),
    ] {
        let run = || Run::new(words.iter().copied());
        let ours = run().ipfs(ctx.clone()).program(&program).await;
        let native = run().preopen(host.path(), &root, FsPerms::ReadOnly);
        let native = native.native().program(&program).await;
        assert_eq!(ours.success(), native.success(), "{words:.1?}");
        let lines = ours.success().lines().count();
        assert!(lines == 1 || lines == DEPTH + 1, "{lines} lines");
    }
}

/// The sizes of two directories.
const MANY: [usize; 2] = [20_000, 100_000];

/// The most memory that a listing takes, the guest's own included.
const LISTING_BYTES: u64 = 48 << 20;

#[test]
fn a_hundred_thousand_entries_are_listed_in_bounded_memory() {
    if std::env::var_os("WASI_IPFS_QUICK").is_some() {
        println!("NOT RUN: a directory of 100,000 entries, in a quick run");
        return;
    }
    let name = "trees::a_hundred_thousand_entries_are_listed_in_bounded_memory";
    on_own(name, "tmpfs", "size=512m,mode=700", |dir| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(list_many(dir));
    });
}

async fn list_many(dir: &Path) {
    for many in MANY {
        let tree = dir.join(many.to_string());
        fs::create_dir(&tree).expect("a directory");
        for number in 0..many {
            fs::write(tree.join(format!("{number:06}")), "").expect("a file");
        }
        let content = Content::import(&tree);
        for preview in [Preview::One, Preview::Two] {
            let program = guests::BENCH.program(preview);
            let ctx = SHARED.ctx(&content).await;
            let before = resident_bytes().expect("a number");
            assert!(reset_peak(), "the kernel keeps the peak");
            let run = Run::new(["bench", "list", &content.path(""), "1"]).ipfs(ctx);
            let listed = run.program(&program).await;
            let taken = peak_bytes().expect("a number").saturating_sub(before);
            // The checksum of a listing is the number of its entries.
            let listed = listed.success().split_whitespace().last();
            assert_eq!(listed, Some(&*format!("{many:016x}")));
            println!("{many} entries, {preview:?}: {taken} bytes of memory");
            assert!(taken < LISTING_BYTES, "{many}: {taken} bytes of memory");
        }
    }
}

/// Where CPython finds its library, and a program that uses much of it: everything must come from there.
const USES_ITS_LIBRARY: &str = "\
import argparse, ast, base64, csv, dataclasses, datetime, decimal, difflib, email.message, fractions
import hashlib, html.parser, http.client, inspect, json, logging.config, pathlib, pickle, random, re
import statistics, string, tarfile, tempfile, textwrap, typing, unittest.mock, uuid, xml.etree.ElementTree, zipfile
import sys
root = sys.argv[1]
found = sorted(name for name, module in sys.modules.items() if (getattr(module, '__file__', None) or '').startswith(root))
print(len(found) > 100, found)
print(json.dumps({'sum': str(decimal.Decimal('0.1') + decimal.Decimal('0.2'))}))
print(datetime.date(2024, 2, 29).isoformat(), statistics.median([3, 1, 2]), textwrap.fill('a b c', 3))
print(hashlib.sha256(b'abc').hexdigest(), re.sub('b', 'x', 'abc'))
";

/// The library is in a zip file within the module.
const UNPACKS_ITS_LIBRARY: &str = "\
import sys, zipfile
packed = next(path for path in sys.path if path.endswith('.zip'))
zipfile.ZipFile(packed).extractall('/out')
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_language_reads_its_library_out_of_ipfs() {
    let program = Program::from_file(crate::matrix::guests().join("matrix/python.wasm"));
    let library = TempDir::new().expect("a temporary directory");
    let run = Run::new(["python", "-c", UNPACKS_ITS_LIBRARY]);
    let run = run.preopen(library.path(), "/out", FsPerms::ReadWrite);
    run.native().program(&program).await.success();

    let content = Content::import(library.path());
    let root = content.path("");
    let run = || {
        let run = Run::new(["python", "-B", "-c", USES_ITS_LIBRARY, &root]);
        run.env("PYTHONPATH", &root)
    };
    let ours = run().ipfs(SHARED.ctx(&content).await);
    let ours = ours.program(&program).await;
    let native = run().preopen(library.path(), &root, FsPerms::ReadOnly);
    let native = native.native().program(&program).await;
    assert_eq!(ours.success(), native.success(), "{}", ours.stderr);
    assert!(ours.success().starts_with("True ["), "{}", ours.success());
    let asked = content.node.distinct_blocks_asked();
    println!("{asked} of {} blocks", content.blocks.len());
    assert!(asked < content.blocks.len());
}
