//! `run`: wasmtime's own options, and what a guest may use of the host.

use std::{
    fs,
    time::{Duration, Instant},
};

use toy_http::{Reply, Step};

use crate::{
    guests,
    harness::{Ended, Scene},
    sources::Toy,
};

/// Asserts that a call is over soon, and returns its end.
fn soon(call: impl FnOnce() -> Ended) -> Ended {
    let start = Instant::now();
    let ended = call();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}: {ended:?}");
    ended
}

#[test]
fn a_timeout_ends_a_guest_whatever_it_does() {
    let scene = Scene::new();
    let run = |guest: &str, timeout: &str| {
        let timeout = format!("timeout={timeout}");
        soon(|| scene.on_car("run", &["-W", &timeout, guest]))
    };
    let sleeps = scene.guest("sleep", guests::SLEEP);
    run(&sleeps, "500ms").failed(134, &["sleep.wasm", "timeout", "host call"]);
    let computes = scene.guest("spin", guests::SPIN);
    run(&computes, "500ms").failed(134, &["spin.wasm", "interrupt", "backtrace"]);
    let ends = scene.guest("exit", &guests::exit(3));
    assert_eq!(run(&ends, "1h").status, 3);
}

#[test]
fn a_timeout_ends_a_wait_for_a_backend_that_hangs() {
    let scene = Scene::new();
    let hangs = Toy::start(|_| Reply::of([Step::Hang]));
    let url = hangs.url();
    let guest = scene.guest("cat", guests::CAT);
    let path = format!("{}/a.txt", scene.cid);
    let flags = ["--gateway", &url, "--any-cid", "--block-timeout", "1h"];
    let rest = ["-W", "timeout=1s", &guest, &path];
    let ended = soon(|| scene.call("run", &[&flags[..], &rest].concat()));
    ended.failed(134, &["cat.wasm", "timeout", "host call"]);
    assert!(hangs.asked() > 0, "it waited for the backend");
}

#[test]
fn fuel_runs_out() {
    let scene = Scene::new();
    let endless = scene.guest("spin", guests::SPIN);
    scene
        .on_car("run", &["-W", "fuel=1000000", &endless])
        .failed(134, &["spin.wasm", "fuel"]);
    let ends = scene.guest("exit", &guests::exit(3));
    let ended = scene.on_car("run", &["-W", "fuel=1000000", &ends]);
    assert_eq!(ended.status, 3, "{ended:?}");
}

#[test]
fn memory_is_bounded() {
    let scene = Scene::new();
    let guest = scene.guest("grow", guests::GROW);
    let run = |flags: &[&str]| scene.on_car("run", &[flags, &[&guest]].concat());
    run(&[]).succeeded();
    run(&["-W", "max-memory-size=8MiB"]).succeeded();
    assert_eq!(run(&["-W", "max-memory-size=2MiB"]).status, 7);
    run(&["-W", "max-memory-size=2097152,trap-on-grow-failure"]).failed(1, &["grow.wasm", "grow"]);
}

#[test]
fn the_environment_is_inherited_on_request() {
    let scene = Scene::new();
    let guest = scene.guest("tell", guests::TELL);
    let told = |flags: &[&str]| {
        let mut command = scene.command("run");
        command.args(["--car", "tree.car"]).args(flags).arg(&guest);
        command.env_clear().env("A", "1").env("B", "2");
        command.env("XDG_CACHE_HOME", scene.cache_path(""));
        let ended = Ended::of(command.output().expect("the command starts"));
        let mut told: Vec<_> = ended.succeeded().text().split('\0').collect();
        told.retain(|text| text.starts_with(['A', 'B']));
        told.join(" ")
    };
    assert_eq!(told(&[]), "");
    assert_eq!(told(&["-S", "inherit-env"]), "A=1 B=2");
    assert_eq!(told(&["-S", "inherit-env", "--env", "A=3"]), "B=2 A=3");
    assert_eq!(told(&["--env", "A=3", "--env", "A=4"]), "A=4");
}

#[test]
fn a_read_only_directory_cannot_be_changed() {
    let scene = Scene::new();
    let (create, cat) = (
        scene.guest("create", guests::CREATE),
        scene.guest("cat", guests::CAT),
    );
    fs::create_dir(scene.path("native")).expect("a folder");
    let run =
        |flag: &str, rest: &[&str]| scene.on_car("run", &[&[flag, "native::/n"], rest].concat());
    let ended = run("--dir-ro", &[&create]);
    assert_eq!(ended.status, 63, "PERM: {ended:?}");
    assert!(scene.names("native").is_empty());
    run("--dir", &[&create]).succeeded();
    assert_eq!(scene.names("native"), ["made"]);
    scene.write("native/made", b"native\n");
    let ended = run("--dir-ro", &[&cat, "made"]);
    assert_eq!(ended.succeeded().text(), "native\n");
}

#[test]
fn without_ipfs_a_guest_sees_its_directories_alone() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    let path = format!("{}/a.txt", scene.cid);
    let ended = scene.on_car("run", &[&guest, &path]);
    assert_eq!(ended.succeeded().text(), "hello\n");
    // There is no first preopened directory, and no source is needed.
    for sources in [&[][..], &["--car", "tree.car"]] {
        let ended = scene.call("run", &[sources, &["--no-ipfs", &guest, &path]].concat());
        assert_eq!(ended.status, 8, "BADF: {ended:?}");
    }
    let ended = scene.call("run", &["--no-ipfs", "--dir", "tree", &guest, "a.txt"]);
    assert_eq!(ended.succeeded().text(), "hello\n");
    // The program itself may still come out of IPFS.
    scene.write("tree/cat.wasm", &fs::read(scene.path(&guest)).expect("it"));
    let cid = scene.import(&["tree", "-o", "tree.car"]);
    let (program, path) = (format!("/ipfs/{cid}/cat.wasm"), format!("{cid}/a.txt"));
    let ended = scene.on_car("run", &[&program, &path]);
    assert_eq!(ended.succeeded().text(), "hello\n");
    let ended = scene.on_car("run", &["--no-ipfs", &program, &path]);
    assert_eq!(ended.status, 8, "BADF: {ended:?}");
    scene
        .call("run", &["--no-ipfs", "--any-cid", &guest])
        .failed(2, &["--no-ipfs", "--any-cid"]);
}

#[test]
fn a_host_directory_does_not_take_the_name_of_ipfs() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    for name in ["/ipfs", "/ipfs/"] {
        let directory = format!("tree::{name}");
        scene
            .on_car("run", &["--dir", &directory, &guest, "a.txt"])
            .failed(2, &[&format!("'{name}'")]);
        let ended = scene.call(
            "run",
            &["--no-ipfs", "--dir-ro", &directory, &guest, "a.txt"],
        );
        assert_eq!(ended.succeeded().text(), "hello\n");
    }
}

#[test]
fn the_sessions_limits_are_set_by_their_names() {
    let scene = Scene::new();
    let guest = scene.guest("cat", guests::CAT);
    let path = format!("{}/large", scene.cid);
    let run = |limits: &str| scene.on_car("run", &["--limits", limits, &guest, &path]);
    run("fetched_bytes=16MiB,open_handles=10").succeeded();
    let ended = run("fetched_bytes=1MiB");
    assert_eq!(ended.status, 29, "IO: {ended:?}");
    assert_eq!(run("path_bytes=10").status, 37, "NAMETOOLONG");
    run("open_handles=1").failed(1, &["1"]);
    run("open_handels=9").failed(2, &["'open_handels'", "did you mean 'open_handles'"]);
    run("handles=9").failed(2, &["'handles'", "fetched_bytes", "memory_bytes"]);
    run("targets=many").failed(2, &["targets", "'many'"]);
}

#[test]
fn an_option_that_cannot_be_honoured_is_refused_by_name() {
    let scene = Scene::new();
    let guest = scene.guest("exit", &guests::exit(3));
    let run = |flags: &[&str]| scene.on_car("run", &[flags, &[&guest]].concat());
    for (flags, words) in [
        (
            &["-W", "timout=1s"][..],
            &["-W", "'timout'", "'timeout'"][..],
        ),
        (&["-W", "timeout"], &["-W timeout", "no value"]),
        (&["-W", "threads"], &["-W threads", "leave it out"]),
        (&["-W", "epoch-interruption=y"], &["-W timeout=TIME"]),
        (&["-Shttp"], &["-S http", "wasi-ipfs-fs"]),
        (&["-S", "inherit-netwrk"], &["'inherit-network'"]),
        (&["-O", "opt-level=9"], &["-O opt-level", "'9'"]),
        (&["-O", "pooling-allocator"], &["-O pooling-allocator"]),
        (&["-C", "cache-config=x"], &["-C cache-config", "cache=n"]),
        (&["-C", "compiler=winch"], &["-C compiler", "Cranelift"]),
        (&["-D", "debug-info"], &["--debug", "wasmtime run -D"]),
        (&["--invoke", "f"], &["--invoke", "start function"]),
        (&["--preload", "a=b.wasm"], &["--preload", "link"]),
        (&["--config", "x.toml"], &["--config", "-W, -S, -O and -C"]),
    ] {
        run(flags).failed(2, words);
    }
    for flags in [
        &["-O", "opt-level=0"][..],
        &["-Oopt-level=s", "-Ccache=n,parallel-compilation=n"],
        &[
            "-S",
            "inherit-network,allow-ip-name-lookup",
            "-S",
            "tcp=n,udp=n",
        ],
        &[
            "-W",
            "max-instances=100,max-memories=10,max-tables=100,max-table-elements=1000",
        ],
        &[
            "--wasm",
            "nan-canonicalization",
            "--wasi",
            "tcp",
            "--codegen",
            "cache",
        ],
    ] {
        let ended = run(flags);
        assert_eq!(ended.status, 3, "{flags:?}: {ended:?}");
    }
}

#[test]
fn a_mistyped_flag_does_not_become_the_program() {
    let scene = Scene::new();
    let guest = scene.guest("tell", guests::TELL);
    scene
        .on_car("run", &["--bugdet", "64MiB", &guest])
        .failed(2, &["'--bugdet'", "'--budget'"]);
    scene
        .call("run", &["--bogus", "--car", "tree.car", &guest])
        .failed(2, &["'--bogus'"]);
    // Behind the program, it is the guest's.
    let ended = scene.on_car("run", &[&guest, "--bugdet", "-W", "timeout=0"]);
    assert_eq!(
        ended.succeeded().stdout,
        b"tell.wasm\0--bugdet\0-W\0timeout=0\0"
    );
}
