//! `--keep`, and `cache`, which shows, verifies and removes kept blocks.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    guests,
    harness::{Ended, Scene, interrupted, large, names},
    signals::send,
};
use rustix::process::Signal;

/// A call that keeps its staged blocks and prints how many it fetched.
fn keeping(scene: &Scene, subcommand: &str) -> Command {
    let mut command = scene.command(subcommand);
    command.args(["--keep", "--stats", "--car", "tree.car"]);
    command
}

fn cat_large(scene: &Scene) -> Ended {
    let mut command = keeping(scene, "cat");
    command.arg(format!("{}/large", scene.cid));
    let ended = Ended::of(command.output().expect("the command starts"));
    assert!(ended.succeeded().stdout == large(), "the same bytes");
    ended
}

fn cache(scene: &Scene, arguments: &[&str]) -> Ended {
    scene.call("cache", arguments)
}

/// The numbers in a line of standard output.
#[track_caller]
fn figures(ended: &Ended, line: &str) -> Vec<u64> {
    let text = ended
        .text()
        .lines()
        .find_map(|text| text.strip_prefix(line));
    let text = text.unwrap_or_else(|| panic!("a line {line:?} in {ended:?}"));
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn kept_directory(scene: &Scene) -> PathBuf {
    let stats = cache(scene, &["stats"]);
    let line = stats.succeeded().text().lines().next().expect("a line");
    let path = line.strip_prefix("directory: ").expect("where it is");
    PathBuf::from(path)
}

/// Flips a bit of every block of the largest slots.
fn rot(directory: &Path) {
    let slots = OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join("slots-1048576"))
        .expect("a file of slots");
    for slot in 0..4 {
        let mut byte = [0];
        let at = slot * (1 << 20) + 1000;
        if slots.read_at(&mut byte, at).expect("a read") == 1 {
            slots.write_at(&[byte[0] ^ 1], at).expect("a write");
        }
    }
}

#[test]
fn what_is_kept_is_not_fetched_again() {
    let scene = Scene::new();
    let first = cat_large(&scene);
    assert!(first.figures("fetched")[0] >= 6, "{first:?}");
    let second = cat_large(&scene);
    assert_eq!(second.figures("fetched")[0], 0, "{second:?}");
    assert!(
        second.figures("kept from earlier runs")[0] >= 6,
        "{second:?}"
    );
    // Without the flag, a run finds no kept blocks and leaves none.
    let other = scene.on_car("ls", &["--stats", &scene.cid]);
    assert_eq!(other.succeeded().figures("fetched")[0], 1);

    let stats = cache(&scene, &["stats"]);
    let kept = figures(stats.succeeded(), "kept: ");
    assert!(kept[0] >= 6 && kept[1] > 3 << 20, "{stats:?}");
    assert!(stats.text().ends_with("in use: no\n"), "{stats:?}");
    let verified = cache(&scene, &["verify"]);
    assert_eq!(figures(verified.succeeded(), "verified: ")[0], kept[0]);

    let cleared = cache(&scene, &["clear"]);
    assert_eq!(figures(cleared.succeeded(), "removed: ")[..2], kept[..2]);
    let stats = cache(&scene, &["stats"]);
    assert_eq!(figures(stats.succeeded(), "kept: ")[..2], [0, 0]);
    assert!(cat_large(&scene).figures("fetched")[0] >= 6);
}

#[test]
fn what_has_rotted_is_told_fetched_again_and_removed() {
    let scene = Scene::new();
    cat_large(&scene);
    let directory = kept_directory(&scene);
    rot(&directory);
    let told = cache(&scene, &["verify"]);
    assert_eq!(told.status, 1, "{told:?}");
    let wrong = told.text().matches("\nwrong: bafk").count();
    assert!(wrong >= 3, "{told:?}");

    let again = cat_large(&scene);
    assert_eq!(again.figures("fetched")[0], wrong as u64, "{again:?}");
    assert_eq!(again.figures("kept from earlier runs")[1], wrong as u64);
    assert_eq!(cache(&scene, &["verify"]).status, 0);

    rot(&directory);
    let removed = cache(&scene, &["verify", "--clear"]);
    assert_eq!(removed.status, 1, "{removed:?}");
    assert_eq!(cache(&scene, &["verify"]).status, 0);
}

#[test]
fn a_directory_in_use_is_read_along_and_not_cleared() {
    let scene = Scene::new();
    cat_large(&scene);
    let guest = scene.guest("wait", guests::WAIT);
    let mut first = keeping(&scene, "run");
    first.arg(&guest).stdin(Stdio::piped());
    let ended = interrupted(first, b"ready", |child| {
        let stats = cache(&scene, &["stats"]);
        let user = format!("in use: by process {}\n", child.id());
        assert!(stats.succeeded().text().ends_with(&user), "{stats:?}");
        let along = cat_large(&scene);
        assert_eq!(along.figures("fetched")[0], 0, "{along:?}");
        cache(&scene, &["verify"]).succeeded();
        for refused in [&["clear"][..], &["verify", "--clear"]] {
            cache(&scene, refused).failed(1, &["in use by another process"]);
        }
        send(Signal::TERM)(child);
    });
    assert_eq!(ended.status, 143, "{ended:?}");
    let later = cat_large(&scene);
    assert_eq!(later.figures("fetched")[0], 0, "{later:?}");
}

#[test]
fn a_directory_of_ones_own_is_used_and_one_that_is_not_there_is_no_error() {
    let scene = Scene::new();
    let none = cache(&scene, &["stats", "--staging", "staging"]);
    assert!(
        none.succeeded().stderr.contains("nothing is kept"),
        "{none:?}"
    );
    let mut command = keeping(&scene, "cat");
    command.args(["--staging", "staging"]);
    command.arg(format!("{}/a.txt", scene.cid));
    Ended::of(command.output().expect("the command starts")).succeeded();
    let stats = cache(&scene, &["stats", "--staging", "staging"]);
    assert_eq!(figures(stats.succeeded(), "kept: ")[0], 2, "{stats:?}");
    assert_eq!(names(&scene.path("staging")).len(), 1);
    cache(&scene, &["stats", "--staging", "nowhere"]).failed(1, &["nowhere", "is not a directory"]);

    let mut command = keeping(&scene, "run");
    command.args(["--isolated", "program.wasm"]);
    let ended = Ended::of(command.output().expect("the command starts"));
    ended.failed(2, &["--keep", "--isolated"]);
}
