//! Names that no path can have, names that a terminal would obey, and ways out of a root.

use std::fs;

use crate::harness::{Scene, directory, raw, symlink};

/// A directory with the names, each of which leads to the same file; in `odd.car`.
fn odd(scene: &Scene, names: &[&[u8]]) -> String {
    let file = raw(b"content\n");
    let links: Vec<_> = names.iter().map(|name| (*name, file.0)).collect();
    let top = directory(&links);
    scene.car("odd.car", &[top.clone(), file]);
    top.0.to_string()
}

#[test]
fn a_listing_has_the_names_that_are_not_utf8() {
    let scene = Scene::new();
    let cid = odd(&scene, &[b"caf\xe9.txt", b"plain.txt", b"r\xe9sum\xe9.pdf"]);
    let listed = scene.call("ls", &["--car", "odd.car", &cid]);
    assert_eq!(
        listed.succeeded().text(),
        "plain.txt\ncaf\\xe9.txt\nr\\xe9sum\\xe9.pdf\n"
    );
    let long = scene.call("ls", &["-l", "--car", "odd.car", &cid]);
    let file = raw(b"content\n").0.to_string();
    let lines: Vec<_> = long.succeeded().text().lines().collect();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert!(line.contains(&file), "{line}");
    }
}

#[test]
fn a_copy_says_what_is_not_in_it() {
    let scene = Scene::new();
    let cid = odd(&scene, &[b"caf\xe9.txt", b"plain.txt", b"a/b"]);
    let ended = scene.call("get", &["--car", "odd.car", &cid, "-o", "copy"]);
    let file = raw(b"content\n").0.to_string();
    ended.failed(1, &["'caf\\xe9.txt' in 'copy'", "'a/b' in 'copy'", &file]);
    assert_eq!(scene.names("copy"), ["plain.txt"]);
    scene
        .call("get", &["--car", "odd.car", &file, "-o", "cafe.txt"])
        .succeeded();
    let copied = fs::read(scene.path("cafe.txt")).expect("a file");
    assert_eq!(copied, b"content\n");
}

#[test]
fn what_is_missing_is_named_on_one_line_each() {
    let scene = Scene::new();
    let missing = raw(b"missing\n").0;
    let top = directory(&[(b"b\x1b[2J\nerror: forged", missing), (b"caf\xe9", missing)]);
    let cid = top.0.to_string();
    scene.car("part.car", &[top]);
    let ended = scene.call("get", &["--car", "part.car", &cid, "-o", "copy"]);
    let shown = "b\\u{1b}[2J\\nerror: forged'";
    let lacking = format!("'copy/{shown}");
    ended.failed(1, &[&lacking, "'caf\\xe9' in 'copy'"]);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("error: '") || line.starts_with("error: cannot"))
    );
    assert!(scene.names("copy").is_empty());
    let listed = scene.call("ls", &["-l", "--car", "part.car", &cid]);
    listed.failed(1, &[&format!("cannot look at '{shown} in ")]);
    assert_eq!(listed.text().lines().count(), 2, "{listed:?}");
}

#[test]
fn a_listing_is_one_line_for_each_entry() {
    let scene = Scene::new();
    let cid = odd(&scene, &[b"a\nb", b"c\x1b[31m", "d\u{9b}2J".as_bytes()]);
    let listed = scene.call("ls", &["--car", "odd.car", &cid]);
    assert_eq!(
        listed.succeeded().text(),
        "a\\nb\nc\\u{1b}[31m\nd\\u{9b}2J\n"
    );
}

#[test]
fn content_tells_a_terminal_nothing_by_an_error() {
    let scene = Scene::new();
    let target = "x\u{1b}[31mRED\u{1b}]0;pwned\u{7}\nerror: forged";
    let link = symlink(target);
    let top = directory(&[(b"link", link.0)]);
    let path = format!("{}/link", top.0);
    scene.car("link.car", &[top, link]);
    for command in ["cat", "ls", "get"] {
        let ended = scene.call(command, &["--car", "link.car", &path]);
        ended.failed(1, &["x\\u{1b}[31mRED\\u{1b}]0;pwned\\u{7}\\nerror: forged"]);
        let lines = ended.stderr.lines();
        assert_eq!(lines.filter(|line| line.starts_with("error")).count(), 1);
    }
    let stat = scene.call("stat", &["--car", "link.car", &path]);
    let text = stat.succeeded().text();
    assert!(text.contains("Target: x\\u{1b}[31mRED"), "{text}");
    // The log too.
    let mut command = scene.command("cat");
    command.env("WASI_IPFS_LOG", "trace");
    command.args(["--car", "link.car", &path]);
    let output = command.output().expect("it starts");
    assert!(!output.stderr.contains(&0x1b));
}

#[test]
fn nothing_leads_from_one_root_into_another() {
    let scene = Scene::new();
    let secret = raw(b"secret\n");
    let other = directory(&[(b"secret", secret.0)]);
    let link = symlink(&format!("../{}/secret", other.0));
    let inside = symlink("../file");
    let file = raw(b"file\n");
    let below = directory(&[(b"up", inside.0)]);
    let top = directory(&[(b"below", below.0), (b"file", file.0), (b"out", link.0)]);
    let (root, elsewhere) = (top.0, other.0);
    scene.car(
        "roots.car",
        &[top, other, secret, link, inside, file, below],
    );
    let call = |command: &str, path: String| {
        scene.call(
            command,
            &["--car", "roots.car", "--staging", "staging", &path],
        )
    };
    for path in [
        format!("/ipfs/{root}/../{elsewhere}/secret"),
        format!("/ipfs/{root}/below/../../{elsewhere}/secret"),
        format!("/ipfs/{root}/out"),
        format!("/ipfs/{root}/.."),
    ] {
        for command in ["cat", "ls", "prefetch"] {
            call(command, path.clone()).failed(1, &["leaves the directory"]);
        }
    }
    call("get", format!("{root}/out")).failed(1, &["leaves the directory"]);
    // The link itself leads nowhere.
    call("stat", format!("{root}/../{elsewhere}")).failed(1, &["leaves the directory"]);
    call("stat", format!("{root}/out")).succeeded();
    for path in [
        format!("/ipfs/{elsewhere}/secret"),
        format!("/ipfs/{root}/below/../file"),
        format!("/ipfs/{root}/below/up"),
    ] {
        call("cat", path).succeeded();
    }
}
