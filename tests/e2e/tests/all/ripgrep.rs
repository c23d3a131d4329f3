//! Another project's program: ripgrep, as published, finds the same under `/ipfs` as in the same native directory.

use std::{env, fs, path::PathBuf};

use wasi_ipfs_tests::{Content, End, Preview, Program, Run, Sharing, Variant};
use wasmtime_wasi::FsPerms;

fn ripgrep() -> Program {
    let folder = match env::var_os("WASI_IPFS_GUESTS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    };
    Program::from_file(folder.join("p1/rg.wasm"))
}

/// This workspace's own sources, and files that a search has to cope with.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let crates = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    copy(&crates, &dir.path().join("crates"));
    fs::write(dir.path().join(".hidden"), "needle in hidden\n").unwrap();
    fs::write(dir.path().join("binary"), b"needle\0\x01\x02needle\n").unwrap();
    fs::write(dir.path().join("empty"), b"").unwrap();
    fs::write(dir.path().join(".ignore"), "ignored\n").unwrap();
    fs::write(dir.path().join("ignored"), "needle ignored\n").unwrap();
    let large: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    fs::write(dir.path().join("large"), large + "needle at the end\n").unwrap();
    std::os::unix::fs::symlink("large", dir.path().join("link")).unwrap();
    dir
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_what_it_finds_natively() {
    let dir = tree();
    let content = {
        let options = pinner_car::ImportOptions {
            hidden: true,
            ..Default::default()
        };
        Content::import_with(dir.path(), &options)
    };
    let variant = Variant {
        preview: Preview::One,
        sharing: Sharing::Shared,
    };
    let ctx = variant.ctx(&content).await;
    for search in [
        &["needle"][..],
        &["-uu", "needle"],
        &["--files"],
        &["-c", "fn "],
        &["-l", "--hidden", "impl.*Pinner"],
        &["-L", "line 19999\\d"],
        &["-n", "-C2", "struct \\w+"],
        &["nothing-has-this-text-in-it-i-hope", "--stats"],
    ] {
        let run = |root: &str| {
            let mut arguments = vec!["rg", "--sort", "path", "--no-messages"];
            arguments.extend(search);
            arguments.push(root);
            Run::new(arguments)
        };
        let root = content.path("");
        let ours = run(&root).ipfs(ctx.clone()).program(&ripgrep()).await;
        let native = run("/native").preopen(dir.path(), "/native", FsPerms::ReadOnly);
        let native = native.native().program(&ripgrep()).await;
        let timeless = |text: &str| -> String {
            let lines = text.lines().filter(|line| !line.contains("seconds"));
            lines.map(|line| format!("{line}\n")).collect()
        };
        let text = timeless(&ours.text().replace(&root, "/native"));
        assert!(text == timeless(native.text()), "{search:?}: other results");
        assert_eq!(ours.end, native.end, "{search:?}: {}", ours.stderr);
        let found = matches!(ours.end, End::Exit(0));
        assert_eq!(
            found,
            !search[0].starts_with("nothing"),
            "{search:?}: {}",
            ours.stderr
        );
    }
}
