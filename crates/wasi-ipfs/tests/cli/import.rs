//! `import`: prints only the CID on standard output; the archive is complete or absent.

use std::fs;

use crate::harness::Scene;

#[test]
fn profiles_and_flags_give_the_cids_that_kubo_gives() {
    let scene = Scene::new();
    scene.write("hello", b"hello world\n");
    // The results of `ipfs add` of Kubo 0.43.0 with the same options.
    for (flags, cid) in [
        (
            &[][..],
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
        ),
        (
            &["--profile", "unixfs-v0-2015"],
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
        ),
        (
            &["--profile", "unixfs-v0-2015", "--raw-leaves"],
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
        ),
        (
            &["--profile", "unixfs-v0-2015", "--cid-version", "1"],
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
        ),
        (
            &["--profile", "unixfs-v0-2015", "--chunker=size-5", "-w"],
            "QmYhNv2QvT5vgCEdr8yrRCDNouAx6TSSfWtySLJrbJtkAN",
        ),
    ] {
        let mut arguments = vec!["hello", "-o", "hello.car"];
        arguments.extend(flags);
        assert_eq!(scene.import(&arguments), cid, "{flags:?}");
        // Without an archive the CID is the same, and no file is made.
        let before = scene.names("");
        let hashed = [&["hello", "--only-hash"][..], flags].concat();
        assert_eq!(scene.import(&hashed), cid, "{flags:?}");
        assert_eq!(scene.names(""), before);
    }
    let with_mode = scene.import(&[
        "--raw-leaves=false",
        "--preserve-mode",
        "hello",
        "-o",
        "m.car",
    ]);
    let without = scene.import(&["--raw-leaves=false", "hello", "-o", "m.car"]);
    assert_ne!(with_mode, without);
}

#[test]
fn hidden_files_are_imported_on_request() {
    let scene = Scene::new();
    scene.write("tree/.hidden", b"h");
    assert_eq!(scene.import(&["tree", "-o", "again.car"]), scene.cid);
    let with_hidden = scene.import(&["-H", "tree", "-o", "hidden.car"]);
    assert_ne!(with_hidden, scene.cid);
    let listed = scene.call("ls", &["--car", "hidden.car", &with_hidden]);
    assert!(listed.succeeded().text().contains(".hidden\n"));
}

#[test]
fn stats_go_to_standard_error() {
    let scene = Scene::new();
    let ended = scene.call("import", &["--stats", "tree", "-o", "again.car"]);
    assert_eq!(ended.succeeded().text(), format!("{}\n", scene.cid));
    // Four files: a.txt, b.txt, empty and large. Two directories: tree and dir. One link.
    assert_eq!(ended.figures("imported")[..3], [4, 2, 1]);
    // Three small leaves, four of large and its root, the symlink, and two directories.
    assert_eq!(ended.figures("blocks")[0], 11);
}

#[test]
fn what_cannot_be_imported_is_named_and_leaves_nothing() {
    let scene = Scene::new();
    let before = scene.names("");
    for (path, words) in [
        ("missing", &["'missing'", "No such file"][..]),
        (
            "tree/a.txt/below",
            &["'tree/a.txt/below'", "Not a directory"],
        ),
        ("/dev/null", &["'/dev/null'", "device"]),
    ] {
        scene
            .call("import", &[path, "-o", "new.car"])
            .failed(1, words);
        assert_eq!(scene.names(""), before, "{path}");
    }
    scene
        .call("import", &["tree", "-o", "nowhere/new.car"])
        .failed(1, &["nowhere"]);
    scene
        .call("import", &["--preserve-mode", "tree", "-o", "new.car"])
        .failed(1, &["--raw-leaves=false"]);
    scene
        .call("import", &["--profile", "kubo", "tree", "-o", "new.car"])
        .failed(2, &["'kubo'", "unixfs-v1-2025"]);
    assert_eq!(scene.names(""), before);
}

#[test]
fn a_failed_import_keeps_the_archive_that_was_there() {
    let scene = Scene::new();
    let before = fs::read(scene.path("tree.car")).expect("the archive");
    // A special file in the middle makes the import fail after it has begun.
    let pipe = scene.path("tree/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    scene
        .call("import", &["tree", "-o", "tree.car"])
        .failed(1, &["named pipe"]);
    assert_eq!(
        fs::read(scene.path("tree.car")).expect("the archive"),
        before
    );
    assert_eq!(scene.names(""), ["staging", "tree", "tree.car"]);
}

#[test]
fn several_paths_are_several_roots_or_one_directory() {
    let scene = Scene::new();
    let separate = ["tree", "tree/a.txt", "tree/link"].map(|path| scene.import(&["-n", path]));
    let ended = scene.call(
        "import",
        &["tree", "tree/a.txt", "tree/link", "-o", "all.car"],
    );
    let all: Vec<_> = ended.succeeded().text().lines().collect();
    assert_eq!(all, separate);
    for root in &separate {
        let car = ["--car", "all.car", root.as_str()];
        scene.call("stat", &car).succeeded();
    }
    let wrapped = scene.import(&["-w", "tree/a.txt", "tree/dir/", "tree/link", "-o", "w.car"]);
    let listed = scene.call("ls", &["--car", "w.car", &wrapped]);
    assert_eq!(listed.succeeded().text(), "a.txt\ndir\nlink\n");
    // The order of the arguments does not matter to a directory.
    assert_eq!(
        scene.import(&["-n", "-w", "tree/link", "tree/dir", "tree/a.txt"]),
        wrapped
    );
    scene.write("a.txt", b"another");
    scene
        .call("import", &["-n", "-w", "a.txt", "tree/a.txt"])
        .failed(1, &["'a.txt'", "separately"]);
    // A path without a name of its own has that of what it stands for.
    let here = scene
        .call("import", &["-n", "-w", "tree/."])
        .succeeded()
        .text()
        .to_owned();
    let named = scene
        .call("import", &["-n", "-w", "tree"])
        .succeeded()
        .text()
        .to_owned();
    assert_eq!(here, named);
}

#[test]
fn an_archive_goes_to_standard_output() {
    let scene = Scene::new();
    // Not text, so not an `Ended`.
    let mut import = scene.command("import");
    let ended = import
        .args(["tree", "-o", "-"])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert_eq!(said, format!("{}\n", scene.cid));
    let archive = fs::read(scene.path("tree.car")).expect("the archive");
    assert!(ended.stdout == archive, "the same archive");
    assert!(!scene.path("-").exists());
    let left = crate::harness::names(&scene.cache_path("wasi-ipfs"));
    assert!(!left.iter().any(|name| name.contains("add")), "{left:?}");
}

#[test]
fn what_cannot_be_imported_so_is_refused() {
    let scene = Scene::new();
    for (arguments, said) in [
        (&["tree"][..], "--output"),
        (&["tree", "-n", "-o", "x.car"], "--only-hash"),
        (&["-n"], "<PATH>"),
        (&["-n", "tree", "--chunker", "rabin"], "size-N"),
        (&["-n", "tree", "--chunker=size-2096897"], "2096896"),
        (&["-n", "tree", "--cid-version=2"], "0, 1"),
    ] {
        scene.call("import", arguments).failed(2, &[said]);
    }
}
