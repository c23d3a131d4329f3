//! The matrix's guests: programs in other languages that all do the same (`tests/guests/matrix`), and interpreters to
//! run them; and SQLite's shell. Each comes from a registry, or is compiled here by a compiler that does.
//!
//! One that cannot be made does not keep the others from being made: it is removed, and its test fails by its name.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::package::{self, Package};
use crate::{process, workspace::Workspace};

/// A guest.
struct Guest {
    /// Its file below the folder of guests, without the extension.
    file: &'static str,
    /// The files below the workspace's root that it is made from.
    sources: &'static [&'static str],
    /// The packages that it is made from, or with.
    packages: &'static [&'static Package],
    make: fn(&Kit<'_>) -> Result<()>,
}

/// The toolchain of Rust from before directory entries of unknown type were looked up.
const OLD_RUST: &str = "1.85.1";

const RUST_SOURCES: &[&str] = &["tests/guests/matrix/report.rs", "rust-toolchain.toml"];

/// All of them. rustup checks the toolchains that it installs by their own checksums.
const GUESTS: &[Guest] = &[
    Guest {
        file: "matrix/c",
        sources: &["tests/guests/matrix/report.c"],
        packages: &[&package::ZIG],
        make: |kit| kit.zig(&["cc", "--target=wasm32-wasi", "-Os", "-s"], "-o"),
    },
    Guest {
        file: "matrix/zig",
        sources: &["tests/guests/matrix/report.zig"],
        packages: &[&package::ZIG],
        make: |kit| {
            let build = ["build-exe", "-target", "wasm32-wasi", "-OReleaseSmall"];
            kit.zig(&build, "-femit-bin=")
        },
    },
    Guest {
        file: "matrix/rust-1.85",
        sources: RUST_SOURCES,
        packages: &[],
        make: |kit| {
            install_old_rust()?;
            kit.rustc(&mut rustup_run("rustc"), "wasm32-wasip1")
        },
    },
    Guest {
        file: "matrix/rust",
        sources: RUST_SOURCES,
        packages: &[],
        make: |kit| kit.rustc(&mut Command::new("rustc"), "wasm32-wasip1"),
    },
    Guest {
        file: "matrix/rust-component",
        sources: RUST_SOURCES,
        packages: &[],
        make: |kit| kit.rustc(&mut Command::new("rustc"), "wasm32-wasip2"),
    },
    Guest {
        file: "matrix/assemblyscript",
        sources: &["tests/guests/matrix/report.ts"],
        packages: &[&package::ASSEMBLYSCRIPT, &package::BINARYEN, &package::LONG],
        make: |kit| kit.assemblyscript(),
    },
    Guest {
        file: "matrix/python",
        sources: &[],
        packages: &[&package::PYTHON],
        make: |kit| kit.take(&package::PYTHON, "dist/python.wasm"),
    },
    Guest {
        file: "matrix/ruby",
        sources: &[],
        packages: &[&package::RUBY],
        make: |kit| kit.take(&package::RUBY, "dist/ruby.wasm"),
    },
    Guest {
        file: "matrix/quickjs",
        sources: &[],
        packages: &[&package::QUICKJS, &package::ZIG],
        make: |kit| kit.quickjs(),
    },
    Guest {
        file: "p1/sqlite3",
        sources: &[],
        packages: &[&package::SQLITE, &package::ZIG],
        make: |kit| kit.sqlite(),
    },
    Guest {
        file: "matrix/python-component",
        sources: &[
            "tests/guests/matrix/component/run_report.py",
            "tests/guests/matrix/component/world.wit",
        ],
        packages: &[&package::COMPONENTIZE_PY],
        make: |kit| kit.python_component(),
    },
];

/// Makes each guest that is missing, or that was made from something else.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let guests = workspace.guests();
    for folder in ["matrix", "p1"] {
        let folder = guests.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    remove_others(&guests.join("matrix"))?;
    for guest in GUESTS {
        if let Err(error) = ensure(workspace, guest) {
            eprintln!("NOT BUILT: {}: {error:#}", guest.file);
        }
    }
    Ok(())
}

/// Removes the matrix's guests of which the table has none any more: they must not go on passing tests.
fn remove_others(folder: &Path) -> Result<()> {
    let listing = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        let is_listed = |guest: &Guest| path.with_extension("").ends_with(guest.file);
        if !GUESTS.iter().any(is_listed) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn ensure(workspace: &Workspace, guest: &Guest) -> Result<()> {
    let to = workspace.guests().join(format!("{}.wasm", guest.file));
    let note = to.with_extension("made-from");
    let made_from = made_from(workspace, guest)?;
    if to.exists() && fs::read_to_string(&note).is_ok_and(|noted| noted == made_from) {
        return Ok(());
    }
    // An old one must not go on passing tests.
    if to.exists() {
        fs::remove_file(&to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    (guest.make)(&Kit {
        workspace,
        source: guest
            .sources
            .first()
            .map(|source| workspace.root.join(source)),
        to,
    })?;
    fs::write(&note, made_from).with_context(|| format!("cannot write {}", note.display()))
}

/// All that a guest depends on, as text: this file, which has the commands, the packages and the sources.
fn made_from(workspace: &Workspace, guest: &Guest) -> Result<String> {
    let mut text = format!("{}\n", package::digest(include_bytes!("matrix.rs")));
    for package in guest.packages {
        text = text + &package.identity() + "\n";
    }
    for source in guest.sources {
        let path = workspace.root.join(source);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text = text + source + " " + &package::digest(&bytes) + "\n";
    }
    Ok(text)
}

fn rustup_run(program: &str) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", OLD_RUST, program]);
    rustup
}

fn install_old_rust() -> Result<()> {
    let target = ["--print", "target-libdir", "--target", "wasm32-wasip1"];
    let libraries = process::output(rustup_run("rustc").args(target));
    if libraries.is_ok_and(|folder| Path::new(folder.trim()).exists()) {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", OLD_RUST, "--profile", "minimal"]);
    process::run(rustup.args(["--target", "wasm32-wasip1", "--no-self-update"]))
}

/// The means to make a guest.
struct Kit<'a> {
    workspace: &'a Workspace,
    /// The program's source, if it has one here.
    source: Option<PathBuf>,
    /// The file to make.
    to: PathBuf,
}

impl Kit<'_> {
    fn source(&self) -> Result<&Path> {
        self.source.as_deref().context("it has no source")
    }

    /// Runs Zig's compiler, with its caches below the target directory.
    fn zig(&self, arguments: &[&str], output: &str) -> Result<()> {
        let mut zig = self.zig_itself()?;
        zig.args(arguments);
        match output.ends_with('=') {
            true => zig.arg(joined(output, &self.to)),
            false => zig.arg(output).arg(&self.to),
        };
        process::run(zig.arg(self.source()?))
    }

    fn zig_itself(&self) -> Result<Command> {
        let cache = self.workspace.guests().join("build/zig");
        let mut zig = Command::new(package::ZIG.ensure(self.workspace)?.join("ziglang/zig"));
        zig.env("ZIG_GLOBAL_CACHE_DIR", &cache)
            .env("ZIG_LOCAL_CACHE_DIR", &cache);
        Ok(zig)
    }

    fn rustc(&self, rustc: &mut Command, target: &str) -> Result<()> {
        rustc.current_dir(&self.workspace.root);
        rustc.args(["--edition=2021", "-Dwarnings", "-O", "-Cstrip=symbols"]);
        rustc.args(["--target", target, "-o"]).arg(&self.to);
        process::run(rustc.arg(self.source()?))
    }

    fn assemblyscript(&self) -> Result<()> {
        for package in [&package::BINARYEN, &package::LONG] {
            package.ensure(self.workspace)?;
        }
        let compiler = package::ASSEMBLYSCRIPT.ensure(self.workspace)?;
        let source = self.source()?;
        let mut node = Command::new("node");
        // The compiler takes paths below the folder that it runs in.
        node.current_dir(source.parent().context("it lies in a folder")?)
            .arg(compiler.join("bin/asc.js"))
            .arg(source.file_name().context("it has a name")?);
        node.args(["--optimize", "--exportStart", "_start", "--use", "abort="]);
        process::run(node.arg("--outFile").arg(&self.to))
    }

    /// Compiles QuickJS's own command out of the sources that a crate ships.
    fn quickjs(&self) -> Result<()> {
        let mut zig = self.zig_cc(package::QUICKJS.ensure(self.workspace)?.join("quickjs"))?;
        zig.arg("-D_GNU_SOURCE");
        emulate(&mut zig, &["process-clocks", "signal"]);
        zig.args(["quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c"]);
        zig.args(["quickjs-libc.c", "qjs.c", "gen/repl.c", "gen/standalone.c"]);
        process::run(&mut zig)
    }

    /// Compiles SQLite's shell out of the sources that a crate ships.
    fn sqlite(&self) -> Result<()> {
        let mut zig = self.zig_cc(package::SQLITE.ensure(self.workspace)?.join("source"))?;
        zig.args(["-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION"]);
        zig.args(["-DSQLITE_NOHAVE_SYSTEM", "-DSQLITE_OMIT_POPEN"]);
        emulate(&mut zig, &["getpid", "process-clocks", "signal"]);
        process::run(zig.args(["shell.c", "sqlite3.c"]))
    }

    /// The compiler for C that is not ours, in its folder.
    fn zig_cc(&self, folder: PathBuf) -> Result<Command> {
        let mut zig = self.zig_itself()?;
        zig.current_dir(folder).args(["cc", "--target=wasm32-wasi"]);
        zig.args(["-Os", "-s", "-w", "-o"]).arg(&self.to);
        Ok(zig)
    }

    /// Makes a component out of CPython and a program that runs the one that it is told to.
    fn python_component(&self) -> Result<()> {
        let source = self.source()?;
        let module = source.file_stem().context("it has a name")?;
        let mut python = Command::new("python3");
        let packages = package::COMPONENTIZE_PY.ensure(self.workspace)?;
        // The command is a function of the package; what it finds beside the program would be packed too.
        python
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(source.parent().context("it lies in a folder")?);
        python.args(["-c", "import componentize_py; componentize_py.script()"]);
        python.args(["--quiet", "--wit-path", "world.wit", "--world", "report"]);
        python.arg("componentize").arg(module);
        process::run(python.arg("--output").arg(&self.to))
    }

    /// Takes a package's file as it is.
    fn take(&self, package: &Package, file: &str) -> Result<()> {
        let from = package.ensure(self.workspace)?.join(file);
        fs::copy(&from, &self.to)
            .map(drop)
            .with_context(|| format!("cannot copy {}", from.display()))
    }
}

/// Asks for parts of POSIX that WASI has not, as wasi-libc emulates them.
fn emulate(compiler: &mut Command, parts: &[&str]) {
    for part in parts {
        let name = part.replace('-', "_").to_uppercase();
        compiler.arg(format!("-D_WASI_EMULATED_{name}"));
        compiler.arg(format!("-lwasi-emulated-{part}"));
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}
