//! `--routing`: gateways that routers find; and names by signed records, from routers and from gateways.

use toy_http::Reply;

use crate::{
    harness::{Scene, large},
    sources::Toy,
};

/// The record of `NAME` of gateway-conformance, which points to [`SAYS`] in an identity CID until 2123.
const NAME: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";
const SAYS: &str = "v1+v2 record";

fn record() -> Vec<u8> {
    let table = include_str!("../../../pinner-routing/data/ipns-records.tsv");
    let row = table.lines().find(|row| row.starts_with(NAME));
    let hex = row.and_then(|row| row.rsplit('\t').next()).expect("a row");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a byte");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A router that names this gateway for each CID, and has the record.
fn router(gateway: &Toy) -> Toy {
    let address = gateway
        .url()
        .replace("http://127.0.0.1:", "/ip4/127.0.0.1/tcp/")
        + "/http";
    Toy::start(move |asked| match asked.last_segment() {
        NAME => Reply::ok("application/vnd.ipfs.ipns-record", record()),
        _ if asked.path().starts_with("/routing/v1/providers/") => Reply::ok(
            "application/json",
            format!(
                r#"{{"Providers":[{{"Schema":"peer","Addrs":["{address}"],"Protocols":["transport-ipfs-gateway-http"]}}]}}"#
            ),
        ),
        _ => Reply::with(404, &[], ""),
    })
}

#[test]
fn blocks_come_from_gateways_that_a_router_finds() {
    let scene = Scene::new();
    let gateway = Toy::gateway(&scene);
    let router = router(&gateway);
    let path = format!("{}/large", scene.cid);
    let by = |flags: &[&str]| {
        let url = router.url();
        let all = [&["--routing", &url][..], flags, &[&path]].concat();
        scene.call("cat", &all)
    };
    assert!(by(&["--routing-loopback"]).succeeded().stdout == large());
    assert_eq!(router.asked(), 1, "the root's gateway has all blocks");
    // Without the flag, nobody on this machine is asked.
    by(&[]).failed(2, &["--routing", "https"]);
    // Gateways that are named come first.
    let named = Toy::gateway(&scene);
    let url = named.url();
    let both = by(&["--routing-loopback", "--gateway", &url]);
    assert!(both.succeeded().stdout == large());
    assert!(named.asked() > 0);
}

#[test]
fn names_are_resolved_by_signed_records() {
    let scene = Scene::new();
    let gateway = Toy::gateway(&scene);
    let router = router(&gateway);
    let path = format!("/ipns/{NAME}");
    let url = router.url();
    let routed = ["--routing", &url, "--routing-loopback", &path];
    assert_eq!(scene.call("cat", &routed).succeeded().text(), SAYS);
    assert!(scene.cache_path("wasi-ipfs/ipns").join(NAME).is_file());
    let records = Toy::start(|asked| match asked.path().starts_with("/ipns/") {
        true => Reply::ok("application/vnd.ipfs.ipns-record", record()),
        false => Reply::with(404, &[], ""),
    });
    let url = records.url();
    let named = |path: &str| scene.call("cat", &["--gateway", &url, path]);
    assert_eq!(named(&path).succeeded().text(), SAYS);
    // A record of another name.
    let other = "/ipns/k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f";
    named(other).failed(1, &[other, "signature"]);
    named("/ipns/example.org").failed(1, &["example.org", "DNSLink"]);
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let scene = Scene::new();
    let url = "https://router.example";
    for (flags, wanted) in [
        (&["--routing", url, "--kubo"][..], "--routing"),
        (
            &["--routing-loopback", "--car", "tree.car"][..],
            "without --routing",
        ),
        (&["--routing", "http://router.example"][..], "https"),
    ] {
        let all = [flags, &[scene.cid.as_str()]].concat();
        scene.call("cat", &all).failed(2, &[wanted]);
    }
}
