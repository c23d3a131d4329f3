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
    ] {
        let mut arguments = vec!["hello", "-o", "hello.car"];
        arguments.extend(flags);
        assert_eq!(scene.import(&arguments), cid, "{flags:?}");
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
