//! Standard error: what is said, how much of it, and that nothing depends on a reader.

use std::process::Stdio;

use crate::{
    guests,
    harness::{Ended, Scene},
};

/// Runs a call whose standard error nobody reads.
fn unheard(scene: &Scene, subcommand: &str, arguments: &[&str]) -> std::process::Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = scene.command(subcommand);
    command.args(arguments).stderr(Stdio::from(writer));
    command.output().expect("it starts")
}

#[test]
fn a_closed_standard_error_changes_nothing() {
    let scene = Scene::new();
    let cid = scene.cid.as_str();
    let exits = scene.guest("exit", &guests::exit(7));
    let traps = scene.guest("trap", guests::TRAP);
    let car = ["--car", "tree.car", "--staging", "staging"];
    for (subcommand, arguments, status) in [
        ("ls", &["--stats", cid][..], 0),
        ("cat", &["--stats", "-vvv", "bafkqaaa", "missing"], 2),
        ("cat", &[&format!("{cid}/missing")], 1),
        ("run", &["--stats", "--add", "tree", &exits], 7),
        ("run", &[&traps], 134),
    ] {
        let ended = unheard(&scene, subcommand, &[&car[..], arguments].concat());
        assert_eq!(
            ended.status.code(),
            Some(status),
            "{subcommand} {arguments:?}: {ended:?}"
        );
        scene.nothing_staged();
    }
    let import = ["--stats", "tree", "-o", "again.car"];
    let imported = unheard(&scene, "import", &import);
    assert_eq!(
        String::from_utf8_lossy(&imported.stdout),
        format!("{cid}\n")
    );
}

#[test]
fn an_error_names_its_argument_and_says_nothing_twice() {
    let scene = Scene::new();
    let paths = ["a.txt", "nope", "dir/b.txt"].map(|name| format!("/ipfs/{}/{name}", scene.cid));
    let ended = scene.on_car("cat", &[&paths[0], &paths[1], &paths[2]]);
    ended.failed(1, &[&format!("error: cannot open '{}'", paths[1])]);
    assert_eq!(ended.text(), "hello\nbelow\n");

    let url = "http://127.0.0.1:1";
    let ended = scene.call(
        "cat",
        &["--gateway", url, "--block-timeout", "500ms", &paths[0]],
    );
    ended.failed(1, &[&paths[0], url]);
    for said in [&scene.cid[..], url, "refused"] {
        let times = ended.stderr.matches(said).count();
        assert!(times <= 2, "{said} is said {times} times: {}", ended.stderr);
    }
}

#[test]
fn quiet_and_verbose() {
    let scene = Scene::new();
    let staging = ["--staging", "staging"];
    let call = |flags: &[&str]| {
        let add = ["--add", "tree", scene.cid.as_str()];
        scene.call("ls", &[flags, &staging, &add].concat())
    };
    let usual = call(&[]);
    assert_eq!(
        usual.succeeded().stderr,
        format!("added {} tree\n", scene.cid)
    );
    let quiet = call(&["-q"]);
    assert_eq!(quiet.succeeded().stderr, "");
    assert_eq!(quiet.text(), usual.text());
    // A gateway that cannot be reached is a line of the log at this level.
    let gateway = ["--gateway", "http://127.0.0.1:1", "--block-timeout", "1s"];
    for (flags, logs) in [(&[][..], false), (&["-v"], false), (&["-vv"], true)] {
        let ended = scene.call("ls", &[flags, &gateway, &[&scene.cid]].concat());
        ended.failed(1, &["error: "]);
        assert_eq!(ended.stderr.contains("DEBUG"), logs, "{flags:?}: {ended:?}");
    }
    // An error is said in any case, and a variable says in detail what is logged.
    scene
        .on_car("ls", &["-q", "bafkqaaa/x"])
        .failed(1, &["error: "]);
    let mut command = scene.command("ls");
    command.env("WASI_IPFS_LOG", "error");
    command.args(["-vvv", "--car", "tree.car", &scene.cid]);
    let ended = Ended::of(command.output().expect("it starts"));
    assert_eq!(ended.succeeded().stderr, "");
}

#[test]
fn hidden_files_are_added_on_request() {
    let scene = Scene::new();
    scene.write("tree/.hidden", b"h");
    let with_hidden = scene.import(&["-H", "-n", "tree"]);
    let path = format!("{with_hidden}/.hidden");
    let staging = ["--staging", "staging"];
    let call = |flags: &[&str]| scene.call("cat", &[flags, &staging, &[path.as_str()]].concat());
    call(&["--add", "tree"]).failed(1, &[&with_hidden]);
    assert_eq!(
        call(&["--add", "tree", "--add-hidden"]).succeeded().text(),
        "h"
    );
    scene.nothing_staged();
}

#[test]
fn an_import_for_a_run_is_made_beside_what_is_staged() {
    let scene = Scene::new();
    let temporary = scene.path("temporary");
    let mut command = scene.command("ls");
    // A directory that does not exist: whoever uses it fails.
    command.env("TMPDIR", &temporary);
    command.args(["--add", "tree", &scene.cid]);
    Ended::of(command.output().expect("it starts")).succeeded();
    let left = crate::harness::names(&scene.cache_path("wasi-ipfs"));
    assert!(!left.iter().any(|name| name.contains("add")), "{left:?}");
}
