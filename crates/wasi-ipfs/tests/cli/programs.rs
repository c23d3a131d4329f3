//! `run`: where a program may come from, what it may be, and what is kept of its compilation.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    guests,
    harness::{Ended, Scene},
};

/// A scene with programs in IPFS: `site/` in `outer/`, whose archive is `outer.car`. Returns the CID of `site`, which is
/// not a root of the archive.
fn with_site(files: &[(&str, &[u8])]) -> (Scene, String) {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("outer/site")).expect("a folder");
    for (name, bytes) in files {
        scene.write(&format!("outer/site/{name}"), bytes);
    }
    let site = scene.import(&["outer/site", "-o", "site.car"]);
    scene.import(&["outer", "-o", "outer.car"]);
    (scene, site)
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

/// Native code, as `wasmtime compile` writes it.
fn native(text: &str) -> Vec<u8> {
    wasmtime::Engine::default()
        .precompile_component(&wasm(text))
        .expect("compiled")
}

/// Runs `-` with `program` on standard input.
fn on_stdin(scene: &Scene, program: &[u8], flags: &[&str], arguments: &[&str]) -> Ended {
    let mut child = scene
        .command("run")
        .args(["--car", "tree.car"])
        .args(flags)
        .arg("-")
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The command may refuse the program before it has read all of it.
    let _ = stdin.write_all(program);
    drop(stdin);
    Ended::of(child.wait_with_output().expect("a child"))
}

#[test]
fn a_program_runs_from_wherever_it_is() {
    let text = guests::exit(42);
    let binary = wasm(&text);
    let (scene, site) = with_site(&[("app.wasm", &binary), ("app.txt", text.as_bytes())]);
    let run = |arguments: &[&str]| scene.call("run", arguments).status;
    // Whatever a file is called, its bytes say what it is.
    for (name, bytes) in [
        ("app.wasm", &binary[..]),
        ("app.cwasm", &binary),
        ("app.wat", text.as_bytes()),
        ("text.wasm", text.as_bytes()),
    ] {
        scene.write(name, bytes);
        assert_eq!(run(&["--car", "tree.car", name]), 42, "{name}");
    }
    for bytes in [&binary[..], text.as_bytes()] {
        assert_eq!(on_stdin(&scene, bytes, &[], &[]).status, 42);
    }
    for path in [
        format!("/ipfs/{site}/app.wasm"),
        format!("ipfs://{site}/app.wasm"),
        format!("/ipfs/{site}/app.txt"),
    ] {
        assert_eq!(run(&["--car", "outer.car", &path]), 42, "{path}");
        assert_eq!(
            run(&["--car", "outer.car", "--isolated", &path]),
            42,
            "{path}"
        );
    }
}

#[test]
fn a_programs_own_name_is_that_of_its_source() {
    let binary = wasm(guests::TELL);
    let (scene, site) = with_site(&[("tell.wasm", &binary)]);
    let path = format!("/ipfs/{site}/tell.wasm");
    let ended = scene.call("run", &["--car", "outer.car", &path, "a", "--car"]);
    assert_eq!(ended.succeeded().stdout, b"tell.wasm\0a\0--car\0");
    let ended = scene.call(
        "run",
        &["--car", "outer.car", "--argv0", "other", &path, "a"],
    );
    assert_eq!(ended.succeeded().stdout, b"other\0a\0");
    let ended = on_stdin(&scene, &binary, &[], &["-x"]);
    assert_eq!(ended.succeeded().stdout, b"-\0-x\0");
}

#[test]
fn a_program_in_ipfs_may_read_its_own_root_and_no_other() {
    let binary = wasm(guests::CAT);
    let (scene, site) = with_site(&[("cat.wasm", &binary), ("beside.txt", b"beside\n")]);
    let program = format!("/ipfs/{site}/cat.wasm");
    let beside = format!("{site}/beside.txt");
    let ended = scene.call("run", &["--car", "outer.car", &program, &beside]);
    assert_eq!(ended.succeeded().text(), "beside\n");
    // The same content, with the same program as a host file, which names no root.
    let guest = scene.guest("cat", guests::CAT);
    let ended = scene.call("run", &["--car", "outer.car", &guest, &beside]);
    assert_eq!(ended.status, 44, "NOENT: {ended:?}");
    // Another root of the same source.
    let other = scene.import(&["tree/dir", "-o", "dir.car"]);
    let sources = ["--car", "outer.car", "--car", "tree.car"];
    let other = format!("{other}/b.txt");
    let ended = scene.call("run", &[&sources[..], &[&program, &other]].concat());
    assert_eq!(ended.status, 44, "NOENT: {ended:?}");
}

#[test]
fn what_is_no_program_in_ipfs_is_named() {
    let (scene, site) = with_site(&[("text", b"#!/bin/sh\n"), ("bad.wat", b"(modul)")]);
    let fails = |path: &str, words: &[&str]| {
        let path = format!("/ipfs/{site}{path}");
        scene
            .call("run", &["--car", "outer.car", &path])
            .failed(1, &[&[&path[..]], words].concat());
    };
    fails("/text", &["\\0asm"]);
    fails("/bad.wat", &["modul"]);
    fails("/missing", &["'missing'"]);
    fails("", &["directory", "wasi-ipfs ls"]);
    for path in ["/ipfs/nonsense/a.wasm", "/ipns/example.org/a.wasm"] {
        scene
            .call("run", &["--car", "outer.car", path])
            .failed(2, &[path]);
    }
}

#[test]
fn a_program_whose_block_is_corrupt_is_refused() {
    let text = guests::exit(42);
    let (scene, site) = with_site(&[("app.wasm", &wasm(&text))]);
    let path = format!("/ipfs/{site}/app.wasm");
    let mut car = fs::read(scene.path("outer.car")).expect("the archive");
    let needle = b"proc_exit";
    let at = car
        .windows(needle.len())
        .position(|bytes| bytes == needle)
        .expect("the block");
    assert_eq!(scene.call("run", &["--car", "outer.car", &path]).status, 42);
    // Still a valid module, of another status.
    let status = &mut car[at..];
    let constant = status.iter().position(|byte| *byte == 42).expect("it");
    status[constant] = 43;
    scene.write("wrong.car", &car);
    scene
        .call("run", &["--car", "wrong.car", &path])
        .failed(1, &[&path, "do not hash"]);
}

#[test]
fn a_program_may_have_so_many_bytes() {
    let binary = wasm(&guests::exit(42));
    let (scene, site) = with_site(&[("app.wasm", &binary)]);
    scene.write("app.wasm", &binary);
    let path = format!("/ipfs/{site}/app.wasm");
    let length = binary.len();
    for (bytes, fits) in [(length, true), (length - 1, false)] {
        let flags = ["--max-program-size", &bytes.to_string()];
        let call = |rest: &[&str]| scene.call("run", &[&flags[..], rest].concat());
        let all = [
            ("app.wasm", call(&["--car", "tree.car", "app.wasm"])),
            ("-", on_stdin(&scene, &binary, &flags, &[])),
            (&path, call(&["--car", "outer.car", &path])),
        ];
        for (name, ended) in all {
            match fits {
                true => assert_eq!(ended.status, 42, "{name}: {ended:?}"),
                false => {
                    ended.failed(1, &[&format!("'{name}'"), "--max-program-size"]);
                }
            }
        }
    }
    // A program that is too large is not fetched: only the root and the file's own node are.
    let large = format!("/ipfs/{}/large", scene.cid);
    let flags = ["--car", "tree.car", "--stats", "--max-program-size", "1MiB"];
    let ended = scene.call("run", &[&flags[..], &[&large]].concat());
    ended.failed(1, &[&large, "1.0 MiB"]);
    assert!(ended.figures("fetched")[0] <= 2, "{ended:?}");
}

#[test]
fn native_code_runs_from_a_host_file_and_on_request_alone() {
    let code = native(&guests::component());
    let (scene, site) = with_site(&[("app.wasm", &code)]);
    scene.write("app.wasm", &code);
    let car = ["--car", "tree.car"];
    let call = |rest: &[&str]| scene.call("run", &[&car[..], rest].concat());
    call(&["app.wasm"]).failed(1, &["'app.wasm'", "native", "--allow-precompiled"]);
    call(&["--allow-precompiled", "app.wasm"]).succeeded();
    // It was compiled without fuel.
    call(&["--allow-precompiled", "-W", "fuel=1000", "app.wasm"]).failed(1, &["app.wasm", "fuel"]);

    let path = format!("/ipfs/{site}/app.wasm");
    let words = ["native", "regular file"];
    for flags in [&[][..], &["--allow-precompiled"]] {
        on_stdin(&scene, &code, flags, &[]).failed(1, &words);
        let all = [&["--car", "outer.car"], flags, &[&path]].concat();
        scene.call("run", &all).failed(1, &words);
    }
    // A file that is cut off is an error.
    scene.write("cut.wasm", &code[..code.len() / 2]);
    call(&["--allow-precompiled", "cut.wasm"]).failed(1, &["cut.wasm"]);
}

/// The files of compiled code, with what would change if they were written again.
fn compilations(directory: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(compilations(&path));
        } else if path.extension().is_none() {
            let metadata = path.metadata().expect("a file");
            let written = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
            found.insert(path.display().to_string(), written);
        }
    }
    found
}

#[test]
fn the_second_start_compiles_nothing() {
    let scene = Scene::new();
    let guest = scene.guest("return", guests::RETURN);
    let run = || {
        let mut command = scene.command("run");
        command.args(["--car", "tree.car", &guest]);
        command.env("WASI_IPFS_LOG", "wasi_ipfs=info");
        Ended::of(command.output().expect("the command starts"))
    };
    let first = run();
    assert!(first.stderr.contains("found=0 compiled=1"), "{first:?}");
    let directory = scene.cache_path("wasi-ipfs/compiled");
    let before = compilations(&directory);
    assert_eq!(before.len(), 1, "{before:?}");
    let second = run();
    assert!(second.stderr.contains("found=1 compiled=0"), "{second:?}");
    assert_eq!(compilations(&directory), before);
}

#[test]
fn compilations_are_kept_where_nobody_else_writes() {
    let scene = Scene::new();
    let guest = scene.guest("return", guests::RETURN);
    let run = |flags: &[&str]| {
        let flags = [&["--car", "tree.car", "--staging", "staging"], flags].concat();
        scene.call("run", &[&flags[..], &[&guest]].concat())
    };
    let directory = scene.cache_path("wasi-ipfs/compiled");
    run(&["-C", "cache=n"]).succeeded();
    assert!(!directory.exists());
    run(&[]).succeeded();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    for path in [&directory, &scene.cache_path("wasi-ipfs")] {
        let mode = path.metadata().expect("a folder").mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", path.display());
        set(path, 0o770);
        run(&[]).failed(1, &["chmod 700", "-C cache=n", &path.display().to_string()]);
        run(&["-C", "cache=n"]).succeeded();
        set(path, 0o700);
    }
    run(&[]).succeeded();
}

/// A component that exports `wasi:cli/run@0.3` runs as it is, and finds `/ipfs`.
#[test]
fn a_program_of_wasi_0_3_runs() {
    let folder = match std::env::var_os("WASI_IPFS_GUESTS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    };
    let guest = folder.join("p2/preview3.wasm");
    let guest = guest.to_str().expect("text");
    let (scene, site) = with_site(&[("hello.txt", b"hello from 0.3\n")]);
    let file = format!("/ipfs/{site}/hello.txt");
    let run = |flags: &[&str]| {
        let arguments = [&["--car", "site.car"], flags, &[guest, "cat", &file]].concat();
        scene.call("run", &arguments)
    };
    for flags in [&[][..], &["-S", "p3"], &["-W", "timeout=1h"]] {
        assert_eq!(run(flags).succeeded().text(), "hello from 0.3\n");
    }
    let without = run(&["-S", "p3=n"]);
    assert_ne!(without.status, 0, "{without:?}");
    assert!(without.stderr.contains("@0.3"), "{without:?}");
}
