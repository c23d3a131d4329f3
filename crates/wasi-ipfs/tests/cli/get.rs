//! `get`: a copy that is complete or absent, and never overwrites anything.

use std::fs;

use crate::harness::{Scene, large};

#[test]
fn files_and_trees_are_copied() {
    let scene = Scene::new();
    let cid = &scene.cid;
    scene.on_car("get", &[&format!("{cid}/large")]).succeeded();
    assert!(fs::read(scene.path("large")).expect("the copy") == large());
    scene.on_car("get", &[cid, "-o", "copy"]).succeeded();
    assert_eq!(scene.names("copy"), ["a.txt", "dir", "large", "link"]);
    assert_eq!(scene.names("copy/dir"), ["b.txt", "empty"]);
    assert_eq!(
        fs::read(scene.path("copy/a.txt")).expect("the copy"),
        b"hello\n"
    );
    let link = fs::read_link(scene.path("copy/link")).expect("a symlink");
    assert_eq!(link.to_str(), Some("a.txt"));
    // The copy must have the CID of the imported tree.
    assert_eq!(&scene.import(&["copy", "-o", "copy.car"]), cid);
    scene.on_car("get", &[cid]).succeeded();
    assert_eq!(scene.names(cid), ["a.txt", "dir", "large", "link"]);
}

#[test]
fn nothing_is_overwritten_and_nothing_half_written_stays() {
    let scene = Scene::new();
    let cid = &scene.cid;
    scene.write("there", b"mine");
    scene
        .on_car("get", &[&format!("{cid}/a.txt"), "-o", "there"])
        .failed(1, &["'there'", "not overwritten"]);
    assert_eq!(fs::read(scene.path("there")).expect("a file"), b"mine");
    std::os::unix::fs::symlink("nowhere", scene.path("dangling")).expect("a symlink");
    scene
        .on_car("get", &[cid, "-o", "dangling"])
        .failed(1, &["'dangling'"]);
    scene
        .on_car("get", &[cid, "-o", "nowhere/copy"])
        .failed(1, &["nowhere"]);

    // The last leaf of `large` is wrong, so the copy fails in the middle.
    let mut car = fs::read(scene.path("tree.car")).expect("the archive");
    let end = &large()[large().len() - 17..];
    let at = car
        .windows(17)
        .position(|bytes| bytes == end)
        .expect("the last leaf");
    car[at] ^= 1;
    scene.write("wrong.car", &car);
    let before = scene.names("");
    scene
        .call("get", &["--car", "wrong.car", cid, "-o", "copy"])
        .failed(1, &["cannot copy"]);
    assert_eq!(scene.names(""), before);
}

#[test]
fn a_name_that_cannot_be_a_file_is_asked_for() {
    let scene = Scene::new();
    scene
        .on_car("get", &[&format!("{}/dir/..", scene.cid)])
        .failed(1, &["-o DEST"]);
}
