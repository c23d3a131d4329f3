//! Wrong calls: status 2 and a hint what to write instead, before anything is done.

use crate::{
    guests,
    harness::{SUBCOMMANDS, Scene},
};

const SOURCES: [&str; 6] = [
    "no source",
    "--car FILE",
    "--add PATH",
    "--kubo[=ADDR]",
    "--kubo-repo DIR",
    "--gateway URL",
];

#[test]
fn without_a_source_the_sources_are_listed() {
    let scene = Scene::new();
    for command in ["ls", "cat", "get", "stat", "prefetch"] {
        scene.call(command, &[&scene.cid]).failed(2, &SOURCES);
    }
    let guest = scene.guest("return", guests::RETURN);
    scene.call("run", &[guest]).failed(2, &SOURCES);
}

#[test]
fn a_malformed_path_is_named() {
    let scene = Scene::new();
    for path in [
        "",
        "/",
        "/ipfs/",
        "no-cid/a",
        "/ipns/",
        "/ipns/exa mple.org",
        "/etc/passwd",
        "bafk",
        "../x",
    ] {
        scene
            .on_car("ls", &[path])
            .failed(2, &[&format!("'{path}'"), "/ipfs/<CID>"]);
    }
    scene
        .on_car("run", &["--mount", "/data=/ipfs/nonsense", "guest.wasm"])
        .failed(2, &["nonsense"]);
    scene
        .on_car("run", &["--mount", "data", "guest.wasm"])
        .failed(2, &["--mount"]);
}

#[test]
fn a_path_that_leaves_its_root_reaches_nothing() {
    let scene = Scene::new();
    scene
        .on_car("cat", &[&format!("{}/../../etc/passwd", scene.cid)])
        .failed(1, &["etc/passwd"]);
}

#[test]
fn budgets() {
    let scene = Scene::new();
    let path = format!("{}/large", scene.cid);
    // Zero, less than a block, and one byte below the minimum.
    for budget in ["0", "4096", "4194303"] {
        scene
            .on_car("cat", &["--budget", budget, &path])
            .failed(1, &[&format!("{budget} bytes"), "4194304"]);
    }
    for budget in ["", "-1", "lots", "1X", "1e9"] {
        scene
            .on_car("cat", &[&format!("--budget={budget}"), &path])
            .failed(2, &["--budget", "64MiB"]);
    }
    scene
        .on_car("cat", &["--budget", "4MiB", &path])
        .succeeded();
    scene.on_car("cat", &["--budget", "1G", &path]).succeeded();
}

#[test]
fn timeouts_and_staging() {
    let scene = Scene::new();
    scene
        .on_car("ls", &["--block-timeout", "0", &scene.cid])
        .failed(2, &["--block-timeout"]);
    // The name that it had, which means something else to `wasmtime run`.
    scene
        .on_car("ls", &["--timeout", "soon", &scene.cid])
        .failed(2, &["'soon'", "30s"]);
    scene
        .call(
            "ls",
            &["--car", "tree.car", "--staging", "nowhere", &scene.cid],
        )
        .failed(1, &["'nowhere'"]);
    scene
        .call(
            "ls",
            &["--car", "tree.car", "--staging", "tree.car", &scene.cid],
        )
        .failed(1, &["'tree.car'"]);
}

#[test]
fn every_subcommand_has_examples() {
    let scene = Scene::new();
    for command in SUBCOMMANDS {
        let help = scene.call(command, &["--help"]);
        assert!(
            help.succeeded().text().contains("Examples:\n  wasi-ipfs"),
            "{help:?}"
        );
    }
}

#[test]
fn a_late_error_of_usage_shows_its_subcommand() {
    let scene = Scene::new();
    let usage = "Usage: wasi-ipfs ls [OPTIONS] [PATH]";
    scene
        .call("ls", &[&scene.cid])
        .failed(2, &["no source", usage]);
    let guest = scene.guest("return", guests::RETURN);
    let usage = "Usage: wasi-ipfs run [OPTIONS] PROGRAM [ARGS]...";
    scene
        .on_car("run", &["--isolated", "--keep", &guest])
        .failed(2, &["--keep", usage]);
    scene
        .on_car("run", &["--dir", "a::b::c", &guest])
        .failed(2, &["--dir", "HOST::GUEST, with one ::"]);
}
