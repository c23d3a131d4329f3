//! Archives at URLs: what is asked for, what is said, and what is refused.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pinner_car::parse_car;
use toy_http::{Asked, Reply, ToyServer};

use crate::{harness::Scene, run::built_guests};

/// A server of one archive by ranges, and the runtime that it needs.
struct Served {
    server: ToyServer,
    /// Whether each answer takes as long as over a line of 42 ms.
    slow: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn start(bytes: Vec<u8>) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let slow = Arc::new(AtomicBool::new(false));
        let is_slow = slow.clone();
        let server = runtime.block_on(ToyServer::start(move |asked| {
            let answer = answer(&bytes, asked);
            match is_slow.load(Ordering::SeqCst) {
                true => answer.after(Duration::from_millis(42)),
                false => answer,
            }
        }));
        Self {
            slow,
            server: server.expect("it listens"),
            _runtime: runtime,
        }
    }

    fn url(&self) -> String {
        format!("{}/tree.car?signature=s3cret", self.server.url())
    }
}

fn answer(bytes: &[u8], asked: &Asked) -> Reply {
    let range = asked.header("range").and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
    });
    let Some((from, to)) = range else {
        return Reply::with(400, &[], "no range");
    };
    let end = bytes.len().min(to + 1);
    let range = format!("bytes {from}-{}/{}", end - 1, bytes.len());
    let headers = [("Content-Range", &*range), ("ETag", "\"1\"")];
    Reply::with(206, &headers, &bytes[from..end])
}

#[test]
fn an_archive_at_a_url_is_read_once_and_its_index_is_kept() {
    let scene = Scene::new();
    let bytes = fs::read(scene.path("tree.car")).expect("the archive");
    let served = Served::start(bytes);
    let path = format!("/ipfs/{}/large", scene.cid);
    let cat = || {
        let ended = scene.call("cat", &["--car", &served.url(), &path]);
        ended.succeeded();
        assert_eq!(
            ended.stdout,
            fs::read(scene.path("tree/large")).expect("the file")
        );
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        ended.stderr
    };
    let said = cat();
    assert!(
        said.contains("has no index") && said.contains("in 1 request"),
        "{said}"
    );
    let (first, before) = (cat(), served.server.requests().len());
    assert_eq!(first, "");
    // The roots are granted, and listed.
    let listed = scene.call("ls", &["--car", &served.url()]);
    listed.succeeded();
    assert!(listed.text().contains(&scene.cid), "{}", listed.text());
    assert_eq!(served.server.requests().len(), before + 1);
    assert_eq!(
        fs::read_dir(scene.cache_path("wasi-ipfs/archives"))
            .expect("kept")
            .count(),
        1
    );
}

#[test]
fn a_remote_archive_and_a_file_are_sources_together() {
    let scene = Scene::new();
    scene.write("other.txt", b"other\n");
    let other = scene.import(&["other.txt", "-o", "other.car"]);
    let served = Served::start(fs::read(scene.path("tree.car")).expect("the archive"));
    for path in [
        format!("/ipfs/{}/a.txt", scene.cid),
        format!("/ipfs/{other}"),
    ] {
        let ended = scene.call(
            "cat",
            &["--car", "other.car", "--car", &served.url(), &path],
        );
        ended.succeeded();
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let scene = Scene::new();
    let served = Served::start(fs::read(scene.path("tree.car")).expect("the archive"));
    let url = served.url();
    for (flags, said) in [
        (&["--car", "gs://bucket/x.car"][..], "Google"),
        (&["--car", "az://bucket/x.car"], "Azure"),
        (&["--car", "ftp://example.org/x.car"], "https://"),
        (&["--car", "http://192.0.2.1/x.car"], "plain http"),
        (
            &["--car", &url, "--car-scan-limit", "1MiB"],
            "--car-scan-limit",
        ),
    ] {
        let ended = scene.call("ls", flags);
        assert_ne!(ended.status, 0);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    // No more than the head was read.
    assert_eq!(served.server.requests().len(), 1);
}

/// A CARv2 around a CARv1, with an index of its sections.
fn indexed(car: &[u8]) -> Vec<u8> {
    let sections = parse_car(car).expect("a CAR").sections;
    let mut entries = Vec::new();
    let mut end = None;
    for section in &sections {
        let cid = section.cid.to_bytes().len() as u64;
        let length = u64::from(section.length) + cid;
        let varint = match length {
            ..0x80 => 1,
            0x80..0x4000 => 2,
            0x4000..0x20_0000 => 3,
            _ => 4,
        };
        let start = section.offset - cid - varint;
        // Each section starts where the one before it ends.
        assert!(end.is_none_or(|end| end == start));
        end = Some(section.offset + u64::from(section.length));
        entries.push([section.cid.hash().digest(), &start.to_le_bytes()].concat());
    }
    entries.sort();
    let bucket = entries.concat();
    let index = [
        &[0x81, 0x08][..],
        &1u32.to_le_bytes(),
        &0x12u64.to_le_bytes(),
        &1u32.to_le_bytes(),
        &40u32.to_le_bytes(),
        &(bucket.len() as u64).to_le_bytes(),
        &bucket,
    ]
    .concat();
    let numbers = [51, car.len() as u64, 51 + car.len() as u64];
    let numbers = numbers.map(u64::to_le_bytes).concat();
    [
        b"\x0a\xa1\x67version\x02",
        &[0; 16][..],
        &numbers,
        car,
        &index,
    ]
    .concat()
}

/// The same tree over a file of 256 MiB has as many levels.
#[test]
fn a_read_in_the_middle_of_a_file_costs_few_requests() {
    let guest = built_guests().join("p1/io_error.wasm");
    if !guest.is_file() {
        let guest = guest.display();
        println!("NOT RUN: {guest} is not there; `cargo xtask guests` builds it");
        return;
    }
    let guest = guest.to_str().expect("a path in UTF-8");
    let scene = Scene::new();
    fs::create_dir(scene.path("big")).expect("a folder");
    // No two blocks are equal, and there are no escape codes.
    let numbers = (0..6_000_000_u32).map(|number| format!("{number:08}"));
    let bytes = numbers.collect::<String>().into_bytes();
    scene.write("big/large.bin", &bytes);
    scene.write("big/small.txt", b"small\n");
    // Leaves of 256 KiB, so that there is a level between them and the root.
    let cid = scene.import(&["big", "--profile", "unixfs-v0-2015", "-o", "big.car"]);
    let served = Served::start(indexed(
        &fs::read(scene.path("big.car")).expect("the archive"),
    ));
    let path = format!("/ipfs/{cid}/large.bin");
    let call = [
        "--car",
        &served.url(),
        guest,
        &path,
        "good",
        "24000000",
        "4096",
    ];
    let ended = scene.call("run", &call);
    ended.succeeded();
    assert_eq!(ended.stderr, "", "nothing is scanned");
    let requests = served.server.requests().len();
    println!("{requests} requests");
    // The head, the index, the directory, the file's root, a node, and a leaf.
    assert!(requests <= 6, "{requests} requests");
    assert_eq!(ended.text().lines().count(), 1, "{}", ended.text());

    // From the start to the end, blocks that lie near each other come together, ahead of the reader.
    served.slow.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let ended = scene.call("cat", &["--car", &served.url(), &path]);
    assert!(ended.succeeded().stdout == bytes);
    let sequential = served.server.requests().len() - requests;
    println!("{sequential} requests of 42 ms, {:?}", begun.elapsed());
    assert!(sequential <= 100, "{sequential} requests for 184 leaves");
}
