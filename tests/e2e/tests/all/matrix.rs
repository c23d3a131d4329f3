//! Other languages and other people's interpreters: the programs of `tests/guests/matrix` all do the same. Each must
//! say the same under `/ipfs` as in the same directory, preopened natively and read-only; and all must read the same.
//!
//! `cargo xtask guests` makes the programs. The test of one that could not be made fails by its name.

mod tree;

use std::{env, fs, path::PathBuf};

use e2e::{Content, Preview, Program, Run, Sharing, Variant};
use pinner_car::{ImportOptions, Profile};
use wasmtime_wasi::FsPerms;

/// A row of the matrix.
struct Row {
    language: &'static str,
    /// The compiler or interpreter.
    toolchain: &'static str,
    /// Where that comes from.
    from: &'static str,
    wasi: &'static str,
    /// The program, below the folder of guests.
    file: &'static str,
    /// The words of the command line before the path.
    arguments: &'static [&'static str],
    /// The beginnings of the lines that the program does not say, because its language cannot learn them.
    lacks: &'static [&'static str],
}

/// Makes a test of each row.
macro_rules! matrix {
    ($($test:ident: $row:expr;)*) => {
        const ROWS: &[Row] = &[$($row),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                says_the_same(&$row).await;
            }
        )*
    };
}

matrix! {
    c: Row {
        language: "C",
        toolchain: "`zig cc`, wasi-libc",
        from: "PyPI",
        file: "matrix/c.wasm",
        ..PREVIEW_1
    };
    zig: Row {
        language: "Zig",
        toolchain: "Zig 0.15, without libc",
        from: "PyPI",
        file: "matrix/zig.wasm",
        ..PREVIEW_1
    };
    rust: Row {
        language: "Rust",
        toolchain: "this project's own",
        from: "rustup",
        file: "matrix/rust.wasm",
        ..PREVIEW_1
    };
    rust_of_2025: Row {
        language: "Rust",
        toolchain: "Rust 1.85",
        from: "rustup",
        file: "matrix/rust-1.85.wasm",
        ..PREVIEW_1
    };
    rust_component: Row {
        language: "Rust",
        toolchain: "this project's own",
        from: "rustup",
        wasi: "0.2",
        file: "matrix/rust-component.wasm",
        ..PREVIEW_1
    };
    go: Row {
        language: "Go",
        toolchain: "Go's own",
        from: "installed",
        file: "p1/go_report.wasm",
        ..PREVIEW_1
    };
    assembly_script: Row {
        language: "AssemblyScript",
        toolchain: "`asc`, no library",
        from: "npm",
        file: "matrix/assemblyscript.wasm",
        ..PREVIEW_1
    };
    java_script: Row {
        language: "JavaScript",
        toolchain: "QuickJS-ng, by `zig cc`",
        from: "crates.io",
        file: "matrix/quickjs.wasm",
        arguments: &["qjs", "--module", "/program/report.js"],
        // On WASI its modules have no `lstat` and no `readlink`.
        lacks: &["list links/", "walk links/", "lstat "],
        ..PREVIEW_1
    };
    python: Row {
        language: "Python",
        toolchain: "CPython 3.12",
        from: "npm",
        file: "matrix/python.wasm",
        arguments: &["python", "/program/report.py"],
        ..PREVIEW_1
    };
    python_component: Row {
        language: "Python",
        toolchain: "CPython, by componentize-py",
        from: "PyPI",
        wasi: "0.2",
        file: "matrix/python-component.wasm",
        arguments: &["component", "/program/report.py"],
        ..PREVIEW_1
    };
    ruby: Row {
        language: "Ruby",
        toolchain: "CRuby 3.4, as a reactor",
        from: "npm",
        file: "matrix/ruby.wasm",
        arguments: &["ruby", "--disable=gems", "-EUTF-8", "-e", "load '/program/report.rb'"],
        ..PREVIEW_1
    };
}

const PREVIEW_1: Row = Row {
    language: "",
    toolchain: "",
    from: "",
    wasi: "preview 1",
    file: "",
    arguments: &["report"],
    lacks: &[],
};

/// The only differences between `/ipfs` and a read-only native directory that the programs may see, by the beginnings
/// of their lines.
const DIFFERENCES: [&str; 4] = [
    // The host's file system takes no name of more than 255 bytes and refuses it. A directory in content may hold one,
    // so this one is looked up, and is absent.
    "missing open 300 letters",
    "missing stat 300 letters",
    "missing list 300 letters",
    // Content answers that the file exists. wasmtime-wasi refuses to create anything before it looks.
    "write create new what is there",
];

/// Lines that report a call as done. In the others that are no facts, each call fails.
const DONE: &[&str] = &["write sync what is open for reading: done"];

/// Runs the program under `/ipfs` and natively, and compares what it says.
async fn says_the_same(row: &Row) {
    let tree = tree::make();
    let options = ImportOptions {
        // Small chunks, so that a file has several.
        profile: Profile::UnixfsV0_2015,
        ..ImportOptions::default()
    };
    let content = Content::import_with(tree.path(), &options);
    let root = content.path("");
    let program = Program::from_file(guests().join(row.file));
    let run = || {
        let run = Run::new(row.arguments.iter().copied().chain([&*root]));
        let sources = workspace("tests/guests/matrix");
        run.preopen(sources, "/program", FsPerms::ReadOnly)
    };
    let variant = Variant {
        preview: Preview::One,
        sharing: Sharing::Shared,
    };
    let ours = run().ipfs(variant.ctx(&content).await);
    let ours = ours.program(&program).await;
    // Under the same name, so that no line differs by a path.
    let native = run().preopen(tree.path(), &root, FsPerms::ReadOnly);
    let native = native.native().program(&program).await;
    let lines: Vec<_> = ours.success().lines().collect();
    let natively: Vec<_> = native.success().lines().collect();
    assert_eq!(differences(&lines, &natively), DIFFERENCES);

    let mut facts = tree::facts(tree.path());
    facts.retain(|line| !row.lacks.iter().any(|lacking| line.starts_with(lacking)));
    has_the_facts(&lines, &facts);
    has_tried_everything(&lines);
}

/// Returns those of the known differences that there are. There must be no other.
fn differences(ours: &[&str], native: &[&str]) -> Vec<&'static str> {
    assert_eq!(ours.len(), native.len(), "{ours:#?}\n{native:#?}");
    let mut found = Vec::new();
    for (ours, native) in ours.iter().zip(native) {
        let explains = |known: &&&str| is_error(ours, known) && is_error(native, known);
        match DIFFERENCES.iter().find(explains) {
            _ if ours == native => {}
            Some(known) => found.push(*known),
            None => panic!("/ipfs: {ours}\nthe native directory: {native}"),
        }
    }
    found
}

/// All that the program says of the content must be so, and nothing may be missing.
fn has_the_facts(lines: &[&str], facts: &[String]) {
    let said = lines.iter().filter(|line| is_fact(line));
    let said: Vec<_> = said.collect();
    for (said, fact) in said.iter().zip(facts) {
        assert_eq!(**said, fact);
    }
    assert_eq!(said.len(), facts.len(), "{said:#?}");
}

/// The program must have asked for what is missing, and tried to write; and nothing of it may have been done.
fn has_tried_everything(lines: &[&str]) {
    let others = lines.iter().filter(|line| !is_fact(line));
    let others: Vec<_> = others.copied().collect();
    for step in ["missing ", "write "] {
        let count = others.iter().filter(|line| line.starts_with(step)).count();
        assert!(count > 15, "{step}: {count} calls");
    }
    let done = others.iter().filter(|line| !line.contains(": error "));
    let done: Vec<_> = done.copied().collect();
    assert!(done.iter().all(|line| DONE.contains(line)), "{done:?}");
}

/// Whether a line says that this call failed.
fn is_error(line: &str, call: &str) -> bool {
    line.strip_prefix(call)
        .is_some_and(|rest| rest.starts_with(": error "))
}

/// Whether a line says something of the content.
fn is_fact(line: &str) -> bool {
    let is_about_a_call = line.starts_with("missing ") || line.starts_with("write ");
    !is_about_a_call && !line.contains(": error ")
}

/// The folder of guests.
pub(crate) fn guests() -> PathBuf {
    match env::var_os("WASI_IPFS_GUESTS") {
        Some(folder) => PathBuf::from(folder),
        None => workspace("target/guests"),
    }
}

fn workspace(below: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(below)
}

/// A guest without a test would be made for nothing.
#[test]
fn every_guest_is_in_the_matrix() {
    let folder = guests().join("matrix");
    let listing = fs::read_dir(&folder).expect("`cargo xtask guests` makes the guests");
    for entry in listing {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("a name");
        let file = format!("matrix/{name}");
        let has_row = ROWS.iter().any(|row| row.file == file);
        assert!(has_row || !name.ends_with(".wasm"), "{file} has no row");
    }
}

/// The README's table is this one.
#[test]
fn the_readme_shows_the_matrix() {
    let cells = |row: &Row| {
        let Row {
            language,
            toolchain,
            from,
            wasi,
            ..
        } = row;
        format!("| {language} | {toolchain} | {from} | {wasi} |\n")
    };
    let table: String = ROWS.iter().map(cells).collect();
    let readme = fs::read_to_string(workspace("README.md")).expect("the README");
    assert!(
        readme.contains(&table),
        "README.md lacks this table:\n{table}"
    );
}
