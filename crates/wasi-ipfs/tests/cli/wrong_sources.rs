//! Sources that lie, drip or are damaged, before and behind sources that are right.

use std::{
    collections::HashMap,
    fs,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use pinner_api::{Bytes, Cid};
use pinner_car::{ImportOptions, import, parse_car};
use test_support::content::{MIB, stream};
use toy_http::{Asked, Reply, Step};

use crate::{
    harness::{Scene, large},
    sources::Toy,
};

const RAW: &str = "application/vnd.ipld.raw";

/// How long a slow gateway is waited for before the next is asked.
const HEDGE: Duration = Duration::from_secs(1);

/// The time that a busy machine may add.
const SLACK: Duration = Duration::from_secs(3);

#[test]
fn one_right_gateway_of_three_is_enough_in_every_order() {
    let scene = Scene::new();
    // Without escapes, of which every output is free.
    let bytes: Vec<_> = stream(64 * MIB)
        .into_iter()
        .map(|byte| byte | 0x80)
        .collect();
    scene.write("file", &bytes);
    let mut blocks = HashMap::new();
    let sink = |cid: Cid, block: Bytes| {
        blocks.insert(cid, block);
        Ok(())
    };
    let options = ImportOptions::default();
    let imported = import(scene.path("file"), &options, sink, |_| {
        ControlFlow::Continue(())
    });
    let root = imported.expect("imported").root.to_string();

    let blocks = Arc::new(blocks);
    let of = {
        let blocks = blocks.clone();
        move |asked: &Asked| {
            let cid: Cid = asked.last_segment().parse().expect("a CID");
            blocks[&cid].clone()
        }
    };
    let (right, lie, drip) = (of.clone(), of.clone(), of);
    let right = Toy::start(move |asked| Reply::ok(RAW, right(asked)));
    let liar = Toy::start(move |asked| {
        let mut bytes = lie(asked).to_vec();
        bytes[0] ^= 1;
        Reply::ok(RAW, bytes)
    });
    let drips = Toy::start(move |asked| {
        let bytes = drip(asked).to_vec();
        let begun = Reply::announcing(bytes.len(), 200, &[("Content-Type", RAW)], "");
        begun.then(Step::Drip(bytes, Duration::from_millis(10)))
    });
    let timed = |gateways: &[&Toy]| {
        let urls = gateways.iter().map(|toy| toy.url());
        let mut arguments: Vec<_> = urls.flat_map(|url| ["--gateway".into(), url]).collect();
        arguments.push(root.clone());
        let started = Instant::now();
        let ended = scene.call("cat", &arguments);
        let took = started.elapsed();
        assert!(ended.succeeded().stdout == bytes, "other bytes");
        took
    };
    let alone = timed(&[&right]);
    let (r, l, d) = (("right", &right), ("lies", &liar), ("drips", &drips));
    for order in [
        [r, l, d],
        [r, d, l],
        [l, r, d],
        [l, d, r],
        [d, r, l],
        [d, l, r],
    ] {
        let took = timed(&order.map(|(_, toy)| toy));
        let names = order.map(|(name, _)| name);
        println!("{names:?}: {took:.2?}; the right one alone: {alone:.2?}");
        assert!(took < 2 * alone + HEDGE + SLACK, "{names:?}: {took:?}");
    }
}

#[test]
fn a_damaged_archive_is_not_the_end() {
    let scene = Scene::new();
    let mut bytes = fs::read(scene.path("tree.car")).expect("the archive");
    let leaves = parse_car(&bytes).expect("a CAR").sections;
    for leaf in leaves.iter().filter(|section| section.length > 1000) {
        bytes[leaf.offset as usize] ^= 1;
    }
    scene.write("bad.car", &bytes);
    let gateway = Toy::gateway(&scene);
    let (url, path) = (gateway.url(), format!("{}/large", scene.cid));
    let cat = |arguments: &[&str]| scene.call("cat", &[arguments, &[path.as_str()]].concat());
    cat(&["--car", "bad.car"]).failed(1, &["do not hash"]);
    for others in [&["--car", "tree.car"][..], &["--gateway", &url]] {
        let ended = cat(&[&["--car", "bad.car"][..], others].concat());
        assert!(ended.succeeded().stdout == large(), "other bytes");
    }
    // The damage is told, though the bytes are right.
    let ended = cat(&["--car", "bad.car", "--gateway", &url]);
    assert!(ended.stderr.contains("wrong"), "{}", ended.stderr);
}
