//! `run`: what the guest sees, what it may reach, and what its exit means.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    guests,
    harness::{Scene, large},
};

#[test]
fn the_status_is_the_guests() {
    let scene = Scene::new();
    for status in [0, 1, 2, 3, 42, 125, 126, 200, 255] {
        let guest = scene.guest("exit", &guests::exit(status));
        let ended = scene.on_car("run", &[&guest]);
        assert_eq!(ended.status, status as i32, "{ended:?}");
        assert_eq!(ended.stderr, "");
    }
    let guest = scene.guest("return", guests::RETURN);
    scene.on_car("run", &[&guest]).succeeded();
    let guest = scene.guest("failing", guests::FAILING_COMPONENT);
    scene.on_car("run", &[&guest]).failed(1, &[]);
}

#[test]
fn a_trap_is_134_and_shows_where() {
    let scene = Scene::new();
    let guest = scene.guest("trap", guests::TRAP);
    scene
        .on_car("run", &[&guest])
        .failed(134, &["trap.wasm", "unreachable", "backtrace"]);
}

#[test]
fn what_is_no_guest_is_named() {
    let scene = Scene::new();
    scene.write("text.wasm", b"#!/bin/sh\n");
    scene.write("empty.wasm", b"");
    scene.write("broken.wasm", b"\0asm\x01\0\0\0garbage");
    let library = scene.guest("library", guests::LIBRARY);
    let preview_0 = scene.guest("preview_0", guests::PREVIEW_0);
    scene
        .on_car("run", &[&preview_0])
        .failed(1, &["wasi_unstable", "preview 0"]);
    let other = scene.guest("other", guests::OTHER_IMPORT);
    scene
        .on_car("run", &[&other])
        .failed(1, &["'sin'", "'env'"]);
    for guest in [
        "text.wasm",
        "empty.wasm",
        "broken.wasm",
        &library,
        "missing.wasm",
        "tree",
    ] {
        scene
            .on_car("run", &[guest])
            .failed(1, &[&format!("'{guest}'")]);
    }
}

#[test]
fn arguments_and_environment_are_passed_untouched() {
    let scene = Scene::new();
    let guest = scene.guest("tell", guests::TELL);
    let told = |arguments: &[&str]| {
        let ended = scene.on_car("run", arguments);
        let text = ended.succeeded().text().trim_end_matches('\0').to_owned();
        text.split('\0').map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&[&guest, "--help", "-v", "--", "--car", "x y", "é", "", "a"]),
        [
            "tell.wasm",
            "--help",
            "-v",
            "--",
            "--car",
            "x y",
            "é",
            "",
            "a"
        ]
    );
    assert_eq!(
        told(&[
            "--argv0", "name", "--env", "A=1", "--env", "B=x=y", &guest, "--env", "C=2"
        ]),
        ["name", "--env", "C=2", "A=1", "B=x=y"]
    );
    // Only variables that are asked for are passed, and only if they are set.
    let mut command = scene.command("run");
    command
        .args([
            "--car",
            "tree.car",
            "--env",
            "GIVEN",
            "--env",
            "NOT_GIVEN",
            &guest,
        ])
        .env("GIVEN", "from outside")
        .env("OTHER", "kept back");
    let output = command.output().expect("the command starts");
    assert_eq!(output.stdout, b"tell.wasm\0GIVEN=from outside\0");
}

#[test]
fn a_guest_reads_what_it_was_granted_and_nothing_else() {
    let scene = Scene::new();
    let cid = &scene.cid;
    let guest = scene.guest("cat", guests::CAT);
    let ended = scene.on_car("run", &[&guest, &format!("{cid}/large")]);
    assert!(ended.succeeded().stdout == large());
    let ended = scene.on_car("run", &["--isolated", &guest, &format!("{cid}/link")]);
    assert_eq!(ended.succeeded().text(), "hello\n");

    // In the archive, but not one of its roots.
    let inner = scene.import(&["tree/dir", "-o", "dir.car"]);
    let path = format!("{inner}/b.txt");
    assert_eq!(scene.on_car("run", &[&guest, &path]).status, 44, "NOENT");
    let any = scene.on_car("run", &["--any-cid", &guest, &path]);
    assert_eq!(any.succeeded().text(), "below\n");
    let named = scene.on_car("run", &[&guest, &path, &format!("see:/ipfs/{inner}")]);
    assert_eq!(named.succeeded().text(), "below\n");
    let mounted = format!("/data=/ipfs/{inner}");
    let mounted = scene.on_car("run", &["--mount", &mounted, &guest, &path]);
    assert_eq!(mounted.succeeded().text(), "below\n");

    // Granted, but missing.
    let absent = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";
    let ended = scene.on_car("run", &["--any-cid", &guest, absent]);
    assert_eq!(ended.status, 44, "{ended:?}");
}

#[test]
fn a_mount_is_a_directory_under_another_name() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    let ended = scene.on_car(
        "run",
        &[
            "--mount",
            &format!("/d=/ipfs/{}/a.txt", scene.cid),
            &guest,
            "x",
        ],
    );
    ended.failed(1, &["/a.txt", "'/d'"]);
    let ended = scene.on_car(
        "run",
        &[
            "--mount",
            &format!("/d=/ipfs/{}/missing", scene.cid),
            &guest,
            "x",
        ],
    );
    ended.failed(1, &["/missing"]);
}

#[test]
fn native_directories_are_beside_it() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    fs::create_dir(scene.path("native")).expect("a folder");
    scene.write("native/n.txt", b"native\n");
    // The first preopened directory is now the native one.
    let ended = scene.on_car("run", &["--dir", "native::/n", &guest, "n.txt"]);
    assert_eq!(ended.succeeded().text(), "native\n");
    scene
        .on_car("run", &["--dir", "nowhere", &guest, "n.txt"])
        .failed(1, &["'nowhere'", "--dir"]);
}

#[test]
fn stats_count_what_was_fetched() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    let ended = scene.on_car(
        "run",
        &["--stats", &guest, &format!("{}/dir/b.txt", scene.cid)],
    );
    assert_eq!(ended.succeeded().text(), "below\n");
    // Three of eleven: the root, dir, and the leaf.
    assert_eq!(ended.figures("fetched")[..2], [3, 11]);
    let ended = scene.on_car(
        "run",
        &[
            "--stats",
            "--budget",
            "4MiB",
            &guest,
            &format!("{}/large", scene.cid),
        ],
    );
    assert!(ended.succeeded().stdout == large());
    assert_eq!(ended.figures("fetched")[..2], [6, 11]);
}

#[test]
fn one_wrong_block_is_an_error_of_the_guests() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    let mut car = fs::read(scene.path("tree.car")).expect("the archive");
    let at = car
        .windows(6)
        .position(|bytes| bytes == b"hello\n")
        .expect("the block");
    car[at] = b'j';
    scene.write("wrong.car", &car);
    let ended = scene.call(
        "run",
        &[
            "--car",
            "wrong.car",
            &guest,
            &format!("{}/a.txt", scene.cid),
        ],
    );
    assert_eq!((ended.status, ended.text()), (29, ""), "IO: {ended:?}");
}

#[test]
fn standard_input_is_the_guests() {
    use std::io::Write;
    let scene = Scene::new();
    let guest = scene.guest("wait", guests::WAIT);
    let mut child = scene
        .command("run")
        .args(["--car", "tree.car", &guest])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"x").expect("a pipe");
    let ended = child.wait_with_output().expect("a child");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// The programs of `tests/guests`, which use std and wasi-libc. `cargo xtask guests` builds them.
#[test]
fn rust_programs_of_both_previews_walk_the_tree() {
    let scene = Scene::new();
    for preview in ["p1", "p2"] {
        let guest = built_guests().join(preview).join("walk_hash.wasm");
        if !guest.is_file() {
            println!(
                "NOT RUN: {} is not there; `cargo xtask guests` builds it",
                guest.display()
            );
            return;
        }
        let guest = guest.to_str().expect("a path in UTF-8");
        let ended = scene.on_car("run", &[guest, &format!("/ipfs/{}", scene.cid)]);
        let lines: Vec<_> = ended.succeeded().text().lines().collect();
        assert_eq!(lines.len(), 7, "{lines:?}");
        assert!(
            lines.iter().any(|line| line.starts_with("f len=3145745 ")),
            "{lines:?}"
        );
        let mount = format!("/data=/ipfs/{}", scene.cid);
        let mounted = scene.on_car("run", &["--mount", &mount, guest, "/data"]);
        assert_eq!(
            mounted.succeeded().text().lines().collect::<Vec<_>>(),
            lines
        );
        let native = scene.on_car("run", &["--dir", "tree::/tree", guest, "/tree"]);
        assert_eq!(native.succeeded().text().lines().collect::<Vec<_>>(), lines);
    }
}

/// Where the programs of `tests/guests` are, if they are built.
pub(crate) fn built_guests() -> PathBuf {
    std::env::var_os("WASI_IPFS_GUESTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
        PathBuf::from,
    )
}
